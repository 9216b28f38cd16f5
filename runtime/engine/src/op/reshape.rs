//! `reshape`.

use crate::{Cx, RunError};
use cygnet_format::op::Reshape;

pub(crate) fn run(_op: &Reshape, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("reshape"))
}
