//! `where_select`.

use crate::{Cx, RunError};
use cygnet_format::op::Where;

pub(crate) fn run(_op: &Where, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("where_select"))
}
