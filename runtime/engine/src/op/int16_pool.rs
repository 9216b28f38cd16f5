//! `int16_pool`: maxima and means of 16-bit integers on channels-last tensors.

use super::pool::each_part;
use super::quantization::clamped;
use super::quantized_average_pool::windows;
use crate::{Cx, RunError, Shape};
use cygnet_format::DType;
use cygnet_format::op::{self, Int16Pool};
use cygnet_kernels::{Pool, PoolKind};

pub(crate) fn run(op: &Int16Pool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let (p, bounds) = parameters(op, &x.shape, (y.dtype, &y.shape))?;
    let (kernels, x) = (cx.kernels(), x.as_slice::<i16>()?);
    each_part(cx, &p, y.into_mut_slice::<i16>()?, &|y, rows| {
        Ok(kernels.int16_pool(&p, op.multiplier, bounds, x, y, rows)?)
    })
}

/// The window, and the least and greatest result.
pub(super) fn parameters(
    op: &Int16Pool,
    x: &Shape,
    (dtype, y): (DType, &Shape),
) -> Result<(Pool, (i32, i32)), RunError> {
    let bounds = clamped(dtype, op.low, op.high)?;
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let (window, xi, output) = windows(axes, x, y)?;
    let kind = match (op.kind, op.count_include_pad) {
        (op::PoolKind::Max, _) => PoolKind::Max,
        (op::PoolKind::Average, false) => PoolKind::Average,
        (op::PoolKind::Average, true) => PoolKind::AverageIncludePad,
        _ => return Err(RunError::attribute("16-bit pools are maxima and means")),
    };
    Ok((window.pool(kind, &xi, output), bounds))
}
