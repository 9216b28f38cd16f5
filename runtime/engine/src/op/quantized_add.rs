//! `quantized_add`.

use super::quantization::clamped;
use crate::{Cx, RunError};
use cygnet_format::{DType, op::QuantizedAdd};
use cygnet_kernels::quantize::{Target, Term, add, add_in_place};

pub(crate) fn run(op: &QuantizedAdd, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let ((a_type, a_shape), (b_type, b_shape)) = (cx.input_type(0)?, cx.input_type(1)?);
    let mut y = cx.output(0)?;
    if a_type != y.dtype || b_type != y.dtype {
        return Err(RunError::dtype("operands and result have one element type"));
    }
    if a_shape != y.shape || b_shape != y.shape {
        return Err(RunError::shape("operands and result have one shape"));
    }
    // Zero points outside of the type would let differences overflow.
    let small = |v: i32| (-255..=255).contains(&v);
    if !small(op.a_zero) || !small(op.b_zero) {
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
    macro_rules! of {
        ($t:ty) => {{
            let store = |v: i32| v as $t;
            match lies_on {
                Some(0) => {
                    let other = cx.input(1)?;
                    Ok(add_in_place(
                        [a, b],
                        &target,
                        y.as_mut_slice::<$t>()?,
                        other.as_slice()?,
                        store,
                    )?)
                }
                Some(_) => {
                    let other = cx.input(0)?;
                    Ok(add_in_place(
                        [b, a],
                        &target,
                        y.as_mut_slice::<$t>()?,
                        other.as_slice()?,
                        store,
                    )?)
                }
                None => {
                    let (p, q) = (cx.input(0)?, cx.input(1)?);
                    Ok(add(
                        [a, b],
                        &target,
                        p.as_slice()?,
                        q.as_slice()?,
                        store,
                        y.as_mut_slice::<$t>()?,
                    )?)
                }
            }
        }};
    }
    match y.dtype {
        DType::U8 => of!(u8),
        DType::I8 => of!(i8),
        _ => Err(RunError::dtype("operands are 8-bit integers")),
    }
}
