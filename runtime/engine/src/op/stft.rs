//! `stft`.

use crate::{Cx, RunError};
use cygnet_format::op::Stft;

pub(crate) fn run(_op: &Stft, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("stft"))
}
