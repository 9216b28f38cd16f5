//! `pad`.

use crate::{Cx, RunError};
use cygnet_format::op::Pad;

pub(crate) fn run(_op: &Pad, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("pad"))
}
