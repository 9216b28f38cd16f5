//! `attention`.

use crate::{Cx, RunError};
use cygnet_format::op::Attention;

pub(crate) fn run(_op: &Attention, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("attention"))
}
