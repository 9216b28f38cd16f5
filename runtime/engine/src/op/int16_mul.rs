//! `int16_mul`.

use super::quantization::clamped;
use super::quantized_mul::{batches, part};
use crate::{Cx, RunError};
use cygnet_format::op::Int16Mul;

pub(crate) fn run(op: &Int16Mul, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let a_shape = cx.input_type(0)?.1;
    let b = cx.input(1)?;
    let y = cx.output(0)?;
    let batches = batches(&a_shape, &b.shape, &y.shape)?;
    let bounds = clamped(y.dtype, op.low, op.high)?;
    let a = match lies_on {
        Some(_) => None,
        None => Some(cx.input(0)?.as_slice::<i16>()?),
    };
    let b = b.as_slice::<i16>()?;
    let y = y.into_mut_slice::<i16>()?;
    let (kernels, len) = (cx.kernels(), y.len());
    if len == 0 {
        return Ok(());
    }
    let (batch, row) = (len / batches, b.len() / batches);
    let part = part(cx, batches, batch, row);
    cx.parallel_chunks(y, part, &|i, y| {
        let at = i * part;
        let a = a.map(|a| &a[at..][..y.len()]);
        let b = &b[at / batch * row..][..row];
        Ok(kernels.int16_mul(op.multiplier, bounds, a, b, y)?)
    })
}
