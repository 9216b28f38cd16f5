//! `grid_sample`.

use crate::{Cx, RunError};
use cygnet_format::op::GridSample;

pub(crate) fn run(_op: &GridSample, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("grid_sample"))
}
