//! `max_roi_pool`.

use crate::{Cx, RunError};
use cygnet_format::op::MaxRoiPool;

pub(crate) fn run(_op: &MaxRoiPool, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("max_roi_pool"))
}
