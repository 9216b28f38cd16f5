//! `lrn`.

use crate::{Cx, RunError};
use cygnet_format::op::Lrn;

pub(crate) fn run(_op: &Lrn, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("lrn"))
}
