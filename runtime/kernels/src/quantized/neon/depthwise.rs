//! Depthwise convolutions with widening multiply-adds: 16 channels, up to four outputs of a row that share input columns.
use super::{Finish, Sum, load_floats, load_sums};
use crate::quantized::{Task, scalar};
use core::arch::aarch64::*;

/// Channels at a time.
const STRIP: usize = 16;
/// Outputs of a row at a time.
const WIDE: usize = 4;
/// Kernel rows, at most, whose input lines are at hand.
const LINES: usize = 32;

/// # Safety
/// `t` passed its check for a depthwise convolution.
#[target_feature(enable = "neon")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    let p = &t.p.conv;
    // SAFETY: passed through.
    unsafe {
        let whole = p.out_channels >= STRIP && p.kernel[0] * p.kernel[1] <= LINES;
        if !whole || !t.finite() {
            return scalar::depthwise(t);
        }
        match (p.dilation[2], p.kernel[2], p.stride[2]) {
            (1, 3, 1) => lines::<3, 1>(t),
            (1, 3, 2) => lines::<3, 2>(t),
            (1, 5, 1) => lines::<5, 1>(t),
            (1, 5, 2) => lines::<5, 2>(t),
            _ => lines::<0, 1>(t),
        }
    }
}

/// A strip of channels of an output row.
struct Strip<'a> {
    t: &'a Task,
    finish: Finish,
    flip: uint8x16_t,
    padding: [u8; STRIP],
    /// Starts of the input rows that the kernel's rows read, null in the padding.
    lines: [*const u8; LINES],
    /// First channel.
    first: usize,
}

/// All rows, for kernels of `KW` columns (0: of any number, with any distance and stride).
#[target_feature(enable = "neon")]
unsafe fn lines<const KW: usize, const S: usize>(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved; the last strip steps back to stay inside the
    // channels, so some are computed twice.
    unsafe {
        let p = &t.p.conv;
        let (c, width) = (p.out_channels, p.output[2]);
        let mut strip = Strip {
            t,
            finish: Finish::new(t),
            flip: vdupq_n_u8(t.flip()),
            padding: [t.p.x_zero; STRIP],
            lines: [core::ptr::null(); LINES],
            first: 0,
        };
        for row in t.rows.0..t.rows.1 {
            let (y, rest) = (row % p.output[1], row / p.output[1]);
            let (z, image) = (rest % p.output[0], rest / p.output[0]);
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    let iz = (z * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                    let iy = (y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    let line = (image * p.input[0] + iz) * p.input[1] + iy;
                    strip.lines[kz * p.kernel[1] + ky] = if iz < p.input[0] && iy < p.input[1] {
                        t.x.add(line * p.input[2] * c)
                    } else {
                        core::ptr::null()
                    };
                }
            }
            let at = (row - t.rows.0) * width;
            let mut first = 0;
            while first < c {
                strip.first = first.min(c - STRIP);
                let mut x = 0;
                if KW > 0 {
                    while x + WIDE <= width {
                        strip.outputs::<KW, S, WIDE>(x, at + x);
                        x += WIDE;
                    }
                }
                while x < width {
                    if KW > 0 {
                        strip.outputs::<KW, S, 1>(x, at + x);
                    } else {
                        strip.output(x, at + x);
                    }
                    x += 1;
                }
                first += STRIP;
            }
        }
    }
}

/// Sixteen bytes as two vectors of 16-bit values.
#[inline]
#[target_feature(enable = "neon")]
fn widen(v: uint8x16_t) -> [int16x8_t; 2] {
    let v = vreinterpretq_s8_u8(v);
    [vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)]
}

/// `sums += a * b`.
#[inline]
#[target_feature(enable = "neon")]
fn multiply_add(sums: &mut [int32x4_t; 4], a: [int16x8_t; 2], b: [int16x8_t; 2]) {
    for i in 0..2 {
        sums[2 * i] = vmlal_s16(sums[2 * i], vget_low_s16(a[i]), vget_low_s16(b[i]));
        sums[2 * i + 1] = vmlal_high_s16(sums[2 * i + 1], a[i], b[i]);
    }
}

impl Strip<'_> {
    /// The input at a column of a kernel row.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn column(&self, line: *const u8, x: usize) -> [int16x8_t; 2] {
        // SAFETY: the column exists in the input, or the padding is read.
        unsafe {
            let p = &self.t.p.conv;
            let from = if !line.is_null() && x < p.input[2] {
                line.add(x * p.in_channels + self.first)
            } else {
                self.padding.as_ptr()
            };
            widen(veorq_u8(vld1q_u8(from), self.flip))
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn weights(&self, tap: usize) -> [int16x8_t; 2] {
        // SAFETY: the tap exists.
        unsafe {
            let from = self.t.w.add(tap * self.t.p.conv.out_channels + self.first);
            widen(vld1q_u8(from.cast()))
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(&self, sums: [int32x4_t; 4], pixel: usize) {
        // SAFETY: the pixel belongs to the task.
        unsafe {
            let t = self.t;
            let multiplier = load_floats(t.multiplier.add(self.first));
            let at = pixel * t.p.conv.out_channels + self.first;
            let bytes = if t.residual.is_null() {
                self.finish.apply(sums, multiplier)
            } else {
                let residual = vld1q_u8(t.residual.add(at));
                Sum::new(self.t).add(sums, multiplier, residual)
            };
            vst1q_u8(t.y.add(at), bytes);
        }
    }

    /// `P` outputs of a row from column `x` on, which follow `pixel` in the task.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn outputs<const KW: usize, const S: usize, const P: usize>(
        &self,
        x: usize,
        pixel: usize,
    ) {
        // SAFETY: taps and outputs exist.
        unsafe {
            let p = &self.t.p.conv;
            let mut sums = [load_sums(self.t.start.add(self.first)); P];
            let left = (x * S).wrapping_sub(p.pad_begin[2]);
            for (k, line) in self.lines[..p.kernel[0] * p.kernel[1]].iter().enumerate() {
                let mut w = [[vdupq_n_s16(0); 2]; KW];
                for (kx, w) in w.iter_mut().enumerate() {
                    *w = self.weights(k * KW + kx);
                }
                for column in 0..(P - 1) * S + KW {
                    let v = self.column(*line, left.wrapping_add(column));
                    for (o, sums) in sums.iter_mut().enumerate() {
                        if column >= o * S && column - o * S < KW {
                            multiply_add(sums, v, w[column - o * S]);
                        }
                    }
                }
            }
            for (o, sums) in sums.into_iter().enumerate() {
                self.store(sums, pixel + o);
            }
        }
    }

    /// One output, of any kernel.
    #[target_feature(enable = "neon")]
    unsafe fn output(&self, x: usize, pixel: usize) {
        // SAFETY: taps and the output exist.
        unsafe {
            let p = &self.t.p.conv;
            let mut sums = load_sums(self.t.start.add(self.first));
            for (k, line) in self.lines[..p.kernel[0] * p.kernel[1]].iter().enumerate() {
                for kx in 0..p.kernel[2] {
                    let ix = (x * p.stride[2] + kx * p.dilation[2]).wrapping_sub(p.pad_begin[2]);
                    let v = self.column(*line, ix);
                    multiply_add(&mut sums, v, self.weights(k * p.kernel[2] + kx));
                }
            }
            self.store(sums, pixel);
        }
    }
}
