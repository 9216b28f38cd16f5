//! `non_max_suppression`.

use crate::{Cx, RunError};
use cygnet_format::op::NonMaxSuppression;

pub(crate) fn run(_op: &NonMaxSuppression, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("non_max_suppression"))
}
