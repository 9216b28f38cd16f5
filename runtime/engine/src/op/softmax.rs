//! `softmax`.

use crate::{Cx, RunError};
use cygnet_format::op::Softmax;

pub(crate) fn run(_op: &Softmax, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("softmax"))
}
