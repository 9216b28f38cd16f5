//! `loop_while`.

use crate::{Cx, RunError};
use cygnet_format::op::Loop;

pub(crate) fn run(_op: &Loop, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("loop_while"))
}
