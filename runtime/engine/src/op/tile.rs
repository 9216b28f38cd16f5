//! `tile`.

use crate::{Cx, RunError};
use cygnet_format::op::Tile;

pub(crate) fn run(_op: &Tile, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("tile"))
}
