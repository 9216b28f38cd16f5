//! Gathering, scattering and selecting by index. Element types that are only moved are `[u8; N]` at the caller's choice.
mod scatter;
mod select;

pub use scatter::{Scatter, max_unpool, scatter_elements, scatter_nd, tensor_scatter};
pub use select::{compress, count_true, non_zero, one_hot, reverse_sequence, trilu};

use crate::error::{KernelError, exactly, product};
use crate::reduce::split;
use cygnet_format::MAX_RANK;

/// The elements of an index tensor, of either type: one body serves both.
#[derive(Clone, Copy, Debug)]
pub enum Indices<'a> {
    /// 32-bit indices.
    I32(&'a [i32]),
    /// 64-bit indices.
    I64(&'a [i64]),
}

impl Indices<'_> {
    /// Number of indices.
    pub fn len(&self) -> usize {
        match self {
            Indices::I32(v) => v.len(),
            Indices::I64(v) => v.len(),
        }
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Index `i`, below [`Indices::len`].
    pub(crate) fn get(&self, i: usize) -> i64 {
        match self {
            Indices::I32(v) => i64::from(v[i]),
            Indices::I64(v) => v[i],
        }
    }
}

/// `index` on an axis of `n`, from the end when negative.
pub(crate) fn resolve(index: i64, n: usize) -> Result<usize, KernelError> {
    let i = if index < 0 {
        index.checked_add(n as i64).ok_or(KernelError::Index)?
    } else {
        index
    };
    usize::try_from(i)
        .ok()
        .filter(|&i| i < n)
        .ok_or(KernelError::Index)
}

/// Row-major strides.
pub(crate) fn row_major(shape: &[usize]) -> [usize; MAX_RANK] {
    let mut s = [1usize; MAX_RANK];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        s[i] = s[i + 1].saturating_mul(shape[i + 1]);
    }
    s
}

/// `y[o, j.., i] = x[o, indices[j..], i]` on bytes; `size` bytes an element.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an index lies outside the axis.
pub fn gather(
    x: &[u8],
    shape: &[usize],
    axis: i32,
    indices: Indices<'_>,
    y: &mut [u8],
    size: usize,
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    let row = inner.checked_mul(size).ok_or(KernelError::Overflow)?;
    exactly(x.len(), product(&[outer, n, row])?)?;
    exactly(y.len(), product(&[outer, indices.len(), row])?)?;
    for i in 0..indices.len() {
        resolve(indices.get(i), n)?;
    }
    if row == 0 || indices.is_empty() {
        return Ok(());
    }
    for (o, y) in y.chunks_exact_mut(row * indices.len()).enumerate() {
        let x = &x[o * n * row..(o + 1) * n * row];
        for (at, y) in y.chunks_exact_mut(row).enumerate() {
            let i = resolve(indices.get(at), n)?;
            y.copy_from_slice(&x[i * row..(i + 1) * row]);
        }
    }
    Ok(())
}

/// Calls `f(flat index into indices, flat offset into data)` for the elements of `indices_shape` in a tensor of
/// `shape`, where the coordinate on `axis` is left out.
pub(crate) fn walk_elements(
    shape: &[usize],
    indices_shape: &[usize],
    axis: usize,
    f: &mut dyn FnMut(usize, usize) -> Result<(), KernelError>,
) -> Result<(), KernelError> {
    let rank = shape.len();
    if rank != indices_shape.len() || rank > MAX_RANK || axis >= rank {
        return Err(KernelError::Parameter);
    }
    if (0..rank).any(|i| i != axis && indices_shape[i] > shape[i]) {
        return Err(KernelError::Parameter);
    }
    let total = product(indices_shape)?;
    let mut strides = row_major(shape);
    strides[axis] = 0;
    let mut index = [0usize; MAX_RANK];
    let mut offset = 0;
    for flat in 0..total {
        f(flat, offset)?;
        for i in (0..rank).rev() {
            index[i] += 1;
            offset += strides[i];
            if index[i] < indices_shape[i] {
                break;
            }
            offset -= strides[i] * indices_shape[i];
            index[i] = 0;
        }
    }
    Ok(())
}

/// ONNX GatherElements.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an index lies outside the axis.
pub fn gather_elements<T: Copy>(
    x: &[T],
    shape: &[usize],
    axis: i32,
    indices: Indices<'_>,
    indices_shape: &[usize],
    y: &mut [T],
) -> Result<(), KernelError> {
    let (_, n, inner) = split(shape, axis)?;
    exactly(x.len(), product(shape)?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(y.len(), indices.len())?;
    walk_elements(shape, indices_shape, axis as usize, &mut |flat, offset| {
        y[flat] = x[offset + resolve(indices.get(flat), n)? * inner];
        Ok(())
    })
}

/// The slices that ONNX GatherND and ScatterND address: `(batches, tuples per batch, tuple length, elements a slice)`.
pub(crate) fn nd_slices(
    shape: &[usize],
    indices_shape: &[usize],
    batch: usize,
) -> Result<(usize, usize, usize, usize), KernelError> {
    let (&depth, lead) = indices_shape.split_last().ok_or(KernelError::Parameter)?;
    if batch > lead.len()
        || batch.checked_add(depth).is_none_or(|n| n > shape.len())
        || shape[..batch] != lead[..batch]
    {
        return Err(KernelError::Parameter);
    }
    Ok((
        product(&shape[..batch])?,
        product(&lead[batch..])?,
        depth,
        product(&shape[batch + depth..])?,
    ))
}

/// Offset in slices of the index tuple that starts at `first`.
pub(crate) fn nd_offset(
    indices: &Indices<'_>,
    first: usize,
    dims: &[usize],
) -> Result<usize, KernelError> {
    let mut offset = 0;
    for (i, &n) in dims.iter().enumerate() {
        offset = offset * n + resolve(indices.get(first + i), n)?;
    }
    Ok(offset)
}

/// ONNX GatherND on bytes; `size` bytes an element.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an index lies outside its axis.
pub fn gather_nd(
    x: &[u8],
    shape: &[usize],
    batch: usize,
    indices: Indices<'_>,
    indices_shape: &[usize],
    y: &mut [u8],
    size: usize,
) -> Result<(), KernelError> {
    let (batches, tuples, depth, slice) = nd_slices(shape, indices_shape, batch)?;
    let row = slice.checked_mul(size).ok_or(KernelError::Overflow)?;
    let dims = &shape[batch..batch + depth];
    let block = product(&[product(dims)?, row])?;
    exactly(x.len(), product(&[batches, block])?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(y.len(), product(&[batches, tuples, row])?)?;
    for b in 0..batches {
        for t in 0..tuples {
            let at = b * tuples + t;
            let from = b * block + nd_offset(&indices, at * depth, dims)? * row;
            y[at * row..(at + 1) * row].copy_from_slice(&x[from..from + row]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers() {
        let mut y = [0u8; 4];
        gather(
            &[1, 2, 3, 4, 5, 6],
            &[3, 2],
            0,
            Indices::I64(&[-1, 0]),
            &mut y,
            1,
        )
        .unwrap();
        assert_eq!(y, [5, 6, 1, 2]);
        assert_eq!(
            gather(
                &[1, 2, 3, 4, 5, 6],
                &[3, 2],
                0,
                Indices::I64(&[3, 0]),
                &mut y,
                1
            ),
            Err(KernelError::Index)
        );
        assert_eq!(
            gather(
                &[1, 2, 3, 4, 5, 6],
                &[3, 2],
                0,
                Indices::I64(&[i64::MIN, 0]),
                &mut y,
                1
            ),
            Err(KernelError::Index)
        );
        gather_elements(
            &[1u8, 2, 3, 4],
            &[2, 2],
            1,
            Indices::I32(&[0, 0, 1, 0]),
            &[2, 2],
            &mut y,
        )
        .unwrap();
        assert_eq!(y, [1, 1, 4, 3]);
        gather_nd(
            &[0, 1, 2, 3, 4, 5, 6, 7],
            &[2, 2, 2],
            1,
            Indices::I64(&[1, 0]),
            &[2, 1],
            &mut y,
            1,
        )
        .unwrap();
        assert_eq!(y, [2, 3, 4, 5]);
        gather_nd(
            &[0, 1, 2, 3],
            &[2, 2],
            0,
            Indices::I64(&[0, 0, 1, 1]),
            &[2, 2],
            &mut y[..2],
            1,
        )
        .unwrap();
        assert_eq!(y[..2], [0, 3]);
    }
}
