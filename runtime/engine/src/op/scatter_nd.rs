//! `scatter_nd`.

use crate::{Cx, RunError};
use cygnet_format::op::ScatterNd;

pub(crate) fn run(_op: &ScatterNd, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("scatter_nd"))
}
