//! `mat_mul`.

use crate::{Cx, RunError};
use cygnet_format::op::MatMul;

pub(crate) fn run(_op: &MatMul, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("mat_mul"))
}
