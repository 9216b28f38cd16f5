//! `concat`.

use crate::{Cx, RunError};
use cygnet_format::op::Concat;

pub(crate) fn run(_op: &Concat, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("concat"))
}
