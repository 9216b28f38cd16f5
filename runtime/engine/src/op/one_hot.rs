//! `one_hot`.

use crate::{Cx, RunError};
use cygnet_format::op::OneHot;

pub(crate) fn run(_op: &OneHot, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("one_hot"))
}
