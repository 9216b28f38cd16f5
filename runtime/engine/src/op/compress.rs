//! `compress`.

use crate::{Cx, RunError};
use cygnet_format::op::Compress;

pub(crate) fn run(_op: &Compress, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("compress"))
}
