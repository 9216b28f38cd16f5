//! `int16_conv`, and what it shares with `int16_depthwise`.

use super::quantization::clamped;
use super::quantized_conv::{disagree, part, shape};
use crate::{Cx, RunError};
use core::ops::Range;
use cygnet_format::op;
use cygnet_kernels::int16::{Int16Conv, Operands};
use cygnet_kernels::{KernelError, Kernels};

/// A kernel of [`Kernels`], dense or depthwise.
type Kernel =
    fn(&Kernels, &Int16Conv, &Operands<'_>, &mut [i16], Range<usize>) -> Result<(), KernelError>;

pub(crate) fn run(op: &op::Int16Conv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(op, cx, false)
}

/// Runs either operator; a depthwise one takes its groups from the channels.
pub(super) fn convolve(
    op: &op::Int16Conv,
    cx: &mut Cx<'_>,
    depthwise: bool,
) -> Result<(), RunError> {
    let (x, w, bias, multiplier) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    let y = cx.output(0)?;
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let group = (!depthwise).then_some(op.group);
    let conv = shape(axes, group, &x.shape, &w.shape, &y.shape)?;
    if *bias.shape != [conv.out_channels] || *multiplier.shape != [conv.out_channels] {
        return Err(disagree());
    }
    let p = Int16Conv {
        conv,
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
    let (part, row) = (part(cx, &p.conv), p.conv.output[2] * p.conv.out_channels);
    let kernel: Kernel = if depthwise {
        Kernels::int16_depthwise
    } else {
        Kernels::int16_conv
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
