//! `transpose`.

use crate::{Cx, RunError};
use cygnet_format::op::Transpose;

pub(crate) fn run(_op: &Transpose, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("transpose"))
}
