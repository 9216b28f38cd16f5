//! `resize`.

use crate::{Cx, RunError};
use cygnet_format::op::Resize;

pub(crate) fn run(_op: &Resize, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("resize"))
}
