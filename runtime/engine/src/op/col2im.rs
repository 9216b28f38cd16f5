//! `col2im`.

use crate::{Cx, RunError};
use cygnet_format::op::Col2Im;

pub(crate) fn run(_op: &Col2Im, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("col2im"))
}
