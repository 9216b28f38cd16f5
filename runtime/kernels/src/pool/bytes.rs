//! Maximum and requantised mean of 8-bit integers, channels-last. Bytes are made unsigned by flipping their highest bit.
#![allow(clippy::extra_unused_type_parameters)]

use super::{Pool, PoolKind, Window};
use crate::error::KernelError;
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;
use crate::quantize::Target;
use crate::quantize::linear::{Rounding, unsigned};
use core::ops::Range;

/// Zero point and multiplier of a mean, and how it is rounded.
#[derive(Clone, Copy)]
struct Mean {
    zero: i32,
    multiplier: f32,
    rounding: Rounding,
}

/// A validated piece of a pooling: the maximum without `mean`. `y` begins with the first row of the range.
pub(crate) struct Task<'a> {
    p: &'a Pool,
    x: &'a [u8],
    flip: u8,
    mean: Option<Mean>,
    y: &'a mut [u8],
    rows: Range<usize>,
}

kernel_rows!(pub(crate) ROWS = body(t: Task<'_>));

/// Channels at a time.
const BLOCK: usize = 64;

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: Task<'_>) {
    let p = t.p;
    let c = p.channels;
    if c == 0 {
        return;
    }
    let mut out = t.y.chunks_exact_mut(c);
    for row in t.rows {
        let (oy, oz, image) = (
            row % p.output[1],
            row / p.output[1] % p.output[0],
            row / p.output[1] / p.output[0],
        );
        let ((z0, z1, zc), (y0, y1, yc)) = (p.taps(0, oz), p.taps(1, oy));
        for (ox, y) in out.by_ref().take(p.output[2]).enumerate() {
            let (x0, x1, xc) = p.taps(2, ox);
            let inside = (z1 - z0) * (y1 - y0) * (x1 - x0);
            let count = if p.kind == PoolKind::AverageIncludePad {
                zc.saturating_mul(yc).saturating_mul(xc)
            } else {
                inside
            };
            let w = Window {
                z: z0..z1,
                y: y0..y1,
                x: x0..x1,
                at: [oz, oy, ox],
                image,
            };
            let mean = t.mean.map(|m| Mean {
                multiplier: m.multiplier / count.max(1) as f32,
                ..m
            });
            for ch in (0..c).step_by(BLOCK) {
                let n = c.min(BLOCK);
                // The last block overlaps the one before.
                let ch = ch.min(c - n);
                let y = &mut y[ch..ch + n];
                // SAFETY: `x` holds the input (`Pool::check`), and taps of the window lie inside.
                unsafe {
                    match &mean {
                        None => maximum(p, t.x, &w, ch, t.flip, y),
                        Some(m) => average(p, t.x, &w, ch, t.flip, m, y),
                    }
                }
            }
        }
    }
}

/// The maximum of as many channels as `y` has, from `ch`; the least value where no tap lies inside.
///
/// # Safety
/// As [`each_tap`], with the channels of `y`, which are [`BLOCK`] or fewer.
#[inline(always)]
unsafe fn maximum(p: &Pool, x: &[u8], w: &Window, ch: usize, flip: u8, y: &mut [u8]) {
    if let Ok(y) = <&mut [u8; BLOCK]>::try_from(&mut *y) {
        // A constant length keeps the maxima in registers.
        let mut most = [0u8; BLOCK];
        let each = |x: *const u8| {
            // SAFETY: a tap has the channels.
            let x = unsafe { x.cast::<[u8; BLOCK]>().read() };
            for i in 0..BLOCK {
                most[i] = most[i].max(x[i] ^ flip);
            }
        };
        // SAFETY: the same contract.
        unsafe { each_tap(p, x, w, ch, each) };
        *y = most.map(|v| v ^ flip);
        return;
    }
    y.fill(0);
    let each = |x: *const u8| {
        // SAFETY: a tap has the channels.
        let x = unsafe { core::slice::from_raw_parts(x, y.len()) };
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (*y).max(x ^ flip);
        }
    };
    // SAFETY: the same contract.
    unsafe { each_tap(p, x, w, ch, each) };
    for y in y {
        *y ^= flip;
    }
}

/// The mean of as many channels as `y` has, from `ch`; its multiplier is divided by the number of taps already.
///
/// # Safety
/// As [`each_tap`], with the channels of `y`, which are [`BLOCK`] or fewer.
#[inline(always)]
unsafe fn average(p: &Pool, x: &[u8], w: &Window, ch: usize, flip: u8, m: &Mean, y: &mut [u8]) {
    /// Bytes whose sum is sure to fit 16 bits.
    const NARROW: usize = 257;
    let inside = w.z.len() * w.y.len() * w.x.len();
    let mut sums = [(inside as i32).wrapping_mul(m.zero).wrapping_neg(); BLOCK];
    let (mut narrow, mut left, n) = ([0u16; BLOCK], NARROW, y.len());
    let mut widen = |narrow: &mut [u16; BLOCK], left: &mut usize| {
        for i in 0..BLOCK {
            sums[i] = sums[i].wrapping_add(narrow[i] as i32);
        }
        (*narrow, *left) = ([0; BLOCK], NARROW);
    };
    // SAFETY: the same contract, and a tap has the channels.
    unsafe {
        if n == BLOCK {
            each_tap(p, x, w, ch, |x| {
                if left == 0 {
                    widen(&mut narrow, &mut left);
                }
                left -= 1;
                let x = x.cast::<[u8; BLOCK]>().read();
                for i in 0..BLOCK {
                    narrow[i] += (x[i] ^ flip) as u16;
                }
            });
        } else {
            each_tap(p, x, w, ch, |x| {
                if left == 0 {
                    widen(&mut narrow, &mut left);
                }
                left -= 1;
                let x = core::slice::from_raw_parts(x, n);
                for (sum, &x) in narrow.iter_mut().zip(x) {
                    *sum += (x ^ flip) as u16;
                }
            });
        }
    }
    widen(&mut narrow, &mut left);
    for (y, &sum) in y.iter_mut().zip(&sums) {
        *y = m.rounding.apply(sum as f32 * m.multiplier) as u8;
    }
}

/// Calls `f` with channel `ch` of every tap of the window.
///
/// # Safety
/// `x` holds the input of the pooling, `ch` is one of its channels, and the taps of the window lie inside of it.
#[inline(always)]
unsafe fn each_tap(p: &Pool, x: &[u8], w: &Window, ch: usize, mut f: impl FnMut(*const u8)) {
    if w.x.is_empty() {
        return;
    }
    let c = p.channels;
    let at = |d: usize, k: usize| w.at[d] * p.stride[d] + k * p.dilation[d] - p.pad_begin[d];
    let (ix, step) = (at(2, w.x.start), p.dilation[2] * c);
    for kz in w.z.clone() {
        let plane = (w.image * p.input[0] + at(0, kz)) * p.input[1];
        for ky in w.y.clone() {
            let first = ((plane + at(1, ky)) * p.input[2] + ix) * c + ch;
            for kx in 0..w.x.len() {
                // SAFETY: the tap lies inside the input.
                f(unsafe { x.as_ptr().add(first + kx * step) });
            }
        }
    }
}

impl Kernels {
    /// As [`Kernels::pool`] of maxima, for 8-bit integers, signed or not, of which the slices hold the bytes. A window
    /// without an element inside the input yields the least value of the type.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape or the kind is not [`PoolKind::Max`].
    pub fn max_pool_bytes(
        &self,
        p: &Pool,
        signed: bool,
        x: &[u8],
        y: &mut [u8],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(x.len(), y.len(), &rows)?;
        if p.kind != PoolKind::Max {
            return Err(KernelError::Parameter);
        }
        let t = Task {
            p,
            x,
            flip: unsigned(signed).0,
            mean: None,
            y,
            rows,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ROWS)(t) };
        Ok(())
    }

    /// The mean over each window of 8-bit integers less `zero`, requantised: [`crate::quantize::mean`] of the taps inside
    /// the input and of their number, or of that of the taps in the padding too. Otherwise as [`Kernels::max_pool_bytes`].
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, the kind is [`PoolKind::Max`], `zero` lies outside -255..=255,
    /// or the bounds hold no value or are 2^22 or more from the zero point.
    pub fn quantized_average_pool(
        &self,
        p: &Pool,
        signed: bool,
        (zero, multiplier): (i32, f32),
        target: &Target,
        x: &[u8],
        y: &mut [u8],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(x.len(), y.len(), &rows)?;
        if p.kind == PoolKind::Max || !(-255..=255).contains(&zero) {
            return Err(KernelError::Parameter);
        }
        let (flip, bias) = unsigned(signed);
        let mean = Mean {
            zero: zero + bias,
            multiplier,
            rounding: Rounding::new(target).ok_or(KernelError::Parameter)?,
        };
        let t = Task {
            p,
            x,
            flip,
            mean: Some(mean),
            y,
            rows,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ROWS)(t) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::mean;
    use crate::tests::{Random, every_isa};
    use std::{vec, vec::Vec};

    /// Values of channel `ch` of the taps of output `o` of an image that lie inside, and how many lie inside the padding.
    fn window(p: &Pool, x: &[i32], image: usize, o: [usize; 3], ch: usize) -> (Vec<i32>, usize) {
        let (mut values, mut padded) = (Vec::new(), 0);
        for k in 0..p.kernel.iter().product() {
            let k = [
                k / (p.kernel[1] * p.kernel[2]),
                k / p.kernel[2] % p.kernel[1],
                k % p.kernel[2],
            ];
            let at = |d: usize| o[d] * p.stride[d] + k[d] * p.dilation[d];
            let all = |f: &dyn Fn(usize) -> bool| (0..3).all(f);
            let end = |d: usize| p.pad_begin[d] + p.input[d];
            padded += all(&|d| at(d) < end(d) + p.pad_end[d]) as usize;
            if all(&|d| (p.pad_begin[d]..end(d)).contains(&at(d))) {
                let i = (0..3).fold(image, |i, d| i * p.input[d] + at(d) - p.pad_begin[d]);
                values.push(x[i * p.channels + ch]);
            }
        }
        (values, padded)
    }

    fn random(case: usize, rng: &mut Random) -> Pool {
        let mut p = Pool {
            kind: [
                PoolKind::Max,
                PoolKind::Average,
                PoolKind::AverageIncludePad,
            ][case % 3],
            batch: 1 + rng.below(2),
            input: [1; 3],
            channels: [1, 3, 15, 16, 17, 40, 63, 64, 65, 130][rng.below(10)],
            output: [1; 3],
            kernel: [1; 3],
            stride: [1; 3],
            dilation: [1; 3],
            pad_begin: [0; 3],
            pad_end: [0; 3],
        };
        for d in 2 - case % 3..3 {
            p.input[d] = 1 + rng.below(6);
            p.kernel[d] = 1 + rng.below(3);
            p.stride[d] = 1 + rng.below(3);
            p.dilation[d] = 1 + rng.below(2);
            p.pad_begin[d] = rng.below(4);
            p.pad_end[d] = rng.below(3);
            p.output[d] = 1 + rng.below(5);
        }
        p
    }

    #[test]
    fn every_row_pools_as_the_definition() {
        let mut rng = Random::new(41);
        for (kernels, case) in every_isa()
            .iter()
            .flat_map(|k| (0..150).map(move |c| (k, c)))
        {
            let p = random(case, &mut rng);
            let signed = case % 2 == 0;
            let shift = if signed { 128 } else { 0 };
            let size = p.batch * p.input.iter().product::<usize>() * p.channels;
            let values: Vec<i32> = (0..size).map(|_| rng.below(256) as i32 - shift).collect();
            let x: Vec<u8> = values.iter().map(|&v| v as u8).collect();
            let (zero, multiplier) = (rng.below(256) as i32 - shift, rng.next() * 3.0);
            let target = Target {
                zero: rng.below(256) as i32 - shift,
                low: -shift + case as i32 % 7,
                high: 255 - shift,
            };
            let (row, rows) = (p.output[2] * p.channels, p.rows());
            let want: Vec<u8> = (0..rows * row)
                .map(|i| {
                    let (ch, pixel) = (i % p.channels, i / p.channels);
                    let [od, oh, ow] = p.output;
                    let o = [pixel / (oh * ow) % od, pixel / ow % oh, pixel % ow];
                    let (taps, padded) = window(&p, &values, pixel / (od * oh * ow), o, ch);
                    let sum = taps.iter().map(|v| v - zero).sum();
                    (match p.kind {
                        PoolKind::Max => taps.iter().copied().max().unwrap_or(-shift),
                        PoolKind::Average => mean(sum, taps.len(), multiplier, &target),
                        PoolKind::AverageIncludePad => mean(sum, padded, multiplier, &target),
                    }) as u8
                })
                .collect();
            let mut y = vec![99; rows * row];
            let half = rows / 2;
            for part in [0..half, half..rows] {
                let y = &mut y[part.start * row..part.end * row];
                if p.kind == PoolKind::Max {
                    kernels.max_pool_bytes(&p, signed, &x, y, part).unwrap();
                } else {
                    let of = (zero, multiplier);
                    kernels
                        .quantized_average_pool(&p, signed, of, &target, &x, y, part)
                        .unwrap();
                }
            }
            assert_eq!(y, want, "{} signed {signed} {p:?}", kernels.name());
        }
    }

    #[test]
    fn other_kinds_and_lengths_are_refused() {
        let k = Kernels::best();
        let p = random(0, &mut Random::new(1));
        let average = Pool {
            kind: PoolKind::Average,
            ..p
        };
        let target = Target {
            zero: 0,
            low: 0,
            high: 255,
        };
        let size = p.batch * p.input.iter().product::<usize>() * p.channels;
        let (x, mut y) = (vec![0; size], vec![0; p.rows() * p.output[2] * p.channels]);
        let rows = 0..p.rows();
        let parameter = Err(KernelError::Parameter);
        let max = k.max_pool_bytes(&average, false, &x, &mut y, rows.clone());
        assert_eq!(max, parameter);
        for (p, zero) in [(&p, 0), (&average, 256)] {
            let of = (zero, 1.0);
            let mean = k.quantized_average_pool(p, false, of, &target, &x, &mut y, rows.clone());
            assert_eq!(mean, parameter, "{p:?}");
        }
        let short = k.max_pool_bytes(&p, false, &x[1..], &mut y, rows);
        assert_eq!(short, Err(KernelError::Length));
    }
}
