//! `unary`.

use crate::{Cx, RunError};
use cygnet_format::op::Unary;

pub(crate) fn run(_op: &Unary, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("unary"))
}
