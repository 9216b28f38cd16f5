//! `gather`.

use crate::{Cx, RunError};
use cygnet_format::op::Gather;

pub(crate) fn run(_op: &Gather, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("gather"))
}
