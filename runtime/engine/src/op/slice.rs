//! `slice`.

use crate::{Cx, RunError};
use cygnet_format::op::Slice;

pub(crate) fn run(_op: &Slice, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("slice"))
}
