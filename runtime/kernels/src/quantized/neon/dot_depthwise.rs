//! Depthwise convolutions of 3 x 3 with Arm SDOT, 16 channels at a time.
//!
//! The bytes of an input column's three rows are interleaved by channel, so that one product takes a column of the kernel;
//! an interleaved column serves all outputs of a row that hold it.
use super::{Finish, load_floats, load_sums};
use crate::quantized::Task;
use core::arch::aarch64::*;
use core::arch::asm;

/// Channels at a time.
const STRIP: usize = 16;
/// Output rows that strips pass over in turn, so that lines of the input are used while they are in the cache.
const BLOCK: usize = 4;
/// Rows and columns of the kernel.
const K: usize = 3;

/// An interleaved column: four bytes of each channel.
type Column = [int8x16_t; 4];

/// # Safety
/// `t` passed its check for a depthwise convolution; the machine has dot products.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    let p = &t.p.conv;
    let square = p.kernel == [1, K, K] && p.dilation[2] == 1 && p.out_channels >= STRIP;
    // SAFETY: passed through.
    unsafe {
        match p.stride[2] {
            1 if square && t.finite() => rows::<1>(t),
            2 if square && t.finite() => rows::<2>(t),
            _ => super::depthwise(t),
        }
    }
}

/// `sums += x . w` for the four bytes of each channel.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn multiply_add(sums: &mut [int32x4_t; 4], x: Column, w: Column) {
    for i in 0..4 {
        // SAFETY: arithmetic on registers; the machine has dot products.
        unsafe {
            asm!(
                "sdot {sum:v}.4s, {x:v}.16b, {w:v}.16b",
                sum = inout(vreg) sums[i],
                x = in(vreg) x[i],
                w = in(vreg) w[i],
                options(pure, nomem, nostack, preserves_flags),
            );
        }
    }
}

/// Interleaves three rows of bytes and a fourth one.
#[inline]
#[target_feature(enable = "neon")]
fn interleave(rows: [uint8x16_t; K], fourth: uint8x16_t) -> Column {
    let [a, b, c] = rows;
    let (ab, cd) = (vzip1q_u8(a, b), vzip1q_u8(c, fourth));
    let (ab, cd) = (vreinterpretq_u16_u8(ab), vreinterpretq_u16_u8(cd));
    let (low, high) = (vzip1q_u16(ab, cd), vzip2q_u16(ab, cd));
    let (ab, cd) = (vzip2q_u8(a, b), vzip2q_u8(c, fourth));
    let (ab, cd) = (vreinterpretq_u16_u8(ab), vreinterpretq_u16_u8(cd));
    [low, high, vzip1q_u16(ab, cd), vzip2q_u16(ab, cd)].map(|v| vreinterpretq_s8_u16(v))
}

/// A strip of channels of an output row.
struct Strip<'a> {
    t: &'a Task,
    finish: Finish,
    flip: uint8x16_t,
    /// A column outside of the input.
    padding: Column,
    /// Weights of the kernel's columns.
    w: [Column; K],
    start: *const i32,
    multiplier: [float32x4_t; 4],
    /// Where the input rows start, each with its distance from column to column: 0 for a row of padding.
    rows: [(*const u8, usize); K],
    /// The place of the row's first result.
    at: usize,
}

impl Strip<'_> {
    /// An input column; any index outside of the input is padding.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn column(&self, x: usize) -> Column {
        if x >= self.t.p.conv.input[2] {
            return self.padding;
        }
        // SAFETY: the column exists in the input, or the padding is read.
        unsafe {
            let v = self
                .rows
                .map(|(row, step)| veorq_u8(vld1q_u8(row.add(x * step)), self.flip));
            // The fourth row meets weights of zero.
            interleave(v, v[2])
        }
    }

    /// The output at `x` of the row.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn output(&self, x: usize, columns: [Column; K]) {
        // SAFETY: the output belongs to the task.
        unsafe {
            let mut sums = load_sums(self.start);
            for (column, w) in columns.into_iter().zip(self.w) {
                multiply_add(&mut sums, column, w);
            }
            let at = self.at + x * self.t.p.conv.out_channels;
            let bytes = if self.t.residual.is_null() {
                self.finish.apply(sums, self.multiplier)
            } else {
                let residual = vld1q_u8(self.t.residual.add(at));
                self.finish.add(self.t, sums, self.multiplier, residual)
            };
            vst1q_u8(self.t.y.add(at), bytes);
        }
    }

    /// All outputs of the row, with stride `S`: columns take turns in three places.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn outputs<const S: usize>(&self) {
        // SAFETY: columns and outputs exist.
        unsafe {
            let p = &self.t.p.conv;
            let width = p.output[2];
            let mut at = 0usize.wrapping_sub(p.pad_begin[2]);
            let mut next = || {
                let column = self.column(at);
                at = at.wrapping_add(1);
                column
            };
            let mut a = next();
            let mut x = 0;
            if S == 1 {
                let mut b = next();
                while x + 3 <= width {
                    let c = next();
                    self.output(x, [a, b, c]);
                    a = next();
                    self.output(x + 1, [b, c, a]);
                    b = next();
                    self.output(x + 2, [c, a, b]);
                    x += 3;
                }
                while x < width {
                    let c = next();
                    self.output(x, [a, b, c]);
                    (a, b) = (b, c);
                    x += 1;
                }
            } else {
                while x + 2 <= width {
                    let (b, c) = (next(), next());
                    self.output(x, [a, b, c]);
                    let b = next();
                    a = next();
                    self.output(x + 1, [c, b, a]);
                    x += 2;
                }
                if x < width {
                    let (b, c) = (next(), next());
                    self.output(x, [a, b, c]);
                }
            }
        }
    }
}

/// All rows, with stride `S` from column to column.
#[target_feature(enable = "neon,dotprod")]
unsafe fn rows<const S: usize>(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved; the last strip steps back to stay inside the
    // channels, so some are computed twice.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let padding = [t.p.x_zero; STRIP];
        let flip = vdupq_n_u8(t.flip());
        let outside = veorq_u8(vdupq_n_u8(t.p.x_zero), flip);
        let mut strip = Strip {
            t,
            finish: Finish::new(t),
            flip,
            padding: interleave([outside; K], outside),
            w: [interleave([outside; K], outside); K],
            start: t.start,
            multiplier: [vdupq_n_f32(0.0); 4],
            rows: [(padding.as_ptr(), 0); K],
            at: 0,
        };
        let strips = c.div_ceil(STRIP);
        for i in 0..(t.rows.1 - t.rows.0).div_ceil(BLOCK) * strips {
            let first = (i % strips * STRIP).min(c - STRIP);
            let begin = t.rows.0 + i / strips * BLOCK;
            for (kx, w) in strip.w.iter_mut().enumerate() {
                let row = |ky: usize| vld1q_u8(t.w.add((ky * K + kx) * c + first).cast());
                *w = interleave([row(0), row(1), row(2)], vdupq_n_u8(0));
            }
            strip.start = t.start.add(first);
            strip.multiplier = load_floats(t.multiplier.add(first));
            for row in begin..(begin + BLOCK).min(t.rows.1) {
                let (y, rest) = (row % p.output[1], row / p.output[1]);
                let (z, image) = (rest % p.output[0], rest / p.output[0]);
                let z = (z * p.stride[0]).wrapping_sub(p.pad_begin[0]);
                for (ky, row) in strip.rows.iter_mut().enumerate() {
                    let y = (y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    *row = if z < p.input[0] && y < p.input[1] {
                        let line = (image * p.input[0] + z) * p.input[1] + y;
                        (t.x.add(line * p.input[2] * c + first), c)
                    } else {
                        (padding.as_ptr(), 0)
                    };
                }
                strip.at = (row - t.rows.0) * p.output[2] * c + first;
                strip.outputs::<S>();
            }
        }
    }
}
