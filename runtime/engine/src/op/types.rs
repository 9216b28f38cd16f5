//! Choice of a body by element type or element size.

use crate::{RunError, Tensor, TensorMut};

/// Runs `$body` with `$t` as the Rust type of the element type `$dtype`; other types are an error.
macro_rules! by_type {
    ($dtype:expr, [$($d:ident $r:ty),* $(,)?], |$t:ident| $body:expr) => {
        match $dtype {
            $(cygnet_format::DType::$d => { type $t = $r; $body })*
            _ => Err($crate::RunError::dtype("the operator has no kernel for this element type")),
        }
    };
}

/// [`by_type`] over every number with 8 bits or more.
macro_rules! by_number {
    ($dtype:expr, |$t:ident| $body:expr) => {
        by_type!($dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16, I8 i8, U8 u8, I16 i16, U16 u16, I32 i32, U32 u32,
            I64 i64, U64 u64], |$t| $body)
    };
}

/// Runs `$body` with `$n` as the size of `$dtype` in bytes.
macro_rules! by_size {
    ($dtype:expr, |$n:ident| $body:expr) => {
        match $dtype.size() {
            1 => {
                const $n: usize = 1;
                $body
            }
            2 => {
                const $n: usize = 2;
                $body
            }
            4 => {
                const $n: usize = 4;
                $body
            }
            _ => {
                const $n: usize = 8;
                $body
            }
        }
    };
}

/// Runs `$body` with the elements of the index tensor `$tensor` as `$i`.
macro_rules! with_indices {
    ($tensor:expr, |$i:ident| $body:expr) => {
        match $tensor.dtype {
            cygnet_format::DType::I32 => {
                let $i = $tensor.as_slice::<i32>()?;
                $body
            }
            _ => {
                let $i = $tensor.as_slice::<i64>()?;
                $body
            }
        }
    };
}

/// An error unless both tensors have one element type.
pub(super) fn same_type(x: &Tensor<'_>, y: &TensorMut<'_>) -> Result<(), RunError> {
    if x.dtype == y.dtype {
        Ok(())
    } else {
        Err(RunError::dtype(
            "input and output have different element types",
        ))
    }
}

/// A shape error unless `fine`.
pub(super) fn fits(fine: bool) -> Result<(), RunError> {
    if fine {
        Ok(())
    } else {
        Err(RunError::shape("the operands' shapes do not agree"))
    }
}

/// Takes output 0 holding the bytes of input 0, copied unless it lies on it.
pub(super) fn output_holding_input<'a>(cx: &mut crate::Cx<'a>) -> Result<TensorMut<'a>, RunError> {
    let (dtype, shape) = cx.input_type(0)?;
    let y = if cx.in_place(0, 0) {
        cx.output(0)?
    } else {
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        fits(x.bytes.len() == y.bytes.len())?;
        y.bytes.copy_from_slice(x.bytes);
        y
    };
    if dtype != y.dtype {
        return Err(RunError::dtype(
            "input and output have different element types",
        ));
    }
    fits(shape.count() == y.shape.count())?;
    Ok(y)
}
