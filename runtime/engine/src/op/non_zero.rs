//! `non_zero`.

use crate::{Cx, RunError};
use cygnet_format::op::NonZero;

pub(crate) fn run(_op: &NonZero, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("non_zero"))
}
