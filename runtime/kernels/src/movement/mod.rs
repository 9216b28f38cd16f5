//! Data movement for elements of any type: one strided copy serves transpose, slice, expand, concat and pad.

pub(crate) mod interleave;
mod pad;
mod walk;

pub use pad::{PadSource, pad};

use crate::error::{KernelError, product};
use crate::kernels::Kernels;
use interleave::Planes;
use walk::{Walk, contiguous};

/// Largest rank of a movement.
pub const MAX_RANK: usize = 8;

/// One side of a strided copy, in elements.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Position of the first element.
    pub offset: usize,
    /// Step of each axis; zero repeats, negative runs backwards.
    pub strides: &'a [isize],
}

impl Side<'_> {
    /// Every position that `shape` reaches lies within `len` elements.
    fn check(&self, shape: &[usize], len: usize) -> Result<(), KernelError> {
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (&n, &s) in shape.iter().zip(self.strides) {
            let reach = (n as i128 - 1) * s as i128;
            low += reach.min(0);
            high += reach.max(0);
        }
        if low < 0 || high >= len as i128 {
            Err(KernelError::Length)
        } else {
            Ok(())
        }
    }
}

/// Row-major strides of `shape`.
pub fn row_major(shape: &[usize]) -> [isize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    let mut step = 1isize;
    for axis in (0..shape.len().min(MAX_RANK)).rev() {
        strides[axis] = step;
        step = step.saturating_mul(shape[axis] as isize);
    }
    strides
}

/// Copies `shape` elements of `size` bytes from one strided place to another.
///
/// # Errors
/// [`KernelError::Parameter`] when ranks differ, exceed [`MAX_RANK`] or `size` is not 1, 2, 4 or 8;
/// [`KernelError::Length`] when a position lies outside its slice.
pub fn strided_copy(
    size: usize,
    shape: &[usize],
    src: &[u8],
    from: Side<'_>,
    dst: &mut [u8],
    to: Side<'_>,
) -> Result<(), KernelError> {
    let rank = shape.len();
    if rank > MAX_RANK || from.strides.len() < rank || to.strides.len() < rank {
        return Err(KernelError::Parameter);
    }
    any_size(None, size, shape, src, from, dst, to)
}

/// As [`strided_copy`], with what `kernels` have for the elements.
fn any_size(
    kernels: Option<&Kernels>,
    size: usize,
    shape: &[usize],
    src: &[u8],
    from: Side<'_>,
    dst: &mut [u8],
    to: Side<'_>,
) -> Result<(), KernelError> {
    if product(shape)? == 0 {
        return Ok(());
    }
    if !matches!(size, 1 | 2 | 4 | 8) {
        return Err(KernelError::Parameter);
    }
    from.check(shape, src.len() / size)?;
    to.check(shape, dst.len() / size)?;
    let mut walk = Walk::new(shape, from, to);
    walk.merge();
    if contiguous(&walk) {
        let run = walk.shape[walk.rank - 1] * size;
        walk.each_row(&mut |s, d| {
            let (s, d) = (s * size, d * size);
            dst[d..d + run].copy_from_slice(&src[s..s + run]);
        });
        return Ok(());
    }
    match size {
        1 => sized::<1>(kernels, walk, src, dst),
        2 => sized::<2>(kernels, walk, src, dst),
        4 => sized::<4>(kernels, walk, src, dst),
        _ => sized::<8>(kernels, walk, src, dst),
    }
    Ok(())
}

impl Kernels {
    /// As [`dense_copy`]; planes of a picture become pixels by vectors.
    ///
    /// # Errors
    /// As [`strided_copy`].
    pub fn dense_copy(
        &self,
        size: usize,
        shape: &[usize],
        src: &[u8],
        from: Side<'_>,
        dst: &mut [u8],
    ) -> Result<(), KernelError> {
        let strides = row_major(shape);
        let to = Side {
            offset: 0,
            strides: &strides,
        };
        let rank = shape.len();
        if rank > MAX_RANK || from.strides.len() < rank {
            return Err(KernelError::Parameter);
        }
        any_size(Some(self), size, shape, src, from, dst, to)
    }
}

/// As [`strided_copy`] to a dense tensor of `shape`.
///
/// # Errors
/// As [`strided_copy`].
pub fn dense_copy(
    size: usize,
    shape: &[usize],
    src: &[u8],
    from: Side<'_>,
    dst: &mut [u8],
) -> Result<(), KernelError> {
    let strides = row_major(shape);
    let to = Side {
        offset: 0,
        strides: &strides,
    };
    strided_copy(size, shape, src, from, dst, to)
}

/// `dst[i..] = src[perm]`: a transpose of a dense tensor; `shape` is the input's.
///
/// # Errors
/// [`KernelError::Parameter`] when `perm` is no permutation, else as [`strided_copy`].
pub fn transpose(
    size: usize,
    shape: &[usize],
    perm: &[usize],
    src: &[u8],
    dst: &mut [u8],
) -> Result<(), KernelError> {
    let rank = shape.len();
    if rank > MAX_RANK || perm.len() != rank {
        return Err(KernelError::Parameter);
    }
    let strides = row_major(shape);
    let (mut out_shape, mut from, mut seen) = ([0; MAX_RANK], [0; MAX_RANK], [false; MAX_RANK]);
    for (axis, &p) in perm.iter().enumerate() {
        if p >= rank || seen[p] {
            return Err(KernelError::Parameter);
        }
        seen[p] = true;
        out_shape[axis] = shape[p];
        from[axis] = strides[p];
    }
    let from = Side {
        offset: 0,
        strides: &from,
    };
    dense_copy(size, &out_shape[..rank], src, from, dst)
}

/// A nest that is not contiguous.
fn sized<const N: usize>(kernels: Option<&Kernels>, mut walk: Walk, src: &[u8], dst: &mut [u8]) {
    let (src, dst) = (src.as_chunks::<N>().0, dst.as_chunks_mut::<N>().0);
    if walk.transposes_last() {
        let (rows, columns) = (walk.shape[walk.rank - 2], walk.shape[walk.rank - 1]);
        let (column_step, row_step) = (walk.from[walk.rank - 1], walk.to[walk.rank - 2]);
        walk.rank -= 2;
        // Pixels of bytes and of floats.
        if (N == 1 || N == 4)
            && (2..=4).contains(&columns)
            && row_step == columns as isize
            && column_step >= rows as isize
        {
            let plane = column_step as usize;
            walk.each(&mut |s, d| {
                let (src, dst) = (&src[s..], &mut dst[d..d + rows * columns]);
                pixels(kernels, columns, plane, src, dst);
            });
            return;
        }
        // Tiles of 16 x 16 keep both the read and the written lines in L1.
        const TILE: usize = 16;
        walk.each(&mut |s, d| {
            for r0 in (0..rows).step_by(TILE) {
                for c0 in (0..columns).step_by(TILE) {
                    for r in r0..(r0 + TILE).min(rows) {
                        let width = (c0 + TILE).min(columns) - c0;
                        let at = (d as isize + r as isize * row_step) as usize + c0;
                        let mut read = (s as isize + c0 as isize * column_step) as usize + r;
                        for out in &mut dst[at..at + width] {
                            *out = src[read];
                            read = (read as isize + column_step) as usize;
                        }
                    }
                }
            }
        });
    } else {
        let run = walk.shape[walk.rank - 1];
        let (read_step, write_step) = (walk.from[walk.rank - 1], walk.to[walk.rank - 1]);
        walk.each_row(&mut |s, d| {
            if read_step == 0 && write_step == 1 {
                dst[d..d + run].fill(src[s]);
                return;
            }
            for i in 0..run as isize {
                dst[(d as isize + i * write_step) as usize] =
                    src[(s as isize + i * read_step) as usize];
            }
        });
    }
}

/// Two to four planes of a picture to pixels.
fn pixels<const N: usize>(
    kernels: Option<&Kernels>,
    count: usize,
    plane: usize,
    src: &[[u8; N]],
    dst: &mut [[u8; N]],
) {
    match (kernels, N) {
        (Some(k), 1) => {
            let (src, dst) = (src.as_flattened(), dst.as_flattened_mut());
            // SAFETY: the row was chosen for this machine.
            unsafe { k.row(interleave::BYTE_ROWS)(Planes { src, plane, count }, dst) }
        }
        (Some(k), 4) => {
            let src = src.as_flattened().as_chunks().0;
            let dst = dst.as_flattened_mut().as_chunks_mut().0;
            // SAFETY: the row was chosen for this machine.
            unsafe { k.row(interleave::WORD_ROWS)(Planes { src, plane, count }, dst) }
        }
        _ => interleave::few(Planes { src, plane, count }, dst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn naive(perm: &[usize], shape: &[usize], src: &[u32]) -> Vec<u32> {
        let strides = row_major(shape);
        let out_shape: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
        let n: usize = shape.iter().product();
        (0..n)
            .map(|flat| {
                let (mut rest, mut at) = (flat, 0);
                for axis in (0..shape.len()).rev() {
                    at += (rest % out_shape[axis]) * strides[perm[axis]] as usize;
                    rest /= out_shape[axis];
                }
                src[at]
            })
            .collect()
    }

    fn bytes(v: &[u32]) -> Vec<u8> {
        v.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    #[test]
    fn transposes_match_the_definition() {
        let cases: &[(&[usize], &[usize])] = &[
            (&[1, 3, 17, 33], &[0, 2, 3, 1]),
            (&[3, 2, 9], &[0, 2, 1]),
            (&[2, 4, 3, 5], &[2, 3, 0, 1]),
            (&[3, 2, 4, 7], &[1, 2, 3, 0]),
            (&[2, 5, 7, 19], &[0, 3, 1, 2]),
            (&[4, 1, 3], &[2, 1, 0]),
            (&[2, 3, 4, 5, 2], &[4, 2, 0, 3, 1]),
            (&[6], &[0]),
            (&[], &[]),
            (&[3, 0, 2], &[1, 0, 2]),
        ];
        for (shape, perm) in cases {
            let n: usize = shape.iter().product();
            let src: Vec<u32> = (0..n as u32).collect();
            let mut dst = std::vec![0u8; n * 4];
            transpose(4, shape, perm, &bytes(&src), &mut dst).unwrap();
            assert_eq!(dst, bytes(&naive(perm, shape, &src)), "{shape:?} {perm:?}");
        }
    }

    #[test]
    fn every_row_makes_pixels_of_planes() {
        for k in crate::tests::every_isa() {
            for (planes, n) in (1..6)
                .flat_map(|c| [1, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130, 200].map(|n| (c, n)))
            {
                let src: Vec<u32> = (0..2 * planes * n)
                    .map(|i| (i as u32).wrapping_mul(0x9e37_79b1))
                    .collect();
                let want = naive(&[0, 2, 1], &[2, planes, n], &src);
                let strides = [planes * n, 1, n].map(|s| s as isize);
                let from = Side {
                    offset: 0,
                    strides: &strides,
                };
                let shape = [2, n, planes];
                let mut dst = std::vec![0u8; 4 * src.len()];
                k.dense_copy(4, &shape, &bytes(&src), from, &mut dst)
                    .unwrap();
                assert_eq!(dst, bytes(&want), "{} {planes} x {n}", k.name());
                let low = |v: &[u32]| v.iter().map(|&v| v as u8).collect::<Vec<_>>();
                let mut dst = std::vec![0u8; src.len()];
                k.dense_copy(1, &shape, &low(&src), from, &mut dst).unwrap();
                assert_eq!(dst, low(&want), "{} {planes} x {n} bytes", k.name());
            }
        }
    }

    #[test]
    fn slices_run_backwards_and_broadcast() {
        let src = [1u8, 2, 3, 4, 5, 6];
        let mut dst = [0u8; 4];
        let from = Side {
            offset: 5,
            strides: &[-3, -2],
        };
        strided_copy(
            1,
            &[2, 2],
            &src,
            from,
            &mut dst,
            Side {
                offset: 0,
                strides: &[2, 1],
            },
        )
        .unwrap();
        assert_eq!(dst, [6, 4, 3, 1]);
        let from = Side {
            offset: 1,
            strides: &[1, 0],
        };
        strided_copy(
            1,
            &[2, 2],
            &src,
            from,
            &mut dst,
            Side {
                offset: 0,
                strides: &[2, 1],
            },
        )
        .unwrap();
        assert_eq!(dst, [2, 2, 3, 3]);
    }

    #[test]
    fn positions_outside_are_refused() {
        let mut dst = [0u8; 4];
        let to = Side {
            offset: 0,
            strides: &[1],
        };
        assert_eq!(
            strided_copy(
                1,
                &[4],
                &[0; 3],
                Side {
                    offset: 0,
                    strides: &[1]
                },
                &mut dst,
                to
            ),
            Err(KernelError::Length)
        );
        assert_eq!(
            strided_copy(
                1,
                &[4],
                &[0; 9],
                Side {
                    offset: 2,
                    strides: &[-1]
                },
                &mut dst,
                to
            ),
            Err(KernelError::Length)
        );
        assert_eq!(
            strided_copy(
                3,
                &[1],
                &[0; 9],
                Side {
                    offset: 0,
                    strides: &[1]
                },
                &mut dst,
                to
            ),
            Err(KernelError::Parameter)
        );
        assert_eq!(
            transpose(1, &[2, 2], &[0, 0], &[0; 4], &mut dst),
            Err(KernelError::Parameter)
        );
    }
}
