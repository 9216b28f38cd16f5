//! `requantize`.

use crate::{Cx, RunError};
use cygnet_format::op::Requantize;

pub(crate) fn run(_op: &Requantize, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("requantize"))
}
