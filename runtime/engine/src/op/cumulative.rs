//! `cumulative`.

use crate::{Cx, RunError};
use cygnet_format::op::Cumulative;

pub(crate) fn run(_op: &Cumulative, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("cumulative"))
}
