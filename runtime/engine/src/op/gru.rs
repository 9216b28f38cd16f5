//! `gru`.

use crate::{Cx, RunError};
use cygnet_format::op::Gru;

pub(crate) fn run(_op: &Gru, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("gru"))
}
