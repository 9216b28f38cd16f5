//! `conv`.

use crate::{Cx, RunError};
use cygnet_format::op::Conv;

pub(crate) fn run(_op: &Conv, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("conv"))
}
