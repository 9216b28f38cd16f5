//! `cast`.

use crate::{Cx, RunError};
use cygnet_format::op::Cast;

pub(crate) fn run(_op: &Cast, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("cast"))
}
