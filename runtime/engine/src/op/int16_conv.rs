//! `int16_conv`, and what it shares with `int16_depthwise`.

use super::quantization::clamped;
use super::quantized_conv::{disagree, part, shape};
use crate::{Cx, RunError, Shape, TensorType};
use core::ops::Range;
use cygnet_format::{DType, op};
use cygnet_kernels::int16::{Int16Conv, Operands};
use cygnet_kernels::{KernelError, Kernels};

/// A kernel of [`Kernels`], dense or depthwise.
type Kernel =
    fn(&Kernels, &Int16Conv, &Operands<'_>, &mut [i16], Range<usize>) -> Result<(), KernelError>;

pub(crate) fn run(op: &op::Int16Conv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(op, cx, false)
}

/// The kernel's parameters, for operands `x, weights, bias, multiplier`.
pub(super) fn prepare(
    op: &op::Int16Conv,
    depthwise: bool,
    [x, w, bias, multiplier]: [TensorType; 4],
    y: TensorType,
) -> Result<Int16Conv, RunError> {
    let types = [x.dtype, w.dtype, bias.dtype, multiplier.dtype, y.dtype];
    if types != [DType::I16, DType::I8, DType::I32, DType::F32, DType::I16] {
        return Err(RunError::dtype("operands of a 16-bit convolution"));
    }
    let shapes = [&x.shape, &w.shape, &bias.shape, &multiplier.shape];
    parameters(op, depthwise, shapes, (y.dtype, &y.shape))
}

fn parameters(
    op: &op::Int16Conv,
    depthwise: bool,
    [x, w, bias, multiplier]: [&Shape; 4],
    (dtype, y): (DType, &Shape),
) -> Result<Int16Conv, RunError> {
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let group = (!depthwise).then_some(op.group);
    let conv = shape(axes, group, x, w, y)?;
    if **bias != [conv.out_channels] || **multiplier != [conv.out_channels] {
        return Err(disagree());
    }
    Ok(Int16Conv {
        conv,
        bounds: clamped(dtype, op.low, op.high)?,
    })
}

/// Runs either operator; a depthwise one takes its groups from the channels.
pub(super) fn convolve(
    op: &op::Int16Conv,
    cx: &mut Cx<'_>,
    depthwise: bool,
) -> Result<(), RunError> {
    let (x, w, bias, multiplier) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    let y = cx.output(0)?;
    let shapes = [&x.shape, &w.shape, &bias.shape, &multiplier.shape];
    let p = parameters(op, depthwise, shapes, (y.dtype, &y.shape))?;
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
