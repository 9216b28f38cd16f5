//! `int16_add`.

use super::quantization::clamped;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::op::Int16Add;

pub(crate) fn run(op: &Int16Add, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let (a_shape, b_shape) = (cx.input_type(0)?.1, cx.input_type(1)?.1);
    let y = cx.output(0)?;
    if a_shape != y.shape || b_shape != y.shape {
        return Err(RunError::shape("operands and result have one shape"));
    }
    let bounds = clamped(y.dtype, op.low, op.high)?;
    let [p, q] = [op.a_multiplier, op.b_multiplier];
    let kernels = cx.kernels();
    let (multipliers, first, second) = match lies_on {
        Some(0) => ([p, q], None, cx.input(1)?),
        // A sum of two floats commutes.
        Some(_) => ([q, p], None, cx.input(0)?),
        None => ([p, q], Some(cx.input(0)?), cx.input(1)?),
    };
    let first = first.map(|a| a.as_slice::<i16>()).transpose()?;
    let second = second.as_slice::<i16>()?;
    let y = y.into_mut_slice::<i16>()?;
    let part = if y.len() < PARALLEL_WORK {
        y.len()
    } else {
        y.len().div_ceil(cx.threads() * 2).next_multiple_of(64)
    };
    cx.parallel_chunks(y, part, &|i, y| {
        let a = first.map(|a| &a[i * part..][..y.len()]);
        let b = &second[i * part..][..y.len()];
        Ok(kernels.int16_add(multipliers, bounds, a, b, y)?)
    })
}
