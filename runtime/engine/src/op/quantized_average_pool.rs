//! `quantized_average_pool`: 8-bit means on channels-last tensors.

use super::pool::each_part;
use super::quantization::clamped;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError, TensorType};
use cygnet_format::{DType, op::QuantizedAveragePool};
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
    let xi = Image::new(&x.shape)?;
    let agrees = RunError::shape("pooling keeps the batch and the channels");
    // Without a kernel, the window is the image.
    let whole = op.kernel.is_empty();
    let (output, window) = if whole {
        if xi.batch.checked_mul(xi.channels) != Some(y.shape.count()) {
            return Err(agrees);
        }
        ([1; 3], Window::whole(&xi))
    } else {
        let yi = Image::new(&y.shape)?;
        if x.shape.rank() != y.shape.rank() || (xi.batch, xi.channels) != (yi.batch, yi.channels) {
            return Err(agrees);
        }
        let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
        (yi.size, window)
    };
    let kind = if op.count_include_pad {
        PoolKind::AverageIncludePad
    } else {
        PoolKind::Average
    };
    Ok((window.pool(kind, &xi, output), signed, target))
}
