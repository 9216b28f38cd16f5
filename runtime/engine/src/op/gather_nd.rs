//! `gather_nd`.

use crate::{Cx, RunError};
use cygnet_format::op::GatherNd;

pub(crate) fn run(_op: &GatherNd, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("gather_nd"))
}
