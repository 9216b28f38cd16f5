//! `range`.

use crate::{Cx, RunError};
use cygnet_format::op::Range;

pub(crate) fn run(_op: &Range, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("range"))
}
