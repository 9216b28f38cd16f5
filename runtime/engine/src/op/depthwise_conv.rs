//! `depthwise_conv`: one kernel a channel, channels-last, with fused epilogue.

use crate::activation::activation;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window, check_epilogue, convolve, operands};
use crate::{Cx, RunError, TensorType};
use cygnet_format::op::DepthwiseConv;
use cygnet_kernels::{Conv, Kernels};

pub(crate) fn run(op: &DepthwiseConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (p, o, y) = operands(cx, |x, epilogue, y| prepare(op, x, epilogue, y))?;
    if y.is_empty() {
        return Ok(());
    }
    let rows = p.rows();
    // Depthwise convolutions are bound by memory: about four multiply-adds take the time of one of a product.
    let taps: usize = p.kernel.iter().product();
    let work = y.len().saturating_mul(taps).saturating_mul(4);
    let part = if work < PARALLEL_WORK {
        rows
    } else {
        rows.div_ceil(cx.threads() * 2)
    };
    convolve(cx, Kernels::depthwise, &p, o, y, part)
}

/// The kernel's parameters for operands `x, weights`, an optional bias and residual, and a result.
pub(crate) fn prepare(
    op: &DepthwiseConv,
    [x, w]: [TensorType; 2],
    [bias, residual]: [Option<TensorType>; 2],
    y: TensorType,
) -> Result<Conv, RunError> {
    let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    let taps = window.taps().ok_or(RunError::overflow())?;
    if x.shape.rank() != y.shape.rank() || xi.batch != yi.batch || xi.channels != yi.channels {
        return Err(RunError::shape(
            "a depthwise convolution keeps the batch and the channels",
        ));
    }
    if *w.shape != [taps, xi.channels] {
        return Err(RunError::shape("depthwise weights are [taps, C]"));
    }
    check_epilogue(bias, residual, &y.shape, yi.channels)?;
    Ok(window.convolution(&xi, &yi, xi.channels, activation(&op.act)))
}
