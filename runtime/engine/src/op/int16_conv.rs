//! `int16_conv`, and what it shares with `int16_depthwise`.

use super::quantization::clamped;
use super::quantized_conv::geometry;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use core::ops::Range;
use cygnet_format::op;
use cygnet_kernels::int16::{Int16Conv, Operands};
use cygnet_kernels::quantized::GROUP;
use cygnet_kernels::{Activation, KernelError, Kernels};

/// A kernel of [`Kernels`], dense or depthwise.
pub(super) type Kernel =
    fn(&Kernels, &Int16Conv, &Operands<'_>, &mut [i16], Range<usize>) -> Result<(), KernelError>;

pub(crate) fn run(op: &op::Int16Conv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(op, cx, None, Kernels::int16_conv)
}

/// Runs either operator; `depthwise` takes its groups from the channels.
pub(super) fn convolve(
    op: &op::Int16Conv,
    cx: &mut Cx<'_>,
    depthwise: Option<()>,
    kernel: Kernel,
) -> Result<(), RunError> {
    let (x, w, bias, multiplier) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    let y = cx.output(0)?;
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let (window, xi, yi) = geometry(axes, &x.shape, &y.shape)?;
    let groups = match depthwise {
        Some(()) => xi.channels,
        None => op.group as usize,
    };
    let divides = groups > 0 && xi.channels % groups == 0 && yi.channels % groups == 0;
    if xi.batch != yi.batch || !divides || (depthwise.is_some() && xi.channels != yi.channels) {
        return Err(RunError::shape(
            "a convolution keeps the batch, and the groups divide the channels",
        ));
    }
    let (c, o) = (xi.channels / groups, yi.channels / groups);
    let taps = window.taps().ok_or(RunError::overflow())?;
    let run = window.kernel[2]
        .checked_mul(c)
        .ok_or(RunError::overflow())?;
    let rows = window.kernel[0] * window.kernel[1];
    let fits = match depthwise {
        Some(()) => *w.shape == [taps, xi.channels],
        None => *w.shape == [groups, o.div_ceil(16), rows, run.div_ceil(GROUP), 16, GROUP],
    };
    if !fits || *bias.shape != [yi.channels] || *multiplier.shape != [yi.channels] {
        return Err(RunError::shape(
            "operands of a quantised convolution do not agree",
        ));
    }
    let p = Int16Conv {
        conv: window.convolution(&xi, &yi, groups, Activation::None),
        bounds: clamped(y.dtype, op.low, op.high)?,
    };
    let operands = Operands {
        x: x.as_slice::<i16>()?,
        weights: w.as_slice::<i8>()?,
        bias: bias.as_slice::<i32>()?,
        multiplier: multiplier.as_slice::<f32>()?,
    };
    let y = y.into_mut_slice::<i16>()?;
    if y.is_empty() {
        return Ok(());
    }
    let work = y.len().saturating_mul(taps.saturating_mul(c));
    let (rows, row) = (p.conv.rows(), p.conv.output[2] * p.conv.out_channels);
    let part = if work < PARALLEL_WORK || cx.threads() == 1 {
        rows
    } else {
        rows.div_ceil(cx.threads() * 4)
    };
    let kernels = cx.kernels();
    cx.parallel_chunks(y, part * row, &|i, y| {
        let first = i * part;
        Ok(kernel(
            kernels,
            &p,
            &operands,
            y,
            first..first + y.len() / row,
        )?)
    })
}
