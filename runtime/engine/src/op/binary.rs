//! `binary`: two-input elementwise functions with NumPy broadcasting.

use crate::activation::binary;
use crate::broadcast::strides;
use crate::element::arithmetic;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Tensor, TensorMut};
use cygnet_format::DType;
use cygnet_format::op::{Binary, BinaryKind};
use cygnet_kernels::{Broadcast, generic};

pub(crate) fn run(op: &Binary, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let lies_on = cx.in_place_input(0);
    let (dtype, x_shape) = cx.input_type(0)?;
    let (y_type, y_shape) = cx.input_type(1)?;
    let mut z = cx.output(0)?;
    if dtype != y_type {
        return Err(RunError::dtype("both operands have the same element type"));
    }
    strides(&x_shape, &z.shape)?;
    strides(&y_shape, &z.shape)?;
    let own = if lies_on == Some(1) {
        &y_shape
    } else {
        &x_shape
    };
    if lies_on.is_some() && *own != z.shape {
        return Err(RunError::shape("an operation in place keeps the shape"));
    }
    if lies_on.is_none() && (is_comparison(op.kind) || dtype == DType::Bool) {
        let (x, y) = (cx.input(0)?, cx.input(1)?);
        return to_booleans(op.kind, &x, &y, &mut z);
    }
    if z.dtype != dtype {
        return Err(RunError::dtype(
            "the result has the element type of the operands",
        ));
    }
    let other = lies_on.map(|i| cx.input(1 - i)).transpose()?;
    if let (DType::F32, Some(f)) = (dtype, binary(op.kind)) {
        let b = Broadcast::new(&x_shape, &y_shape)?;
        let kernels = cx.kernels();
        let shape = z.shape;
        let z = z.as_mut_slice::<f32>()?;
        return {
            let _: () = match (lies_on, other) {
                (Some(0), Some(y)) => kernels.binary_inplace(f, &b, z, y.as_slice()?)?,
                (_, Some(x)) => kernels.binary_inplace_right(f, &b, x.as_slice()?, z)?,
                _ => {
                    let (x, y) = (
                        cx.input(0)?.as_slice::<f32>()?,
                        cx.input(1)?.as_slice::<f32>()?,
                    );
                    let dense = x_shape == shape && y_shape == shape;
                    if !dense || z.len().saturating_mul(4) < PARALLEL_WORK || cx.threads() == 1 {
                        return Ok(kernels.binary(f, &b, x, y, z)?);
                    }
                    let part = z.len().div_ceil(cx.threads() * 2).next_multiple_of(16);
                    return cx.parallel_chunks(z, part, &|i, z| {
                        let range = i * part..i * part + z.len();
                        let b = Broadcast::new(&[z.len()], &[z.len()])?;
                        Ok(kernels.binary(f, &b, &x[range.clone()], &y[range], z)?)
                    });
                }
            };
            Ok(())
        };
    }
    let shape = z.shape;
    if dtype == DType::Bool {
        let other = other.ok_or(RunError::dtype("booleans"))?;
        let swapped = lies_on == Some(1);
        return Ok(generic::logic_in_place(
            op.kind,
            z.bytes,
            &shape,
            other.bytes,
            &other.shape,
            swapped,
        )?);
    }
    arithmetic(dtype)?;
    match other {
        Some(other) => {
            let swapped = lies_on == Some(1);
            Ok(generic::binary_in_place(
                op.kind,
                dtype,
                z.bytes,
                &shape,
                other.bytes,
                &other.shape,
                swapped,
            )?)
        }
        None => {
            let (x, y) = (cx.input(0)?, cx.input(1)?);
            Ok(generic::binary(
                op.kind, dtype, x.bytes, &x_shape, y.bytes, &y_shape, z.bytes, &shape,
            )?)
        }
    }
}

fn is_comparison(kind: BinaryKind) -> bool {
    use BinaryKind::*;
    matches!(kind, Equal | Less | LessOrEqual | Greater | GreaterOrEqual)
}

fn to_booleans(
    kind: BinaryKind,
    x: &Tensor<'_>,
    y: &Tensor<'_>,
    z: &mut TensorMut<'_>,
) -> Result<(), RunError> {
    if z.dtype != DType::Bool {
        return Err(RunError::dtype("comparisons and logic give booleans"));
    }
    let shape = z.shape;
    if x.dtype == DType::Bool {
        return Ok(generic::logic(
            kind, x.bytes, &x.shape, y.bytes, &y.shape, z.bytes, &shape,
        )?);
    }
    arithmetic(x.dtype)?;
    Ok(generic::compare(
        kind, x.dtype, x.bytes, &x.shape, y.bytes, &y.shape, z.bytes, &shape,
    )?)
}
