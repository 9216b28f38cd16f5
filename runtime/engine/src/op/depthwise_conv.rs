//! `depthwise_conv`.

use crate::{Cx, RunError};
use cygnet_format::op::DepthwiseConv;

pub(crate) fn run(_op: &DepthwiseConv, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("depthwise_conv"))
}
