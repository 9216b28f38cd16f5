//! `int16_pool`: maxima and means of 16-bit integers on channels-last tensors.

use super::pool::each_part;
use super::quantization::clamped;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError};
use cygnet_format::op::{self, Int16Pool};
use cygnet_kernels::PoolKind;

pub(crate) fn run(op: &Int16Pool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let bounds = clamped(y.dtype, op.low, op.high)?;
    let xi = Image::new(&x.shape)?;
    let agrees = RunError::shape("pooling keeps the batch and the channels");
    // Without a kernel, the window is the image.
    let (output, window) = if op.kernel.is_empty() {
        if xi.batch.checked_mul(xi.channels) != Some(y.shape.iter().product()) {
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
    let kind = match (op.kind, op.count_include_pad) {
        (op::PoolKind::Max, _) => PoolKind::Max,
        (op::PoolKind::Average, false) => PoolKind::Average,
        (op::PoolKind::Average, true) => PoolKind::AverageIncludePad,
        _ => return Err(RunError::attribute("16-bit pools are maxima and means")),
    };
    let p = window.pool(kind, &xi, output);
    let (kernels, x) = (cx.kernels(), x.as_slice::<i16>()?);
    each_part(cx, &p, y.into_mut_slice::<i16>()?, &|y, rows| {
        Ok(kernels.int16_pool(&p, op.multiplier, bounds, x, y, rows)?)
    })
}
