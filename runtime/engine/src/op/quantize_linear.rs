//! `quantize_linear`.

use crate::{Cx, RunError};
use cygnet_format::op::QuantizeLinear;

pub(crate) fn run(_op: &QuantizeLinear, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("quantize_linear"))
}
