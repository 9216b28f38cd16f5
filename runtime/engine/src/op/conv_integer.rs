//! `conv_integer`.

use crate::{Cx, RunError};
use cygnet_format::op::ConvInteger;

pub(crate) fn run(_op: &ConvInteger, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("conv_integer"))
}
