//! `int16_depthwise`.

use super::int16_conv::convolve;
use crate::{Cx, RunError};
use cygnet_format::op;

pub(crate) fn run(op: &op::Int16Depthwise, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(&dense(op), cx, true)
}

/// The attributes in common.
pub(super) fn dense(op: &op::Int16Depthwise) -> op::Int16Conv {
    op::Int16Conv {
        kernel: op.kernel,
        strides: op.strides,
        dilations: op.dilations,
        pads: op.pads,
        group: 0,
        low: op.low,
        high: op.high,
    }
}
