//! `expand`.

use crate::{Cx, RunError};
use cygnet_format::op::Expand;

pub(crate) fn run(_op: &Expand, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("expand"))
}
