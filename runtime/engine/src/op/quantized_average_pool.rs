//! `quantized_average_pool`: 8-bit means on channels-last tensors.

use super::pool::each_part;
use super::quantization::clamped;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError, Shape, TensorType};
use cygnet_format::{Axes, DType, op::QuantizedAveragePool};
use cygnet_kernels::quantize::Target;
use cygnet_kernels::{Pool, PoolKind};

pub(crate) fn run(op: &QuantizedAveragePool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let (p, signed, target) = prepare(op, x.kind(), y.kind())?;
    let (kernels, of) = (cx.kernels(), (op.x_zero, op.multiplier));
    each_part(cx, &p, y.bytes, &|y, rows| {
        Ok(kernels.quantized_average_pool(&p, signed, of, &target, x.bytes, y, rows)?)
    })
}

/// The kernel's parameters: the window, whether the bytes are signed, and what becomes of the means.
pub(crate) fn prepare(
    op: &QuantizedAveragePool,
    x: TensorType,
    y: TensorType,
) -> Result<(Pool, bool, Target), RunError> {
    if x.dtype != y.dtype {
        return Err(RunError::dtype("pooling keeps the element type"));
    }
    let small = |v: i32| (-255..=255).contains(&v);
    if !small(op.x_zero) || !small(op.zero) {
        return Err(RunError::attribute("a zero point is a value of its type"));
    }
    let (low, high) = clamped(y.dtype, op.low, op.high)?;
    let target = Target {
        zero: op.zero,
        low,
        high,
    };
    let signed = match x.dtype {
        DType::U8 => false,
        DType::I8 => true,
        _ => return Err(RunError::dtype("operands are 8-bit integers")),
    };
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let (window, xi, output) = windows(axes, &x.shape, &y.shape)?;
    let kind = if op.count_include_pad {
        PoolKind::AverageIncludePad
    } else {
        PoolKind::Average
    };
    Ok((window.pool(kind, &xi, output), signed, target))
}

/// The window (kernel, strides, dilations, pads) over images of shape `x`, and the sizes of the result; without a kernel,
/// the window is the image.
pub(super) fn windows(
    [kernel, strides, dilations, pads]: [&Axes; 4],
    x: &Shape,
    y: &Shape,
) -> Result<(Window, Image, [usize; 3]), RunError> {
    let agrees = RunError::shape("pooling keeps the batch and the channels");
    let xi = Image::new(x)?;
    if kernel.is_empty() {
        if xi.batch.checked_mul(xi.channels) != Some(y.count()) {
            return Err(agrees);
        }
        return Ok((Window::whole(&xi), xi, [1; 3]));
    }
    let yi = Image::new(y)?;
    if x.rank() != y.rank() || (xi.batch, xi.channels) != (yi.batch, yi.channels) {
        return Err(agrees);
    }
    Ok((
        Window::new(x, kernel, strides, dilations, pads)?,
        xi,
        yi.size,
    ))
}
