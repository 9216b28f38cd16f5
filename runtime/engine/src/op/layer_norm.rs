//! `layer_norm`.

use crate::{Cx, RunError};
use cygnet_format::op::LayerNorm;

pub(crate) fn run(_op: &LayerNorm, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("layer_norm"))
}
