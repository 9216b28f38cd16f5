//! `det`.

use crate::{Cx, RunError};
use cygnet_format::op::Det;

pub(crate) fn run(_op: &Det, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("det"))
}
