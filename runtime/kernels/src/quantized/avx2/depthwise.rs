//! Depthwise convolutions: eight channels of two rows of the kernel are interleaved and widened, so that one instruction
//! multiplies both. A column that is loaded serves every output whose window holds it.
use super::lists::Pairs;
use super::{Finish, LANES, with_avx2};
use crate::quantized::{Task, blocks};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Strips of channels whose weights are held at a time.
const STRIPS: usize = 16;
/// Outputs of a row at a time.
const WIDE: usize = 4;

/// # Safety
/// `t` passed its check for a depthwise convolution; the instruction set exists.
#[target_feature(enable = "avx2,fma")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    // SAFETY: passed through.
    unsafe {
        if t.p.signed {
            choose::<true>(t);
        } else {
            choose::<false>(t);
        }
    }
}

with_avx2! {
unsafe fn choose<const SIGNED: bool>(t: &Task) {
    let p = &t.p.conv;
    let flat = (p.input[0], p.output[0], p.kernel[0], p.pad_begin[0]) == (1, 1, 1, 0);
    let plain = flat && p.dilation[2] == 1 && p.out_channels >= LANES && p.output[2] > 0;
    // SAFETY: passed through.
    unsafe {
        match (plain, p.kernel[1], p.kernel[2], p.stride[2]) {
            (true, 3, 3, 1) => strips::<SIGNED, 3, 3, 1, 2>(t),
            (true, 3, 3, 2) => strips::<SIGNED, 3, 3, 2, 2>(t),
            (true, 5, 5, 1) => strips::<SIGNED, 5, 5, 1, 3>(t),
            (true, 5, 5, 2) => strips::<SIGNED, 5, 5, 2, 3>(t),
            _ => blocks::depthwise::<Pairs, SIGNED>(t),
        }
    }
}
}

/// A strip of channels: weights of pairs of kernel rows, sums to start from, and multipliers.
#[derive(Clone, Copy)]
struct Strip<const KW: usize, const KG: usize> {
    first: usize,
    w: [[__m256i; KW]; KG],
    start: __m256i,
    multiplier: __m256,
}

/// What the outputs of a row have in common: the pixels of each kernel row, from the first channel on, or the padding.
struct Rows<'a, const KH: usize> {
    t: &'a Task,
    finish: &'a Finish,
    from: [*const u8; KH],
    /// Bytes from one pixel of a kernel row to the next; none in the padding.
    step: [usize; KH],
    padding: *const u8,
}

with_avx2! {
/// Eight channels of a kernel row and, if there is one, of the next, as pairs of 16 bits.
unsafe fn pair<const SIGNED: bool>(a: *const u8, b: Option<*const u8>) -> __m256i {
    // SAFETY: eight bytes exist.
    unsafe {
        let a = _mm_loadl_epi64(a.cast());
        let Some(b) = b else {
            // The upper half, zero or the sign, meets weights of zero.
            return if SIGNED { _mm256_cvtepi8_epi32(a) } else { _mm256_cvtepu8_epi32(a) };
        };
        let both = _mm_unpacklo_epi8(a, _mm_loadl_epi64(b.cast()));
        if SIGNED { _mm256_cvtepi8_epi16(both) } else { _mm256_cvtepu8_epi16(both) }
    }
}
}

/// Strips of channels, the last of which may overlap the one before.
///
/// # Safety
/// `t` passed its check, has at least eight channels, and the kernel is `KH` by `KW`, in `KG` pairs of rows.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn strips<
    const SIGNED: bool,
    const KH: usize,
    const KW: usize,
    const S: usize,
    const KG: usize,
>(
    t: &Task,
) {
    // SAFETY: channels of strips exist; rows and columns outside of the input read the padding.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let count = c.div_ceil(LANES);
        let image = p.input[1] * p.input[2] * c;
        let finish = Finish::new(t);
        let starts = t.starts(SIGNED);
        let padding = [t.p.x_zero; LANES];
        let mut held = [MaybeUninit::<Strip<KW, KG>>::uninit(); STRIPS];
        let mut begin = 0;
        while begin < count {
            let n = (count - begin).min(STRIPS);
            for (i, to) in held.iter_mut().enumerate().take(n) {
                let first = ((begin + i) * LANES).min(c - LANES);
                let mut w = [[_mm256_setzero_si256(); KW]; KG];
                for (g, w) in w.iter_mut().enumerate() {
                    for (kx, w) in w.iter_mut().enumerate() {
                        let row = |ky: usize| t.w.add((ky * KW + kx) * c + first).cast::<u8>();
                        *w = if 2 * g + 1 < KH {
                            pair::<true>(row(2 * g), Some(row(2 * g + 1)))
                        } else {
                            let low = _mm256_set1_epi32(0xffff);
                            _mm256_and_si256(pair::<true>(row(2 * g), None), low)
                        };
                    }
                }
                to.write(Strip {
                    first,
                    w,
                    start: _mm256_loadu_si256(starts.add(first).cast()),
                    multiplier: _mm256_loadu_ps(t.multiplier.add(first)),
                });
            }
            for row in t.rows.0..t.rows.1 {
                let y = (row % p.output[1] * p.stride[1]) as i32 - p.pad_begin[1] as i32;
                let x = t.x.add(row / p.output[1] * image);
                let mut rows = Rows::<KH> {
                    t,
                    finish: &finish,
                    from: [padding.as_ptr(); KH],
                    step: [0; KH],
                    padding: padding.as_ptr(),
                };
                for ky in 0..KH {
                    let y = y + (ky * p.dilation[1]) as i32;
                    if (y as u32) < p.input[1] as u32 {
                        rows.from[ky] = x.add(y as usize * p.input[2] * c);
                        rows.step[ky] = c;
                    }
                }
                let at = (row - t.rows.0) * p.output[2];
                for strip in &held[..n] {
                    let strip = strip.assume_init_ref();
                    rows.all::<SIGNED, KW, S, KG>(strip, at);
                }
            }
            begin += n;
        }
    }
}

impl<const KH: usize> Rows<'_, KH> {
    with_avx2! {
    /// The row of outputs of a strip, stored from pixel `at` on.
    unsafe fn all<const SIGNED: bool, const KW: usize, const S: usize, const KG: usize>(
        &self,
        strip: &Strip<KW, KG>,
        at: usize,
    ) {
        let width = self.t.p.conv.output[2];
        // SAFETY: as `strips`.
        unsafe {
            if width < WIDE {
                for ox in 0..width {
                    self.block::<SIGNED, KW, S, KG, 1>(strip, ox, at + ox);
                }
                return;
            }
            let mut ox = 0;
            while ox < width {
                // The last outputs are computed again where they fill no block.
                let from = ox.min(width - WIDE);
                self.block::<SIGNED, KW, S, KG, WIDE>(strip, from, at + from);
                ox += WIDE;
            }
        }
    }
    }

    with_avx2! {
    /// `P` outputs of a row from column `ox` on, stored from pixel `pixel` on.
    unsafe fn block<
        const SIGNED: bool,
        const KW: usize,
        const S: usize,
        const KG: usize,
        const P: usize,
    >(
        &self,
        strip: &Strip<KW, KG>,
        ox: usize,
        pixel: usize,
    ) {
        // SAFETY: as `strips`.
        unsafe {
            let p = &self.t.p.conv;
            let mut acc = [strip.start; P];
            let x = (ox * S) as i32 - p.pad_begin[2] as i32;
            for column in 0..(P - 1) * S + KW {
                let at = x + column as i32;
                let inside = (at as u32) < p.input[2] as u32;
                let source = |ky: usize| {
                    if inside && self.step[ky] != 0 {
                        self.from[ky].add(at as usize * self.step[ky] + strip.first)
                    } else {
                        self.padding
                    }
                };
                for g in 0..KG {
                    let next = (2 * g + 1 < KH).then(|| source(2 * g + 1));
                    let both = pair::<SIGNED>(source(2 * g), next);
                    for o in 0..P {
                        if column < o * S || column - o * S >= KW {
                            continue;
                        }
                        let products = _mm256_madd_epi16(both, strip.w[g][column - o * S]);
                        acc[o] = _mm256_add_epi32(acc[o], products);
                    }
                }
            }
            let c = p.out_channels;
            let at = [pixel * c + strip.first, c, P, LANES];
            self.finish.store::<P, false>(self.t, &acc, strip.multiplier, at);
        }
    }
    }
}
