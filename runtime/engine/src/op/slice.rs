//! `slice`: element `i` of an axis is `x[start + i*step]`.

use crate::{Cx, RunError, TensorType};
use cygnet_format::op::Slice;
use cygnet_format::{Dim, MAX_RANK};
use cygnet_kernels::movement::{Side, dense_copy};

pub(crate) fn run(op: &Slice, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let y = cx.output(0)?;
    let (offset, from) = prepare(op, x.kind(), y.kind(), |d| cx.dim(d))?;
    if y.bytes.is_empty() {
        return Ok(());
    }
    let rank = x.shape.rank();
    let from = Side {
        offset,
        strides: &from[..rank],
    };
    Ok(dense_copy(
        x.dtype.size(),
        &y.shape,
        x.bytes,
        from,
        y.bytes,
    )?)
}

/// The first element that is copied, and the distances of elements along each axis; `dim` gives where the slice starts.
pub(crate) fn prepare(
    op: &Slice,
    x: TensorType,
    y: TensorType,
    dim: impl Fn(Dim) -> Result<usize, RunError>,
) -> Result<(usize, [isize; MAX_RANK]), RunError> {
    let rank = x.shape.rank();
    if op.starts.len() != rank
        || op.steps.len() != rank
        || y.shape.rank() != rank
        || x.dtype != y.dtype
    {
        return Err(RunError::shape("slice lists every axis"));
    }
    let strides = x.shape.strides();
    let (mut offset, mut from) = (0usize, [0isize; MAX_RANK]);
    if y.shape.count() == 0 {
        return Ok((offset, from));
    }
    for axis in 0..rank {
        let start = dim(op.starts[axis])?;
        let skip = start
            .checked_mul(strides[axis])
            .and_then(|s| s.checked_add(offset));
        offset = skip.ok_or(RunError::overflow())?;
        from[axis] = (op.steps[axis] as isize)
            .checked_mul(strides[axis] as isize)
            .ok_or(RunError::overflow())?;
        let last = start as i128 + op.steps[axis] as i128 * (y.shape[axis] as i128 - 1);
        if start >= x.shape[axis] || !(0..x.shape[axis] as i128).contains(&last) {
            return Err(RunError::shape("a slice lies outside the tensor"));
        }
    }
    Ok((offset, from))
}
