//! `scatter_elements`.

use crate::{Cx, RunError};
use cygnet_format::op::ScatterElements;

pub(crate) fn run(_op: &ScatterElements, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("scatter_elements"))
}
