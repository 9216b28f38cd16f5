//! `mat_mul_integer`.

use crate::{Cx, RunError};
use cygnet_format::op::MatMulInteger;

pub(crate) fn run(_op: &MatMulInteger, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("mat_mul_integer"))
}
