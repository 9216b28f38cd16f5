//! `roi_align`.

use crate::{Cx, RunError};
use cygnet_format::op::RoiAlign;

pub(crate) fn run(_op: &RoiAlign, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("roi_align"))
}
