//! Maximum and requantised mean of 16-bit integers, channels-last.
#![allow(clippy::extra_unused_type_parameters)]
use super::rounding;
use crate::Kernels;
use crate::error::KernelError;
use crate::isa::{Isa, kernel_rows};
use crate::pool::{Pool, PoolKind};
use crate::quantize::linear::Rounding;
use core::ops::Range;

/// Channels at a time.
const BLOCK: usize = 32;

/// A validated piece of a pooling; `y` begins with the first row of the range.
pub(super) struct Task<'a> {
    p: &'a Pool,
    x: &'a [i16],
    multiplier: f32,
    rounding: Rounding,
    y: &'a mut [i16],
    rows: Range<usize>,
}

kernel_rows!(pub(super) ROWS = body(t: Task<'_>));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: Task<'_>) {
    let p = t.p;
    let c = p.channels;
    if c == 0 {
        return;
    }
    let at = |d: usize, o: usize, k: usize| o * p.stride[d] + k * p.dilation[d] - p.pad_begin[d];
    let mut out = t.y.chunks_exact_mut(c);
    for row in t.rows {
        let (oy, rest) = (row % p.output[1], row / p.output[1]);
        let (oz, image) = (rest % p.output[0], rest / p.output[0]);
        let ((z0, z1, zc), (y0, y1, yc)) = (p.taps(0, oz), p.taps(1, oy));
        for (ox, y) in out.by_ref().take(p.output[2]).enumerate() {
            let (x0, x1, xc) = p.taps(2, ox);
            let count = if p.kind == PoolKind::AverageIncludePad {
                zc.saturating_mul(yc).saturating_mul(xc)
            } else {
                (z1 - z0) * (y1 - y0) * (x1 - x0)
            };
            let multiplier = t.multiplier / count.max(1) as f32;
            for (block, y) in y.chunks_mut(BLOCK).enumerate() {
                let first = block * BLOCK;
                let each = |f: &mut dyn FnMut(&[i16])| {
                    for kz in z0..z1 {
                        for ky in y0..y1 {
                            let plane = (image * p.input[0] + at(0, oz, kz)) * p.input[1];
                            let line = (plane + at(1, oy, ky)) * p.input[2];
                            for kx in x0..x1 {
                                let from = (line + at(2, ox, kx)) * c + first;
                                f(&t.x[from..from + y.len()]);
                            }
                        }
                    }
                };
                if p.kind == PoolKind::Max {
                    let mut most = [i16::MIN; BLOCK];
                    each(&mut |x| {
                        for (most, &x) in most.iter_mut().zip(x) {
                            *most = (*most).max(x);
                        }
                    });
                    y.copy_from_slice(&most[..y.len()]);
                } else {
                    let mut sums = [0i32; BLOCK];
                    each(&mut |x| {
                        for (sum, &x) in sums.iter_mut().zip(x) {
                            *sum = sum.wrapping_add(i32::from(x));
                        }
                    });
                    for (y, &sum) in y.iter_mut().zip(&sums) {
                        *y = t.rounding.apply(sum as f32 * multiplier) as i16;
                    }
                }
            }
        }
    }
}

impl Kernels {
    /// The maximum over each window of 16-bit integers (the least integer where none lies inside the input), or the mean
    /// as [`crate::quantize::mean`] gives it, by the kind of the pooling. Maxima are not bounded.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, a bound is outside of 16 bits, or the kind is another.
    pub fn int16_pool(
        &self,
        p: &Pool,
        multiplier: f32,
        bounds: (i32, i32),
        x: &[i16],
        y: &mut [i16],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(x.len(), y.len(), &rows)?;
        if !matches!(
            p.kind,
            PoolKind::Max | PoolKind::Average | PoolKind::AverageIncludePad
        ) {
            return Err(KernelError::Parameter);
        }
        let t = Task {
            p,
            x,
            multiplier,
            rounding: rounding(bounds)?,
            y,
            rows,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ROWS)(t) };
        Ok(())
    }
}
