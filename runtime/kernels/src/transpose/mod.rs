//! Permutation of dimensions for elements of any size, with fast paths for runs and for two-dimensional tiles.
use crate::error::{KernelError, exactly, product};

/// Largest rank of a permutation.
pub const MAX_RANK: usize = 8;

/// Rows and columns of a tile: 16 x 16 elements of 4 bytes touch 16 cache lines on each side.
const TILE: usize = 16;

/// `y[b, j, i] = x[b, i, j]` for `x` `[batch, rows, cols]`. With `rows = channels`, `cols = pixels` this brings NCHW to
/// NHWC, with `rows = pixels`, `cols = channels` it brings it back.
///
/// # Errors
/// [`KernelError::Length`] when a slice does not hold `batch * rows * cols` elements.
pub fn transpose_2d<T: Copy>(
    x: &[T],
    batch: usize,
    rows: usize,
    cols: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    let n = product(&[batch, rows, cols])?;
    exactly(x.len(), n)?;
    exactly(y.len(), n)?;
    let size = rows * cols;
    if size == 0 {
        return Ok(());
    }
    for (x, y) in x.chunks_exact(size).zip(y.chunks_exact_mut(size)) {
        if rows == 1 || cols == 1 {
            y.copy_from_slice(x);
            continue;
        }
        for i0 in (0..rows).step_by(TILE) {
            let i1 = (i0 + TILE).min(rows);
            for j0 in (0..cols).step_by(TILE) {
                let j1 = (j0 + TILE).min(cols);
                for j in j0..j1 {
                    let to = &mut y[j * rows + i0..j * rows + i1];
                    let mut from = i0 * cols + j;
                    for t in to {
                        *t = x[from];
                        from += cols;
                    }
                }
            }
        }
    }
    Ok(())
}

/// `y` has dimension `d` equal to dimension `perm[d]` of `x`, as in NumPy's `transpose`.
///
/// # Errors
/// [`KernelError::Parameter`] when `perm` is no permutation of the dimensions or the rank exceeds [`MAX_RANK`];
/// [`KernelError::Length`] when a slice does not fit `shape`.
pub fn permute<T: Copy>(
    x: &[T],
    shape: &[usize],
    perm: &[usize],
    y: &mut [T],
) -> Result<(), KernelError> {
    let rank = shape.len();
    if rank > MAX_RANK || perm.len() != rank {
        return Err(KernelError::Parameter);
    }
    let mut seen = [false; MAX_RANK];
    for &d in perm {
        if d >= rank || core::mem::replace(&mut seen[d], true) {
            return Err(KernelError::Parameter);
        }
    }
    let n = product(shape)?;
    exactly(x.len(), n)?;
    exactly(y.len(), n)?;
    if n == 0 {
        return Ok(());
    }
    let mut strides = [0usize; MAX_RANK];
    let mut s = 1;
    for d in (0..rank).rev() {
        strides[d] = s;
        s *= shape[d];
    }
    // Output dimensions with their input strides, sizes of 1 dropped and neighbours merged.
    let (mut size, mut step, mut k) = ([1usize; MAX_RANK], [0usize; MAX_RANK], 0);
    for &d in perm {
        if shape[d] == 1 {
            continue;
        }
        if k > 0 && step[k - 1] == strides[d] * shape[d] {
            size[k - 1] *= shape[d];
            step[k - 1] = strides[d];
        } else {
            size[k] = shape[d];
            step[k] = strides[d];
            k += 1;
        }
    }
    if k <= 1 {
        y.copy_from_slice(x);
        return Ok(());
    }
    if k == 2 {
        return transpose_2d(x, 1, size[1], size[0], y);
    }
    if k == 3 && step[0] == size[1] * size[2] && step[1] == 1 {
        return transpose_2d(x, size[0], size[2], size[1], y);
    }
    let inner = size[k - 1];
    let mut index = [0usize; MAX_RANK];
    let mut from = 0;
    for to in y.chunks_exact_mut(inner) {
        if step[k - 1] == 1 {
            to.copy_from_slice(&x[from..from + inner]);
        } else {
            let mut at = from;
            for t in to {
                *t = x[at];
                at += step[k - 1];
            }
        }
        let mut d = k - 1;
        while d > 0 {
            d -= 1;
            index[d] += 1;
            from += step[d];
            if index[d] < size[d] {
                break;
            }
            from -= index[d] * step[d];
            index[d] = 0;
        }
    }
    Ok(())
}
