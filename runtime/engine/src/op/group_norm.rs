//! `group_norm`.

use crate::{Cx, RunError};
use cygnet_format::op::GroupNorm;

pub(crate) fn run(_op: &GroupNorm, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("group_norm"))
}
