//! `dynamic_quantize_linear`.

use crate::{Cx, RunError};
use cygnet_format::op::DynamicQuantizeLinear;

pub(crate) fn run(_op: &DynamicQuantizeLinear, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("dynamic_quantize_linear"))
}
