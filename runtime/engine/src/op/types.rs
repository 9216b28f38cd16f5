//! Choice of a body by element type or element size.

use crate::{RunError, Tensor, TensorMut};
use cygnet_format::DType;
use cygnet_kernels::index::Indices;

/// Runs `$body` with `$t` as the Rust type of the element type `$dtype`; other types are an error.
macro_rules! by_type {
    ($dtype:expr, [$($d:ident $r:ty),* $(,)?], |$t:ident| $body:expr) => {
        match $dtype {
            $(cygnet_format::DType::$d => { type $t = $r; $body })*
            _ => Err($crate::RunError::dtype("the operator has no kernel for this element type")),
        }
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

/// The elements of an index tensor.
pub(super) fn indices<'a>(t: &Tensor<'a>) -> Result<Indices<'a>, RunError> {
    Ok(match t.dtype {
        DType::I32 => Indices::I32(t.as_slice()?),
        _ => Indices::I64(t.as_slice()?),
    })
}

/// An error unless the elements are numbers of 8 bits or more, the small floats left out.
pub(super) fn number(dtype: DType) -> Result<(), RunError> {
    if cygnet_kernels::is_number(dtype) {
        Ok(())
    } else {
        Err(RunError::dtype(
            "the operator has no kernel for this element type",
        ))
    }
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
