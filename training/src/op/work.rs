//! Slices of candle's storage, and work split over threads.
use candle_core::{CpuStorage, Error, Layout, Result};
use cygnet_kernels::{KernelError, Kernels};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::OnceLock;

/// The kernels of this machine.
pub(crate) fn kernels() -> &'static Kernels {
    static KERNELS: OnceLock<Kernels> = OnceLock::new();
    KERNELS.get_or_init(Kernels::best)
}

/// The floats of a contiguous tensor.
pub(super) fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((begin, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("this operator takes contiguous tensors: call contiguous() first");
    };
    Ok(&storage.as_slice::<f32>()?[begin..end])
}

/// A kernel's refusal, which is a mistake in this crate, as candle's error.
pub(super) fn refused(error: KernelError) -> Error {
    Error::Msg(format!("kernel: {error}"))
}

/// Fills `out`, rows of `width` elements, by calls for ranges of rows on all threads.
pub(super) fn by_rows(
    out: &mut [f32],
    width: usize,
    run: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), KernelError> + Sync,
) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let rows = out.len() / width;
    // Twice as many pieces as threads: threads do not progress alike.
    let piece = rows.div_ceil(2 * rayon::current_num_threads()).max(1);
    out.par_chunks_mut(piece * width)
        .enumerate()
        .try_for_each(|(i, out)| run(i * piece..i * piece + out.len() / width, out))
        .map_err(refused)
}

/// Parts that a sum over `n` elements is made of; depends on nothing else.
pub(super) fn parts(n: usize, least: usize) -> Vec<Range<usize>> {
    let count = (n / least.max(1)).clamp(1, 16);
    (0..count)
        .map(|i| i * n / count..(i + 1) * n / count)
        .collect()
}

/// Sums of vectors of `len` elements, one from every part, added up in order.
pub(super) fn sum_parts(
    parts: &[Range<usize>],
    len: usize,
    run: impl Fn(Range<usize>, &mut [f32]) -> std::result::Result<(), KernelError> + Sync,
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
