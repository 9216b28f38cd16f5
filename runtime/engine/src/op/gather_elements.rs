//! `gather_elements`.

use crate::{Cx, RunError};
use cygnet_format::op::GatherElements;

pub(crate) fn run(_op: &GatherElements, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("gather_elements"))
}
