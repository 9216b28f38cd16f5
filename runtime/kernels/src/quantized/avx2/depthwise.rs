//! Depthwise convolutions: sixteen channels of two rows of the kernel are widened and interleaved, so that one instruction
//! multiplies both. A column that is loaded serves every output whose window holds it.
//!
//! Of a kernel with an odd number of rows, the last row has no partner: there, neighbouring columns are interleaved.
use super::lists::Pairs;
use super::{Finish, LANES, Target, narrow, with_avx2};
use crate::quantized::{Task, blocks, scalar};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Channels of a strip.
const WIDTH: usize = 2 * LANES;
/// Strips whose weights are held at a time.
const STRIPS: usize = 8;
/// Outputs of a row at a time.
const WIDE: usize = 4;
/// Most columns that a block reads: those of four outputs of a 5 x 5 kernel at a stride of two.
const COLUMNS: usize = 11;

/// # Safety
/// `t` passed its check for a depthwise convolution; the instruction set exists.
#[target_feature(enable = "avx2,fma")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    // SAFETY: passed through.
    unsafe {
        if !narrow(t) {
            scalar::depthwise(t);
        } else if t.p.signed {
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
    let plain = flat && p.dilation[2] == 1 && p.out_channels > 0 && p.output[2] > 0;
    // SAFETY: passed through.
    unsafe {
        match (plain, p.kernel[1], p.kernel[2], p.stride[2]) {
            (true, 3, 3, 1) => strips::<SIGNED, 3, 3, 1, 1>(t),
            (true, 3, 3, 2) => strips::<SIGNED, 3, 3, 2, 1>(t),
            (true, 5, 5, 1) => strips::<SIGNED, 5, 5, 1, 2>(t),
            (true, 5, 5, 2) => strips::<SIGNED, 5, 5, 2, 2>(t),
            _ => blocks::depthwise::<Pairs, SIGNED>(t),
        }
    }
}
}

/// A strip of channels, `n` of which exist: weights, sums to start from and multipliers; all of channels 0 to 3 and 8 to
/// 11, then the others, as unpacking leaves them.
#[derive(Clone, Copy)]
struct Strip<const KW: usize, const KG: usize> {
    first: usize,
    n: usize,
    /// Of pairs of kernel rows.
    w: [[[__m256i; 2]; KW]; KG],
    /// Of pairs of columns of the last row, by the first of them; only where [`paired`] says so.
    last: [[__m256i; 2]; KW],
    start: [__m256i; 2],
    multipliers: [__m256; 2],
}

/// Whether the columns `kx` and `kx + 1` of the last row of a kernel are multiplied together. The last pair may hold a
/// column again, whose weight is zero there.
const fn paired(kx: usize, width: usize) -> bool {
    kx + 2 == width || (kx.is_multiple_of(2) && kx + 2 < width)
}

/// The pixels that a block reads, from the first channel of the first strip on; the padding where they lie outside.
type Sources<const KH: usize> = [[*const u8; KH]; COLUMNS];

with_avx2! {
/// Sixteen bytes as values of 16 bits.
unsafe fn wide<const SIGNED: bool>(from: *const u8) -> __m256i {
    // SAFETY: sixteen bytes exist.
    let bytes = unsafe { _mm_loadu_si128(from.cast()) };
    if SIGNED { _mm256_cvtepi8_epi16(bytes) } else { _mm256_cvtepu8_epi16(bytes) }
}
}

with_avx2! {
/// The pairs of two vectors.
unsafe fn pairs(a: __m256i, b: __m256i) -> [__m256i; 2] {
    [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)]
}
}

impl<const KW: usize, const KG: usize> Strip<KW, KG> {
    with_avx2! {
    /// Channels from `first` on, `n` of them.
    unsafe fn new<const KH: usize>(t: &Task, starts: *const i32, first: usize, n: usize) -> Self {
        // SAFETY: so many channels exist.
        unsafe {
            let c = t.p.conv.out_channels;
            let row = |ky: usize, kx: usize| {
                let from = t.w.add((ky * KW + kx) * c + first).cast::<u8>();
                if n == WIDTH {
                    return wide::<true>(from);
                }
                let mut all = [0u8; WIDTH];
                all.as_mut_ptr().copy_from_nonoverlapping(from, n);
                wide::<true>(all.as_ptr())
            };
            let none = _mm256_setzero_si256();
            let (mut w, mut last) = ([[[none; 2]; KW]; KG], [[none; 2]; KW]);
            for kx in 0..KW {
                for (g, w) in w.iter_mut().enumerate() {
                    w[kx] = pairs(row(2 * g, kx), row(2 * g + 1, kx));
                }
                if paired(kx, KW) {
                    // The first of the last pair belongs to the pair before, if it has a partner there.
                    let again = kx > 0 && paired(kx - 1, KW);
                    let a = if again { none } else { row(KH - 1, kx) };
                    last[kx] = pairs(a, row(KH - 1, kx + 1));
                }
            }
            let (mut start, mut multiplier) = ([0i32; WIDTH], [0f32; WIDTH]);
            start.as_mut_ptr().copy_from_nonoverlapping(starts.add(first), n);
            multiplier.as_mut_ptr().copy_from_nonoverlapping(t.multiplier.add(first), n);
            let start = start.as_ptr().cast::<__m256i>();
            let (a, b) = (_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1)));
            let multiplier = multiplier.as_ptr();
            let (d, e) = (_mm256_loadu_ps(multiplier), _mm256_loadu_ps(multiplier.add(LANES)));
            Self {
                first,
                n,
                w,
                last,
                start: [
                    _mm256_permute2x128_si256::<0x20>(a, b),
                    _mm256_permute2x128_si256::<0x31>(a, b),
                ],
                multipliers: [
                    _mm256_permute2f128_ps::<0x20>(d, e),
                    _mm256_permute2f128_ps::<0x31>(d, e),
                ],
            }
        }
    }
    }
}

/// Strips of channels, the last of which may overlap the one before.
///
/// # Safety
/// The instruction set exists; `t` passed its check, and its kernel is `KH` by `KW`, `KG` pairs of rows and a last one.
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
        let count = c.div_ceil(WIDTH);
        let image = p.input[1] * p.input[2] * c;
        let end = t.x.add(p.batch * image);
        let finish = Finish::new(t);
        let starts = t.starts(SIGNED);
        let padding = [t.p.x_zero; STRIPS * WIDTH];
        let mut held = [MaybeUninit::<Strip<KW, KG>>::uninit(); STRIPS];
        // Pixels of fewer channels than a strip, behind which the input may end.
        let mut copies = [[[0u8; WIDTH]; KH]; COLUMNS];
        // Shorter rows are one block; the last outputs of others are computed again where they fill no block.
        let wide = p.output[2].min(WIDE);
        let mut sources: Sources<KH> = [[padding.as_ptr(); KH]; COLUMNS];
        let mut begin = 0;
        while begin < count {
            let n = (count - begin).min(STRIPS);
            for (i, to) in held.iter_mut().enumerate().take(n) {
                let first = ((begin + i) * WIDTH).min(c.saturating_sub(WIDTH));
                to.write(Strip::new::<KH>(t, starts, first, c.min(WIDTH)));
            }
            let strips = held.as_ptr().cast::<Strip<KW, KG>>();
            let strips = core::slice::from_raw_parts(strips, n);
            for row in t.rows.0..t.rows.1 {
                let y = (row % p.output[1] * p.stride[1]) as i32 - p.pad_begin[1] as i32;
                let x = t.x.add(row / p.output[1] * image + strips[0].first);
                // Of a row in the padding, every column is the same.
                let (mut lines, mut used) = ([padding.as_ptr(); KH], [0; KH]);
                for ky in 0..KH {
                    let y = y + (ky * p.dilation[1]) as i32;
                    if (y as u32) < p.input[1] as u32 {
                        lines[ky] = x.add(y as usize * p.input[2] * c);
                        used[ky] = usize::MAX;
                    }
                }
                let all = used.iter().all(|&used| used != 0);
                let mut ox = 0;
                while ox < p.output[2] {
                    let first = ox.min(p.output[2] - wide);
                    let at = (first * S) as i32 - p.pad_begin[2] as i32;
                    let n = (wide - 1) * S + KW;
                    let inside = at >= 0 && at as usize + n <= p.input[2];
                    let last =
                        lines[KH - 1].wrapping_offset((at as isize + n as isize - 1) * c as isize);
                    if inside && all && (c >= WIDTH || last.wrapping_add(WIDTH) <= end) {
                        let mut offset = at as usize * c;
                        for to in &mut sources[..n] {
                            for ky in 0..KH {
                                to[ky] = lines[ky].wrapping_add(offset);
                            }
                            offset += c;
                        }
                    } else {
                        for (column, to) in sources[..n].iter_mut().enumerate() {
                            let at = at + column as i32;
                            if !inside && at as u32 >= p.input[2] as u32 {
                                *to = [padding.as_ptr(); KH];
                                continue;
                            }
                            let offset = at as usize * c;
                            for ky in 0..KH {
                                to[ky] = lines[ky].wrapping_add(offset & used[ky]);
                            }
                            if c >= WIDTH {
                                continue;
                            }
                            for ky in 0..KH {
                                if used[ky] != 0 && to[ky].wrapping_add(WIDTH) > end {
                                    let copy = &mut copies[column][ky];
                                    copy.as_mut_ptr().copy_from_nonoverlapping(to[ky], c);
                                    to[ky] = copy.as_ptr();
                                }
                            }
                        }
                    }
                    let pixel = (row - t.rows.0) * p.output[2] + first;
                    macro_rules! block {
                        ($wide:literal) => {
                            block::<SIGNED, KH, KW, S, KG, $wide>(
                                t, &finish, &sources, strips, pixel,
                            )
                        };
                    }
                    match wide {
                        4 => block!(4),
                        3 => block!(3),
                        2 => block!(2),
                        _ => block!(1),
                    }
                    ox += wide;
                }
            }
            begin += n;
        }
    }
}

with_avx2! {
/// All strips of `P` outputs of a row, stored from pixel `pixel` on.
unsafe fn block<
    const SIGNED: bool,
    const KH: usize,
    const KW: usize,
    const S: usize,
    const KG: usize,
    const P: usize,
>(
    t: &Task,
    finish: &Finish,
    sources: &Sources<KH>,
    strips: &[Strip<KW, KG>],
    pixel: usize,
) {
    let c = t.p.conv.out_channels;
    for strip in strips {
        // SAFETY: as `strips`.
        unsafe {
            let from = strip.first - strips[0].first;
            let mut acc = [strip.start; P];
            let mut before = _mm256_setzero_si256();
            for column in 0..(P - 1) * S + KW {
                for g in 0..KG {
                    let row = |i: usize| wide::<SIGNED>(sources[column][2 * g + i].add(from));
                    let both = pairs(row(0), row(1));
                    for o in 0..P {
                        if column >= o * S && column - o * S < KW {
                            add(&mut acc[o], both, &strip.w[g][column - o * S]);
                        }
                    }
                }
                let last = wide::<SIGNED>(sources[column][KH - 1].add(from));
                let both = pairs(before, last);
                for o in 0..P {
                    // The first column of the pair is the one before.
                    let kx = column.wrapping_sub(o * S + 1);
                    if kx < KW - 1 && paired(kx, KW) {
                        add(&mut acc[o], both, &strip.last[kx]);
                    }
                }
                before = last;
            }
            let to = Target {
                at: pixel * c + strip.first,
                step: c,
                rows: P,
                n: strip.n,
            };
            finish.store_wide::<P>(t, acc, strip.multipliers, to);
        }
    }
}
}

with_avx2! {
/// Adds the products of pairs.
unsafe fn add(acc: &mut [__m256i; 2], x: [__m256i; 2], w: &[__m256i; 2]) {
    for i in 0..2 {
        acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(x[i], w[i]));
    }
}
}
