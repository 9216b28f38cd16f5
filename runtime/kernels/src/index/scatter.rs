//! Writes at given indices. The output holds the data already.
use super::{nd_offset, nd_slices, resolve, walk_elements};
use crate::error::{KernelError, exactly, product};
use crate::reduce::split;

/// ONNX ScatterElements into `y`, which holds the data; `combine(old, update)`.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an index lies outside the axis.
pub fn scatter_elements<T: Copy, I: Copy + Into<i64>>(
    y: &mut [T],
    shape: &[usize],
    axis: i32,
    indices: &[I],
    indices_shape: &[usize],
    updates: &[T],
    combine: impl Fn(T, T) -> T,
) -> Result<(), KernelError> {
    let (_, n, inner) = split(shape, axis)?;
    exactly(y.len(), product(shape)?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(updates.len(), indices.len())?;
    walk_elements(shape, indices_shape, axis as usize, |flat, offset| {
        let at = offset + resolve(indices[flat].into(), n)? * inner;
        y[at] = combine(y[at], updates[flat]);
        Ok(())
    })
}

/// ONNX ScatterND into `y`, which holds the data; `combine(old, update)`.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an index lies outside its axis.
pub fn scatter_nd<T: Copy, I: Copy + Into<i64>>(
    y: &mut [T],
    shape: &[usize],
    indices: &[I],
    indices_shape: &[usize],
    updates: &[T],
    combine: impl Fn(T, T) -> T,
) -> Result<(), KernelError> {
    let (_, tuples, depth, slice) = nd_slices(shape, indices_shape, 0)?;
    exactly(y.len(), product(shape)?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(updates.len(), product(&[tuples, slice])?)?;
    for t in 0..tuples {
        let to = nd_offset(&indices[t * depth..(t + 1) * depth], &shape[..depth])? * slice;
        for (y, u) in y[to..to + slice]
            .iter_mut()
            .zip(&updates[t * slice..(t + 1) * slice])
        {
            *y = combine(*y, *u);
        }
    }
    Ok(())
}

/// ONNX TensorScatter on bytes, into `y`, which holds the cache of `shape`: `update` has `length` entries on `axis`,
/// written from `starts[batch]` (0 when absent) on; `circular` wraps around the end.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or an entry lies outside the cache.
pub fn tensor_scatter(
    y: &mut [u8],
    shape: &[usize],
    axis: i32,
    update: &[u8],
    length: usize,
    starts: Option<&[i64]>,
    circular: bool,
    size: usize,
) -> Result<(), KernelError> {
    let (outer, n, inner) = split(shape, axis)?;
    let row = inner.checked_mul(size).ok_or(KernelError::Overflow)?;
    exactly(y.len(), product(&[outer, n, row])?)?;
    exactly(update.len(), product(&[outer, length, row])?)?;
    let batches = if axis == 0 { 1 } else { shape[0] };
    if let Some(s) = starts {
        exactly(s.len(), batches)?;
    }
    if outer == 0 || row == 0 {
        return Ok(());
    }
    for o in 0..outer {
        let start = starts.map_or(0, |s| s[o / (outer / batches)]);
        let start = usize::try_from(start).map_err(|_| KernelError::Index)?;
        for t in 0..length {
            let mut at = start.checked_add(t).ok_or(KernelError::Index)?;
            if circular && n > 0 {
                at %= n;
            }
            if at >= n {
                return Err(KernelError::Index);
            }
            y[(o * n + at) * row..][..row]
                .copy_from_slice(&update[(o * length + t) * row..][..row]);
        }
    }
    Ok(())
}

/// Writes `x[i]` of a channels-last `x[n, s.., c]` to flat position `indices[i]` (channels-first, as ONNX MaxPool
/// counts) of the channels-last `y`, which is zero elsewhere. `spatial`: elements of `s'` in `y`.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or a position lies outside `y`.
pub fn max_unpool<T: Copy + Default>(
    x: &[T],
    indices: &[i64],
    y: &mut [T],
    channels: usize,
    spatial: usize,
) -> Result<(), KernelError> {
    exactly(indices.len(), x.len())?;
    y.fill(T::default());
    for (&v, &i) in x.iter().zip(indices) {
        let i = usize::try_from(i)
            .ok()
            .filter(|&i| i < y.len())
            .ok_or(KernelError::Index)?;
        let (plane, s) = (i / spatial, i % spatial);
        y[(plane / channels * spatial + s) * channels + plane % channels] = v;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatters() {
        let mut y = [1, 2, 3, 4, 5];
        scatter_elements(
            &mut y,
            &[1, 5],
            1,
            &[1i64, -1],
            &[1, 2],
            &[10, 20],
            |a, b| a + b,
        )
        .unwrap();
        assert_eq!(y, [1, 12, 3, 4, 25]);
        assert!(scatter_elements(&mut y, &[1, 5], 1, &[5i64], &[1, 1], &[1], |_, b| b).is_err());
        assert!(
            scatter_elements(&mut y, &[1, 5], 1, &[0i64, 0], &[2, 1], &[1, 1], |_, b| b).is_err()
        );
        let mut y = [0, 0, 0, 0];
        scatter_nd(&mut y, &[2, 2], &[1i64], &[1, 1], &[7, 8], |_, b| b).unwrap();
        assert_eq!(y, [0, 0, 7, 8]);
        let mut y = [0u8; 8];
        tensor_scatter(
            &mut y,
            &[2, 4, 1],
            1,
            &[1, 2, 3, 4],
            2,
            Some(&[3, 1]),
            true,
            1,
        )
        .unwrap();
        assert_eq!(y, [2, 0, 0, 1, 0, 3, 4, 0]);
        assert!(
            tensor_scatter(
                &mut y,
                &[2, 4, 1],
                1,
                &[1, 2, 3, 4],
                2,
                Some(&[3, 1]),
                false,
                1
            )
            .is_err()
        );
        let mut y = [9f32; 8];
        max_unpool(&[5., 6.], &[3, 4], &mut y, 2, 4).unwrap();
        assert_eq!(y, [0., 6., 0., 0., 0., 0., 5., 0.]);
        assert!(max_unpool(&[5f32], &[8], &mut y, 2, 4).is_err());
    }
}
