//! `unique`.

use crate::{Cx, RunError};
use cygnet_format::op::Unique;

pub(crate) fn run(_op: &Unique, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("unique"))
}
