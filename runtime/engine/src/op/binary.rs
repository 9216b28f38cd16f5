//! `binary`.

use crate::{Cx, RunError};
use cygnet_format::op::Binary;

pub(crate) fn run(_op: &Binary, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("binary"))
}
