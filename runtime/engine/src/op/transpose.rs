//! `transpose`: `y.shape[i] = x.shape[perm[i]]`.

use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Shape};
use cygnet_format::MAX_RANK;
use cygnet_format::op::Transpose;
use cygnet_kernels::movement::Side;

pub(crate) fn run(op: &Transpose, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let y = cx.output(0)?;
    let rank = x.shape.rank();
    let (mut seen, mut from) = ([false; MAX_RANK], [0isize; MAX_RANK]);
    let strides = x.shape.strides();
    if op.perm.len() != rank || y.shape.rank() != rank || x.dtype != y.dtype {
        return Err(RunError::shape("transpose permutes the axes"));
    }
    for (i, &p) in op.perm.iter().enumerate() {
        let axis = usize::try_from(p).ok().filter(|&p| p < rank && !seen[p]);
        let axis = axis.ok_or(RunError::attribute("perm is a permutation of the axes"))?;
        seen[axis] = true;
        if y.shape[i] != x.shape[axis] {
            return Err(RunError::shape("transpose permutes the axes"));
        }
        from[i] = strides[axis] as isize;
    }
    let size = x.dtype.size();
    copy_outer(cx, &y.shape, size, x.bytes, &from[..rank], y.bytes)
}

/// Fills the dense `y` from strided `x`, split over threads along the first axis longer than one.
fn copy_outer(
    cx: &Cx<'_>,
    shape: &Shape,
    size: usize,
    x: &[u8],
    from: &[isize],
    y: &mut [u8],
) -> Result<(), RunError> {
    let kernels = cx.kernels();
    let axis = shape.iter().position(|&d| d > 1).unwrap_or(0);
    if cx.threads() == 1 || y.len() < PARALLEL_WORK || axis >= shape.rank() {
        let from = Side {
            offset: 0,
            strides: from,
        };
        return Ok(kernels.dense_copy(size, shape, x, from, y)?);
    }
    let part = shape[axis].div_ceil(cx.threads() * 2);
    let row = y.len() / shape[axis];
    cx.parallel_chunks(y, part * row, &|i, y| {
        let mut dims = [1; MAX_RANK];
        dims[..shape.rank()].copy_from_slice(shape);
        dims[axis] = y.len() / row;
        let from = Side {
            offset: i * part * from[axis] as usize,
            strides: from,
        };
        Ok(kernels.dense_copy(size, &dims[..shape.rank()], x, from, y)?)
    })
}
