//! `pack_b`.

use crate::{Cx, RunError};
use cygnet_format::op::PackB;

pub(crate) fn run(_op: &PackB, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("pack_b"))
}
