//! `lstm`.

use crate::{Cx, RunError};
use cygnet_format::op::Lstm;

pub(crate) fn run(_op: &Lstm, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("lstm"))
}
