//! Padding: the centre is a strided copy; what lies around it repeats the value or reads mirrored positions.

use super::{MAX_RANK, row_major};
use crate::error::{KernelError, product};

/// Where elements beyond the edge come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadSource {
    /// The fill element.
    Constant,
    /// The nearest element.
    Edge,
    /// Mirrored about the edge element, which is not repeated.
    Reflect,
    /// The other end.
    Wrap,
}

impl PadSource {
    /// Input position for output position `i - before` on an axis of `n > 0` elements; `None` takes the fill.
    fn position(self, i: isize, n: usize) -> Option<usize> {
        let n = n as isize;
        if (0..n).contains(&i) {
            return Some(i as usize);
        }
        Some(match self {
            PadSource::Constant => return None,
            PadSource::Edge => i.clamp(0, n - 1) as usize,
            PadSource::Wrap => i.rem_euclid(n) as usize,
            PadSource::Reflect if n == 1 => 0,
            PadSource::Reflect => {
                let at = i.rem_euclid(2 * (n - 1));
                (if at < n { at } else { 2 * (n - 1) - at }) as usize
            }
        })
    }
}

/// Pads a dense tensor of `size`-byte elements: `before[axis]` elements precede it, `out` says how many follow. `fill`
/// holds one element.
///
/// # Errors
/// [`KernelError`] when ranks or lengths do not agree, or a mode other than constant meets an empty axis.
pub fn pad(
    size: usize,
    shape: &[usize],
    out: &[usize],
    before: &[usize],
    source: PadSource,
    fill: &[u8],
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), KernelError> {
    let rank = shape.len();
    if rank > MAX_RANK
        || out.len() != rank
        || before.len() != rank
        || fill.len() < size
        || size == 0
    {
        return Err(KernelError::Parameter);
    }
    let bytes = |s: &[usize]| product(s)?.checked_mul(size).ok_or(KernelError::Overflow);
    if src.len() < bytes(shape)? || dst.len() < bytes(out)? {
        return Err(KernelError::Length);
    }
    if product(out)? == 0 {
        return Ok(());
    }
    if source != PadSource::Constant && shape.contains(&0) {
        return Err(KernelError::Parameter);
    }
    if rank == 0 {
        dst[..size].copy_from_slice(&src[..size]);
        return Ok(());
    }
    let strides = row_major(shape);
    let last = rank - 1;
    let (width, inner, ahead) = (out[last], shape[last], before[last]);
    let middle = ahead.min(width)..(ahead + inner).min(width);
    let mut index = [0usize; MAX_RANK];
    for row in dst[..bytes(out)?].chunks_exact_mut(width * size) {
        let start = (0..last).try_fold(0usize, |at, axis| {
            let i = index[axis] as isize - before[axis] as isize;
            source
                .position(i, shape[axis])
                .map(|p| at + p * strides[axis] as usize)
        });
        match start {
            None => row
                .chunks_exact_mut(size)
                .for_each(|e| e.copy_from_slice(&fill[..size])),
            Some(start) => {
                let from = &src[start * size..(start + inner) * size];
                row[middle.start * size..middle.end * size]
                    .copy_from_slice(&from[..middle.len() * size]);
                for i in (0..middle.start).chain(middle.end..width) {
                    let element = match source.position(i as isize - ahead as isize, inner) {
                        Some(p) => &from[p * size..(p + 1) * size],
                        None => &fill[..size],
                    };
                    row[i * size..(i + 1) * size].copy_from_slice(element);
                }
            }
        }
        for axis in (0..last).rev() {
            index[axis] += 1;
            if index[axis] < out[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_numpy() {
        let src = [1u8, 2, 3];
        let run = |source, expected: [u8; 8]| {
            let mut dst = [0u8; 8];
            pad(1, &[3], &[8], &[2], source, &[9], &src, &mut dst).unwrap();
            assert_eq!(dst, expected, "{source:?}");
        };
        run(PadSource::Constant, [9, 9, 1, 2, 3, 9, 9, 9]);
        run(PadSource::Edge, [1, 1, 1, 2, 3, 3, 3, 3]);
        run(PadSource::Reflect, [3, 2, 1, 2, 3, 2, 1, 2]);
        run(PadSource::Wrap, [2, 3, 1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn two_axes_and_empty_input() {
        let mut dst = [0u8; 12];
        pad(
            1,
            &[2, 2],
            &[3, 4],
            &[1, 1],
            PadSource::Constant,
            &[0],
            &[1, 2, 3, 4],
            &mut dst,
        )
        .unwrap();
        assert_eq!(dst, [0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0]);
        let mut dst = [0u8; 2];
        pad(
            1,
            &[0],
            &[2],
            &[1],
            PadSource::Constant,
            &[7],
            &[],
            &mut dst,
        )
        .unwrap();
        assert_eq!(dst, [7, 7]);
        assert!(pad(1, &[0], &[2], &[1], PadSource::Edge, &[7], &[], &mut dst).is_err());
    }
}
