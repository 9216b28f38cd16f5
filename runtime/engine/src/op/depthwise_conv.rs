//! `depthwise_conv`: one kernel a channel, channels-last, with fused epilogue.

use crate::activation::activation;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Operands, Window, check_epilogue, convolve};
use crate::{Cx, RunError, Tensor, TensorType};
use cygnet_format::op::DepthwiseConv;
use cygnet_kernels::{Conv, Kernels};

pub(crate) fn run(op: &DepthwiseConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let (bias, residual) = (cx.opt_input(2)?, cx.opt_input(3)?);
    let mut y = cx.output(0)?;
    let p = prepare(
        op,
        [&x, &w].map(Tensor::kind),
        [&bias, &residual].map(|t| t.as_ref().map(Tensor::kind)),
        y.kind(),
    )?;
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    let residual = residual.map(|t| t.as_slice::<f32>()).transpose()?;
    let (x, w, y) = (
        x.as_slice::<f32>()?,
        w.as_slice::<f32>()?,
        y.as_mut_slice::<f32>()?,
    );
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
    let operands = Operands {
        x,
        weights: w,
        bias,
        residual,
    };
    convolve(cx, Kernels::depthwise, &p, operands, y, part)
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
