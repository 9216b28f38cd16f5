//! `dequantize_linear`.

use crate::{Cx, RunError};
use cygnet_format::op::DequantizeLinear;

pub(crate) fn run(_op: &DequantizeLinear, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("dequantize_linear"))
}
