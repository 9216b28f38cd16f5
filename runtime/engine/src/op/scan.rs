//! `scan`.

use crate::{Cx, RunError};
use cygnet_format::op::Scan;

pub(crate) fn run(_op: &Scan, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("scan"))
}
