//! `reduce`.

use crate::{Cx, RunError};
use cygnet_format::op::Reduce;

pub(crate) fn run(_op: &Reduce, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("reduce"))
}
