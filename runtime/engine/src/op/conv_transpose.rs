//! `conv_transpose`.

use crate::{Cx, RunError};
use cygnet_format::op::ConvTranspose;

pub(crate) fn run(_op: &ConvTranspose, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("conv_transpose"))
}
