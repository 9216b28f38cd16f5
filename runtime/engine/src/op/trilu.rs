//! `trilu`.

use crate::{Cx, RunError};
use cygnet_format::op::Trilu;

pub(crate) fn run(_op: &Trilu, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("trilu"))
}
