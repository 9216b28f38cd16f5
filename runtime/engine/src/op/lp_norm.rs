//! `lp_norm`.

use crate::{Cx, RunError};
use cygnet_format::op::LpNorm;

pub(crate) fn run(_op: &LpNorm, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("lp_norm"))
}
