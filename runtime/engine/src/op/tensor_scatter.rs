//! `tensor_scatter`.

use crate::{Cx, RunError};
use cygnet_format::op::TensorScatter;

pub(crate) fn run(_op: &TensorScatter, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("tensor_scatter"))
}
