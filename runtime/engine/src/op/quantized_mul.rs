//! `quantized_mul`.

use super::quantization::clamped;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Shape};
use cygnet_format::{DType, op::QuantizedMul};
use cygnet_kernels::quantize::{Factors, Target};

pub(crate) fn run(op: &QuantizedMul, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let (a_type, a_shape) = cx.input_type(0)?;
    let b = cx.input(1)?;
    let y = cx.output(0)?;
    if a_type != y.dtype || b.dtype != y.dtype {
        return Err(RunError::dtype("operands and result have one element type"));
    }
    let signed = match y.dtype {
        DType::U8 => false,
        DType::I8 => true,
        _ => return Err(RunError::dtype("operands are 8-bit integers")),
    };
    let batches = batches(&a_shape, &b.shape, &y.shape)?;
    let small = |v: i32| (-255..=255).contains(&v);
    if !small(op.a_zero) || !small(op.b_zero) || !small(op.zero) {
        return Err(RunError::attribute("a zero point is a value of its type"));
    }
    let (low, high) = clamped(y.dtype, op.low, op.high)?;
    let target = Target {
        zero: op.zero,
        low,
        high,
    };
    let factors = Factors {
        a_zero: op.a_zero,
        b_zero: op.b_zero,
        multiplier: op.multiplier,
    };
    let a = match lies_on {
        Some(_) => None,
        None => Some(cx.input(0)?.bytes),
    };
    let (kernels, len) = (cx.kernels(), y.bytes.len());
    if len == 0 {
        return Ok(());
    }
    let (batch, row) = (len / batches, b.bytes.len() / batches);
    let part = part(cx, batches, batch, row);
    let b = b.bytes;
    cx.parallel_chunks(y.bytes, part, &|i, y| {
        let at = i * part;
        let a = a.map(|a| &a[at..][..y.len()]);
        let b = &b[at / batch * row..][..row];
        Ok(kernels.quantized_mul(&factors, &target, signed, a, b, y)?)
    })
}

/// Elements that a thread takes at a time: whole rows of the second operand, inside of one batch.
pub(super) fn part(cx: &Cx<'_>, batches: usize, batch: usize, row: usize) -> usize {
    if batches * batch < PARALLEL_WORK || batches > 1 {
        return batch;
    }
    batch
        .div_ceil(cx.threads() * 2)
        .next_multiple_of(row)
        .min(batch)
}

/// Inside of how many parts of the result `b` is repeated; an error where the shapes of `a`, `b` and the result do not
/// agree.
pub(super) fn batches(a: &Shape, b: &Shape, y: &Shape) -> Result<usize, RunError> {
    let wrong = RunError::shape("the second operand broadcasts over the inner axes");
    if a != y || b.len() != y.len() {
        return Err(wrong);
    }
    if b == y {
        return Ok(1);
    }
    let (Some((&first, _)), Some((&last, inner))) = (y.split_first(), b.split_last()) else {
        return Err(wrong);
    };
    let lead = inner.first().copied().unwrap_or(1);
    let inner_ones = inner.iter().skip(1).all(|&d| d == 1);
    if y.last() != Some(&last) || !inner_ones || !(lead == 1 || lead == first) {
        return Err(wrong);
    }
    Ok(lead)
}
