//! Selections by condition, triangle, length or class.
use super::{resolve, row_major};
use crate::error::{KernelError, exactly, product};
use crate::reduce::split;
use cygnet_format::MAX_RANK;

/// True conditions among the first `limit`.
pub fn count_true(condition: &[u8], limit: usize) -> usize {
    condition.iter().take(limit).filter(|&&c| c != 0).count()
}

/// ONNX Compress on bytes: keeps the slices `[outer, n, row]` of `x` on the axis whose condition is true; conditions
/// beyond `n` are ignored. `row` is in bytes.
///
/// # Errors
/// [`KernelError`] when lengths do not fit.
pub fn compress(
    x: &[u8],
    outer: usize,
    n: usize,
    row: usize,
    condition: &[u8],
    y: &mut [u8],
) -> Result<(), KernelError> {
    exactly(x.len(), product(&[outer, n, row])?)?;
    exactly(y.len(), product(&[outer, count_true(condition, n), row])?)?;
    let mut to = 0;
    for o in 0..outer {
        for (i, _) in condition
            .iter()
            .take(n)
            .enumerate()
            .filter(|(_, c)| **c != 0)
        {
            y[to..to + row].copy_from_slice(&x[(o * n + i) * row..(o * n + i + 1) * row]);
            to += row;
        }
    }
    Ok(())
}

/// Coordinates of the true elements, `[rank, count]`, in row-major order. `is_true(i)` tells of the flat element `i`.
///
/// # Errors
/// [`KernelError`] when `y` does not have `rank * count` elements.
pub fn non_zero(
    shape: &[usize],
    count: usize,
    is_true: &dyn Fn(usize) -> bool,
    y: &mut [i64],
) -> Result<(), KernelError> {
    exactly(y.len(), product(&[shape.len(), count])?)?;
    let strides = row_major(shape);
    let mut at = 0;
    for i in (0..product(shape)?).filter(|&i| is_true(i)) {
        if at == count {
            return Err(KernelError::Length);
        }
        let mut rest = i;
        for (axis, stride) in strides[..shape.len()].iter().enumerate() {
            y[axis * count + at] = (rest / stride) as i64;
            rest %= stride;
        }
        at += 1;
    }
    exactly(at, count)
}

/// ONNX OneHot: `indices` of shape `[outer, inner]` around the axis of `y[outer, depth, inner]`; out of range
/// (-depth..depth) gives no hot element.
///
/// # Errors
/// [`KernelError`] when lengths do not fit.
pub fn one_hot<T: Copy>(
    index: &dyn Fn(usize) -> i64,
    indices: usize,
    off: T,
    on: T,
    shape: &[usize],
    axis: i32,
    y: &mut [T],
) -> Result<(), KernelError> {
    let (outer, depth, inner) = split(shape, axis)?;
    exactly(y.len(), product(shape)?)?;
    exactly(indices, outer * inner)?;
    y.fill(off);
    for o in 0..outer {
        for i in 0..inner {
            if let Ok(d) = resolve(index(o * inner + i), depth) {
                y[(o * depth + d) * inner + i] = on;
            }
        }
    }
    Ok(())
}

/// ONNX Trilu: zeroes what lies below (`upper`) or above the diagonal `k` of the last two axes.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or the rank is below two.
pub fn trilu<T: Copy + Default>(
    x: &[T],
    shape: &[usize],
    k: i64,
    upper: bool,
    y: &mut [T],
) -> Result<(), KernelError> {
    let [.., rows, columns] = *shape else {
        return Err(KernelError::Parameter);
    };
    exactly(x.len(), product(shape)?)?;
    exactly(y.len(), x.len())?;
    if columns == 0 || rows == 0 {
        return Ok(());
    }
    for (i, (y, x)) in y
        .chunks_exact_mut(columns)
        .zip(x.chunks_exact(columns))
        .enumerate()
    {
        // Upper keeps columns from the diagonal on; lower keeps them up to and with it.
        let diagonal = ((i % rows) as i64).saturating_add(k);
        let edge = (if upper {
            diagonal
        } else {
            diagonal.saturating_add(1)
        })
        .clamp(0, columns as i64) as usize;
        y.copy_from_slice(x);
        if upper {
            &mut y[..edge]
        } else {
            &mut y[edge..]
        }
        .fill(T::default());
    }
    Ok(())
}

/// ONNX ReverseSequence on bytes: the first `lengths[b]` entries of the time axis are reversed.
///
/// # Errors
/// [`KernelError`] when lengths do not fit or the axes are not two different ones.
pub fn reverse_sequence(
    x: &[u8],
    shape: &[usize],
    batch_axis: i32,
    time_axis: i32,
    lengths: &[i64],
    y: &mut [u8],
    size: usize,
) -> Result<(), KernelError> {
    let (b, t) = (batch_axis as usize, time_axis as usize);
    if b >= shape.len() || t >= shape.len() || b == t || shape.len() > MAX_RANK {
        return Err(KernelError::Parameter);
    }
    let total = product(shape)?;
    let first = b.max(t);
    let row = product(&[product(&shape[first + 1..])?, size])?;
    exactly(x.len(), product(&[total, size])?)?;
    exactly(y.len(), x.len())?;
    exactly(lengths.len(), shape[b])?;
    if row == 0 {
        return Ok(());
    }
    let strides = row_major(&shape[..=first]);
    for (i, y) in y.chunks_exact_mut(row).enumerate() {
        let (bi, ti) = (i / strides[b] % shape[b], i / strides[t] % shape[t]);
        let n = usize::try_from(lengths[bi])
            .ok()
            .filter(|&n| n <= shape[t])
            .ok_or(KernelError::Index)?;
        let from = if ti < n {
            i - ti * strides[t] + (n - 1 - ti) * strides[t]
        } else {
            i
        };
        y.copy_from_slice(&x[from * row..(from + 1) * row]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections() {
        let mut y = [0u8; 4];
        compress(&[1, 2, 3, 4, 5, 6], 2, 3, 1, &[0, 1, 1], &mut y).unwrap();
        assert_eq!(y, [2, 3, 5, 6]);
        let mut z = [0i64; 6];
        let x = [1, 0, 1, 1];
        non_zero(&[2, 2], 3, &|i| x[i] != 0, &mut z).unwrap();
        assert_eq!(z, [0, 1, 1, 0, 0, 1]);
        let mut h = [9u8; 6];
        let hot = [-1i64, 5];
        one_hot(&|i| hot[i], 2, 0, 1, &[2, 3], 1, &mut h).unwrap();
        assert_eq!(h, [0, 0, 1, 0, 0, 0]);
        let m = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let mut t = [0; 9];
        trilu(&m, &[3, 3], 1, true, &mut t).unwrap();
        assert_eq!(t, [0, 2, 3, 0, 0, 6, 0, 0, 0]);
        trilu(&m, &[3, 3], -1, false, &mut t).unwrap();
        assert_eq!(t, [0, 0, 0, 4, 0, 0, 7, 8, 0]);
        let mut r = [0u8; 6];
        reverse_sequence(&[1, 2, 3, 4, 5, 6], &[2, 3], 0, 1, &[2, 3], &mut r, 1).unwrap();
        assert_eq!(r, [2, 1, 3, 6, 5, 4]);
        reverse_sequence(&[1, 2, 3, 4, 5, 6], &[3, 2], 1, 0, &[2, 3], &mut r, 1).unwrap();
        assert_eq!(r, [3, 6, 1, 4, 5, 2]);
        assert!(reverse_sequence(&[1, 2, 3, 4, 5, 6], &[3, 2], 1, 0, &[4, 3], &mut r, 1).is_err());
    }
}
