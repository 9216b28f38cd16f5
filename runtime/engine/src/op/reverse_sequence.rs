//! `reverse_sequence`.

use crate::{Cx, RunError};
use cygnet_format::op::ReverseSequence;

pub(crate) fn run(_op: &ReverseSequence, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("reverse_sequence"))
}
