//! `top_k`.

use crate::{Cx, RunError};
use cygnet_format::op::TopK;

pub(crate) fn run(_op: &TopK, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("top_k"))
}
