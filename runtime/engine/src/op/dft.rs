//! `dft`.

use crate::{Cx, RunError};
use cygnet_format::op::Dft;

pub(crate) fn run(_op: &Dft, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("dft"))
}
