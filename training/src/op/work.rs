//! Work split over threads.
use candle_core::{Error, Result};
use cygnet_kernels::{KernelError, Kernels};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

/// The kernels of this machine.
pub(crate) fn kernels() -> &'static Kernels {
    static KERNELS: OnceLock<Kernels> = OnceLock::new();
    KERNELS.get_or_init(Kernels::best)
}

/// A kernel's refusal, which is a mistake in this crate, as candle's error.
pub(crate) fn refused(error: KernelError) -> Error {
    Error::Msg(format!("kernel: {error}"))
}

type Done = std::result::Result<(), KernelError>;

/// Pieces that rows of work are cut into. What is summed by piece depends on it, so it does not depend on the threads.
pub(super) const PIECES: usize = 16;

/// Fills `out`, rows of `width` elements, by calls for ranges of rows on all threads; what the calls return, in order.
pub(super) fn by_rows<R: Send>(
    out: &mut [f32],
    width: usize,
    run: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<R, KernelError> + Sync,
) -> Result<Vec<R>> {
    if out.is_empty() {
        return Ok(Vec::new());
    }
    let rows = out.len() / width;
    let piece = rows.div_ceil(PIECES);
    out.par_chunks_mut(piece * width)
        .enumerate()
        .map(|(i, out)| run(i * piece..i * piece + out.len() / width, out))
        .collect::<std::result::Result<_, _>>()
        .map_err(refused)
}

/// Pieces of `n` elements, at least `least` each where there are as many.
pub(super) fn parts(n: usize, least: usize) -> Vec<Range<usize>> {
    let count = (n / least.max(1)).clamp(1, PIECES);
    (0..count)
        .map(|i| i * n / count..(i + 1) * n / count)
        .collect()
}

/// Sums of vectors of `len` elements, one from every part, added up in order.
pub(super) fn sum_parts(
    parts: &[Range<usize>],
    len: usize,
    run: impl Fn(Range<usize>, &mut [f32]) -> Done + Sync,
) -> Result<Vec<f32>> {
    let mut sums: Vec<Vec<f32>> = parts
        .par_iter()
        .map(|part| {
            let mut sum = vec![0.0; len];
            run(part.clone(), &mut sum).map(|()| sum)
        })
        .collect::<std::result::Result<_, _>>()
        .map_err(refused)?;
    let rest = sums.split_off(1);
    let mut total = sums.swap_remove(0);
    for sum in rest {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += s;
        }
    }
    Ok(total)
}

/// Elements from which a thread is worth its start.
const PIECE: usize = 1 << 14;

/// Runs `f` on pieces of whole pixels of `c` channels of two slices, on all threads.
pub(crate) fn by_pixels(
    c: usize,
    out: &mut [f32],
    by: &[f32],
    f: impl Fn(&mut [f32], &[f32]) -> Done + Sync,
) -> Result<()> {
    let pixels = out.len() / c;
    let piece = pixels.div_ceil(PIECES).max(PIECE.div_ceil(c)) * c;
    out.par_chunks_mut(piece)
        .zip(by.par_chunks(piece))
        .try_for_each(|(out, by)| f(out, by))
        .map_err(refused)
}

/// `to += from`.
pub(crate) fn accumulate(to: &mut [f32], from: &[f32]) {
    to.par_chunks_mut(PIECE)
        .zip(from.par_chunks(PIECE))
        .for_each(|(to, from)| {
            for (t, f) in to.iter_mut().zip(from) {
                *t += f;
            }
        });
}

/// Calls `f` with `len` elements of memory that a thread keeps.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        f(&mut scratch[..len])
    })
}
