//! `quantized_add`.

use super::quantization::clamped;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Tensor, TensorType};
use cygnet_format::{DType, op::QuantizedAdd};
use cygnet_kernels::quantize::{Target, Term};

pub(crate) fn run<'a>(op: &QuantizedAdd, cx: &mut Cx<'a>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let ((a_type, a_shape), (b_type, b_shape)) = (cx.input_type(0)?, cx.input_type(1)?);
    let y = cx.output(0)?;
    let kinds = [(a_type, a_shape), (b_type, b_shape)];
    let kinds = kinds.map(|(dtype, shape)| TensorType { dtype, shape });
    let ([a, b], target, signed) = prepare(op, kinds, y.kind())?;
    let (kernels, len) = (cx.kernels(), y.bytes.len());
    let (terms, first, second) = match lies_on {
        Some(0) => ([a, b], None, cx.input(1)?),
        // A sum of two floats commutes.
        Some(_) => ([b, a], None, cx.input(0)?),
        None => ([a, b], Some(cx.input(0)?), cx.input(1)?),
    };
    let part = if len < PARALLEL_WORK {
        len
    } else {
        len.div_ceil(cx.threads() * 2).next_multiple_of(64)
    };
    cx.parallel_chunks(y.bytes, part, &|i, y| {
        let of = |x: &Tensor<'a>| &x.bytes[i * part..][..y.len()];
        let (p, q) = (first.as_ref().map(of), of(&second));
        Ok(kernels.quantized_add(terms, &target, signed, p, q, y)?)
    })
}

/// The kernel's parameters for operands `a, b`: what becomes of each, of their sum, and whether the bytes are signed.
pub(crate) fn prepare(
    op: &QuantizedAdd,
    [a, b]: [TensorType; 2],
    y: TensorType,
) -> Result<([Term; 2], Target, bool), RunError> {
    if a.dtype != y.dtype || b.dtype != y.dtype {
        return Err(RunError::dtype("operands and result have one element type"));
    }
    if a.shape != y.shape || b.shape != y.shape {
        return Err(RunError::shape("operands and result have one shape"));
    }
    // Zero points outside of the type would let differences overflow.
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
    let a = Term {
        zero: op.a_zero,
        multiplier: op.a_multiplier,
    };
    let b = Term {
        zero: op.b_zero,
        multiplier: op.b_multiplier,
    };
    let signed = match y.dtype {
        DType::U8 => false,
        DType::I8 => true,
        _ => return Err(RunError::dtype("operands are 8-bit integers")),
    };
    Ok(([a, b], target, signed))
}
