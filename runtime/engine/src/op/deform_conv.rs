//! `deform_conv`.

use crate::{Cx, RunError};
use cygnet_format::op::DeformConv;

pub(crate) fn run(_op: &DeformConv, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("deform_conv"))
}
