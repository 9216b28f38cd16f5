//! `if_else`.

use crate::{Cx, RunError};
use cygnet_format::op::If;

pub(crate) fn run(_op: &If, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("if_else"))
}
