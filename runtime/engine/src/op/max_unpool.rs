//! `max_unpool`.

use crate::{Cx, RunError};
use cygnet_format::op::MaxUnpool;

pub(crate) fn run(_op: &MaxUnpool, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("max_unpool"))
}
