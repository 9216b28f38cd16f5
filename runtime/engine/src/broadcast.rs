//! NumPy broadcasting of any number of operands to one output shape.

use crate::error::RunError;
use crate::shape::Shape;
use crate::tensor::Tensor;
use cygnet_format::MAX_RANK;
use cygnet_kernels::movement::{Side, dense_copy};

/// Element strides of `shape` inside `out`; axes of length one repeat.
///
/// # Errors
/// When `shape` does not broadcast to `out`.
pub(crate) fn strides(shape: &Shape, out: &Shape) -> Result<[usize; MAX_RANK], RunError> {
    let wrong = || RunError::shape("an operand does not broadcast to the output");
    let lead = out.rank().checked_sub(shape.rank()).ok_or_else(wrong)?;
    let (own, mut strides) = (shape.strides(), [0; MAX_RANK]);
    for axis in 0..shape.rank() {
        if shape[axis] == out[lead + axis] {
            strides[lead + axis] = if shape[axis] == 1 { 0 } else { own[axis] };
        } else if shape[axis] != 1 {
            return Err(wrong());
        }
    }
    Ok(strides)
}

/// Fills the dense `y` of shape `out` with `x`, repeated along axes of length one.
///
/// # Errors
/// When `x` does not broadcast to `out`, or `y` is too short.
pub(crate) fn copy(x: &Tensor<'_>, out: &Shape, y: &mut [u8]) -> Result<(), RunError> {
    let strides = strides(&x.shape, out)?.map(|s| s as isize);
    let from = Side {
        offset: 0,
        strides: &strides,
    };
    Ok(dense_copy(x.dtype.size(), out, x.bytes, from, y)?)
}

/// Walks the rows (last axis, with axes joined where every operand allows it) of an output and the positions of `K`
/// operands.
pub(crate) struct Rows<const K: usize> {
    rank: usize,
    dims: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; K],
}

impl<const K: usize> Rows<K> {
    pub fn new(out: &Shape, operands: &[[usize; MAX_RANK]; K]) -> Self {
        let mut rows = Rows {
            rank: 0,
            dims: [1; MAX_RANK],
            strides: [[0; MAX_RANK]; K],
        };
        for axis in 0..out.rank() {
            let n = out[axis];
            if n == 1 {
                continue;
            }
            if rows.rank > 0 {
                let last = rows.rank - 1;
                if (0..K).all(|k| rows.strides[k][last] == operands[k][axis].wrapping_mul(n)) {
                    rows.dims[last] *= n;
                    (0..K).for_each(|k| rows.strides[k][last] = operands[k][axis]);
                    continue;
                }
            }
            rows.dims[rows.rank] = n;
            (0..K).for_each(|k| rows.strides[k][rows.rank] = operands[k][axis]);
            rows.rank += 1;
        }
        rows.rank = rows.rank.max(1);
        rows
    }

    /// Elements of a row.
    pub fn len(&self) -> usize {
        self.dims[self.rank - 1]
    }

    /// Step of operand `k` along a row.
    pub fn step(&self, k: usize) -> usize {
        self.strides[k][self.rank - 1]
    }

    /// Calls `f(position in the output, positions of the operands)` for every row.
    pub fn each(&self, mut f: impl FnMut(usize, [usize; K])) {
        if self.dims[..self.rank].contains(&0) {
            return;
        }
        let outer = self.rank - 1;
        let mut index = [0usize; MAX_RANK];
        let mut at = [0usize; K];
        let mut out = 0;
        loop {
            f(out, at);
            out += self.len();
            let mut axis = outer;
            loop {
                if axis == 0 {
                    return;
                }
                axis -= 1;
                index[axis] += 1;
                (0..K).for_each(|k| at[k] += self.strides[k][axis]);
                if index[axis] < self.dims[axis] {
                    break;
                }
                (0..K).for_each(|k| at[k] -= self.strides[k][axis] * self.dims[axis]);
                index[axis] = 0;
            }
        }
    }
}

/// Position of batch `index` (over the leading axes `batch`) in an operand whose leading axes are `dims`, counted in
/// matrices; axes of length one repeat. `None` when `dims` does not broadcast to `batch`.
pub(crate) fn batch_position(batch: &[usize], dims: &[usize], index: usize) -> Option<usize> {
    let lead = batch.len().checked_sub(dims.len())?;
    let (mut rest, mut at, mut step) = (index, 0, 1);
    for axis in (0..batch.len()).rev() {
        let n = batch[axis].max(1);
        let i = rest % n;
        rest /= n;
        if axis >= lead {
            let d = dims[axis - lead];
            if d != 1 && d != batch[axis] {
                return None;
            }
            if d != 1 {
                at += i * step;
            }
            step *= d.max(1);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_cover_the_output_once() {
        let out = Shape::new(&[2, 3, 4]).unwrap();
        for (dims, want) in [
            (&[2usize, 3, 4][..], 24usize),
            (&[3, 1], 3),
            (&[1], 1),
            (&[], 1),
            (&[2, 1, 4], 8),
        ] {
            let shape = Shape::new(dims).unwrap();
            let rows = Rows::new(&out, &[out.strides(), strides(&shape, &out).unwrap()]);
            let (mut next, mut last) = (0, 0);
            rows.each(|at, [same, p]| {
                assert_eq!((at, same), (next, next));
                next += rows.len();
                last = last.max(p + rows.step(1) * (rows.len() - 1));
            });
            assert_eq!((next, last + 1), (24, want), "{dims:?}");
        }
        assert!(strides(&Shape::new(&[2, 4]).unwrap(), &out).is_err());
        assert!(strides(&Shape::new(&[1, 2, 3, 4]).unwrap(), &out).is_err());
    }

    #[test]
    fn batches_repeat() {
        let at = |i| batch_position(&[2, 3], &[3], i);
        assert_eq!(
            (0..6).map(at).collect::<alloc::vec::Vec<_>>(),
            [0, 1, 2, 0, 1, 2].map(Some)
        );
        assert_eq!(batch_position(&[2, 3], &[2, 1], 5), Some(1));
        assert_eq!(batch_position(&[2, 3], &[2], 0), None);
    }
}
