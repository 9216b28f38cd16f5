//! Writes at given indices. The output holds the data already.
use super::{Indices, nd_offset, nd_slices, resolve, walk_elements};
use crate::error::{KernelError, exactly, product};
use crate::generic::combine;
use crate::reduce::split;
use cygnet_format::DType;
use cygnet_format::op::BinaryKind;

/// What happens to an element that is written.
#[derive(Clone, Copy, Debug)]
pub enum Scatter {
    /// The update takes its place.
    Replace,
    /// `old = f(old, update)` on numbers.
    Combine(BinaryKind),
}

impl Scatter {
    /// Writes the elements of `updates` over those of `y`.
    fn write(self, dtype: DType, y: &mut [u8], updates: &[u8]) -> Result<(), KernelError> {
        match (self, dtype.size()) {
            (Scatter::Combine(kind), _) => combine(kind, dtype, y, updates),
            // One element is the common case; its size is known at compile time here.
            (Scatter::Replace, 4) if y.len() == 4 => {
                y.copy_from_slice(&updates[..4]);
                Ok(())
            }
            (Scatter::Replace, _) => {
                y.copy_from_slice(updates);
                Ok(())
            }
        }
    }
}

/// ONNX ScatterElements into `y`, which holds the data.
///
/// # Errors
/// [`KernelError`] when lengths do not fit, an index lies outside the axis, or the type has no such function.
pub fn scatter_elements(
    dtype: DType,
    y: &mut [u8],
    shape: &[usize],
    axis: i32,
    indices: Indices<'_>,
    indices_shape: &[usize],
    updates: &[u8],
    scatter: Scatter,
) -> Result<(), KernelError> {
    let (_, n, inner) = split(shape, axis)?;
    let size = dtype.size();
    exactly(y.len(), product(&[product(shape)?, size])?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(updates.len(), product(&[indices.len(), size])?)?;
    walk_elements(shape, indices_shape, axis as usize, &mut |flat, offset| {
        let at = offset + resolve(indices.get(flat), n)? * inner;
        scatter.write(
            dtype,
            &mut y[at * size..(at + 1) * size],
            &updates[flat * size..(flat + 1) * size],
        )
    })
}

/// ONNX ScatterND into `y`, which holds the data.
///
/// # Errors
/// [`KernelError`] when lengths do not fit, an index lies outside its axis, or the type has no such function.
pub fn scatter_nd(
    dtype: DType,
    y: &mut [u8],
    shape: &[usize],
    indices: Indices<'_>,
    indices_shape: &[usize],
    updates: &[u8],
    scatter: Scatter,
) -> Result<(), KernelError> {
    let (_, tuples, depth, slice) = nd_slices(shape, indices_shape, 0)?;
    let row = product(&[slice, dtype.size()])?;
    exactly(y.len(), product(&[product(shape)?, dtype.size()])?)?;
    exactly(indices.len(), product(indices_shape)?)?;
    exactly(updates.len(), product(&[tuples, row])?)?;
    for t in 0..tuples {
        let to = nd_offset(&indices, t * depth, &shape[..depth])? * row;
        scatter.write(
            dtype,
            &mut y[to..to + row],
            &updates[t * row..(t + 1) * row],
        )?;
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
        let mut y = [1u8, 2, 3, 4, 5];
        let mut run = |indices: &[i32], shape: [usize; 2], updates: &[u8], scatter| {
            let indices = Indices::I32(indices);
            scatter_elements(
                DType::U8,
                &mut y,
                &[1, 5],
                1,
                indices,
                &shape,
                updates,
                scatter,
            )?;
            Ok(y)
        };
        let add = Scatter::Combine(BinaryKind::Add);
        assert_eq!(run(&[1, -1], [1, 2], &[10, 255], add), Ok([1, 12, 3, 4, 4]));
        assert_eq!(
            run(&[0, 0], [1, 2], &[7, 8], Scatter::Replace),
            Ok([8, 12, 3, 4, 4])
        );
        assert_eq!(run(&[5], [1, 1], &[1], add), Err(KernelError::Index));
        assert_eq!(
            run(&[0, 0], [2, 1], &[1, 1], add),
            Err(KernelError::Parameter)
        );
        assert_eq!(run(&[0], [1, 1], &[1, 1], add), Err(KernelError::Length));
        let mut y = [0u8; 16];
        let updates = [7f32, 8.].map(f32::to_le_bytes);
        let mut run = |scatter| {
            let (index, updates) = (Indices::I64(&[1]), updates.as_flattened());
            scatter_nd(
                DType::F32,
                &mut y,
                &[2, 2],
                index,
                &[1, 1],
                updates,
                scatter,
            )
            .unwrap();
            let (values, _) = y.as_chunks();
            values
                .iter()
                .map(|v| f32::from_le_bytes(*v))
                .collect::<std::vec::Vec<_>>()
        };
        assert_eq!(run(Scatter::Replace), [0., 0., 7., 8.]);
        assert_eq!(run(Scatter::Combine(BinaryKind::Mul)), [0., 0., 49., 64.]);
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
