//! `pool`.

use crate::{Cx, RunError};
use cygnet_format::op::Pool;

pub(crate) fn run(_op: &Pool, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("pool"))
}
