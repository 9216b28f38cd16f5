//! `depthwise_conv`: one kernel a channel, channels-last, with fused epilogue.

use crate::activation::activation;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError};
use cygnet_format::op::DepthwiseConv;
use cygnet_kernels::Conv;

pub(crate) fn run(op: &DepthwiseConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let (bias, residual) = (cx.opt_input(2)?, cx.opt_input(3)?);
    let kernels = cx.kernels();
    let mut y = cx.output(0)?;
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
    if bias.is_some_and(|b| b.shape.count() != yi.channels)
        || residual.is_some_and(|r| r.shape != y.shape)
    {
        return Err(RunError::shape(
            "the bias has an element a channel, the residual the shape of the result",
        ));
    }
    let p = Conv {
        batch: xi.batch,
        input: xi.size,
        in_channels: xi.channels,
        output: yi.size,
        out_channels: yi.channels,
        kernel: window.kernel,
        stride: window.stride,
        dilation: window.dilation,
        pad_begin: window.pad_begin,
        groups: xi.channels,
        activation: activation(&op.act),
    };
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
    let (rows, row) = (p.rows(), yi.size[2] * yi.channels);
    // Depthwise convolutions are bound by memory: about four multiply-adds take the time of one of a product.
    let work = y.len().saturating_mul(taps).saturating_mul(4);
    let part = if work < PARALLEL_WORK {
        rows
    } else {
        rows.div_ceil(cx.threads() * 2)
    };
    if cx.threads() == 1 || part >= rows {
        return Ok(kernels.depthwise(&p, x, w, bias, residual, y, 0..rows)?);
    }
    cx.parallel_chunks(y, part * row, &|i, y| {
        let (first, count) = (i * part, y.len() / row);
        let residual = residual.map(|r| &r[first * row..][..y.len()]);
        Ok(kernels.depthwise(&p, x, w, bias, residual, y, first..first + count)?)
    })
}
