//! `quantized_depthwise`.

use super::quantized_conv::convolve;
use crate::{Cx, RunError};
use cygnet_format::op;

pub(crate) fn run(op: &op::QuantizedDepthwise, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(&dense(op), cx, true)
}

/// The attributes as those of a dense convolution.
pub(crate) fn dense(op: &op::QuantizedDepthwise) -> op::QuantizedConv {
    op::QuantizedConv {
        kernel: op.kernel,
        strides: op.strides,
        dilations: op.dilations,
        pads: op.pads,
        group: 0,
        x_zero: op.x_zero,
        zero: op.zero,
        low: op.low,
        high: op.high,
        own: op.own,
        other: op.other,
        residual_zero: op.residual_zero,
        sum_zero: op.sum_zero,
        sum_low: op.sum_low,
        sum_high: op.sum_high,
    }
}
