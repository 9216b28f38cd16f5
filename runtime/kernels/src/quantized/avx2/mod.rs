//! x86-64 AVX2 without VNNI: VPMADDUBSW would saturate, so bytes are widened to 16 bits and multiplied in pairs.
//!
//! VPMADDWD makes sixteen products of sixteen bits and adds them in pairs, twice as many as a fused multiply-add of floats.
mod dense;
mod depthwise;
mod lists;

pub(super) use dense::dense;
pub(super) use depthwise::depthwise;

use super::{Requantize, Task};
use core::arch::x86_64::*;

/// Writes functions that may use the instructions.
macro_rules! with_avx2 {
    ($(#[$m:meta])* $vis:vis unsafe fn $($rest:tt)*) => {
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        $(#[$m])* $vis unsafe fn $($rest)*
    };
}
use with_avx2;

/// Channels whose sums are a vector.
const LANES: usize = 8;

/// The requantisation with its constants.
#[derive(Clone, Copy)]
struct Finish {
    /// Bounds less the zero point, as floats.
    low: __m256,
    high: __m256,
    own: __m256,
    other: __m256,
    residual_zero: __m256i,
    residual_signed: bool,
    sum_high: __m256,
    /// Of what is stored: the zero point in 16 bits and the bounds in 8, all greater by 128 where results are signed, and
    /// what makes them signed again.
    last_zero: __m256i,
    last_low: __m256i,
    last_high: __m256i,
    last_flip: __m256i,
}

/// Whether results are all signed or all unsigned bytes, as [`Finish`] needs them.
fn narrow(t: &Task) -> bool {
    let r = &t.p.requantize;
    let one = |low: i32, high: i32| low >= 0 || high <= 127;
    one(r.low, r.high) && (t.residual.is_null() || one(r.sum.low, r.sum.high))
}

/// Where results go: channels of some pixels.
#[derive(Clone, Copy)]
struct Target {
    /// Bytes from the task's first to the first channel of the first pixel, and from there to that of the next.
    at: usize,
    step: usize,
    /// Pixels and channels that exist.
    rows: usize,
    n: usize,
}

impl Finish {
    with_avx2! {
    unsafe fn new(t: &Task) -> Self {
        let r: &Requantize = &t.p.requantize;
        let bound = |b: i32, zero: i32| _mm256_set1_ps((b - zero) as f32);
        let (zero, low, high) = if t.residual.is_null() {
            (r.zero, r.low, r.high)
        } else {
            (r.sum.zero, r.sum.low, r.sum.high)
        };
        let shift = if low < 0 { 128 } else { 0 };
        Self {
            low: bound(r.low, r.zero),
            high: bound(r.high, r.zero),
            own: _mm256_set1_ps(r.sum.own),
            other: _mm256_set1_ps(r.sum.other),
            residual_zero: _mm256_set1_epi32(r.sum.residual_zero),
            residual_signed: r.sum.residual_signed,
            sum_high: bound(r.sum.high, r.sum.zero),
            last_zero: _mm256_set1_epi16((zero + shift) as i16),
            last_low: _mm256_set1_epi8((low + shift) as i8),
            last_high: _mm256_set1_epi8((high + shift) as i8),
            last_flip: _mm256_set1_epi8(shift as i8),
        }
    }
    }

    with_avx2! {
    /// Eight sums as integers without their zero point, which [`Finish::bytes`] bounds.
    ///
    /// What is below 32 bits, or no number, converts to the least integer, as it should: the format gives the lower bound.
    /// What is above them would too, so it is cut before; VMINPS gives its second operand where one is no number.
    unsafe fn round(&self, sum: __m256i, multiplier: __m256) -> __m256i {
        let v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
        _mm256_cvtps_epi32(_mm256_min_ps(self.high, v))
    }
    }

    with_avx2! {
    /// As [`Finish::round`], with eight bytes of a residual. Nothing is fused, as three roundings are the format's.
    unsafe fn add(&self, sum: __m256i, multiplier: __m256, residual: __m128i) -> __m256i {
        let v = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), multiplier);
        // VMAXPS gives its second operand where one is no number.
        let q = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, self.low), self.high));
        let r = if self.residual_signed {
            _mm256_cvtepi8_epi32(residual)
        } else {
            _mm256_cvtepu8_epi32(residual)
        };
        let r = _mm256_cvtepi32_ps(_mm256_sub_epi32(r, self.residual_zero));
        let v = _mm256_add_ps(
            _mm256_mul_ps(_mm256_cvtepi32_ps(q), self.own),
            _mm256_mul_ps(r, self.other),
        );
        _mm256_cvtps_epi32(_mm256_min_ps(self.sum_high, v))
    }
    }

    with_avx2! {
    /// Four vectors of rounded values as eight bytes each, two to a vector. `HALVED`: values are in the order of channels
    /// 0, 1, 4, 5, 2, 3, 6, 7 that adding neighbours leaves.
    unsafe fn bytes<const HALVED: bool>(&self, q: [__m256i; 4]) -> [__m128i; 2] {
        let zero = self.last_zero;
        let a = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
        let b = _mm256_adds_epi16(_mm256_packs_epi32(q[2], q[3]), zero);
        let v = _mm256_packus_epi16(a, b);
        let v = _mm256_min_epu8(_mm256_max_epu8(v, self.last_low), self.last_high);
        let v = _mm256_xor_si256(v, self.last_flip);
        // Packing works within lanes, so each lane holds half of every vector.
        let (a, b) = (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
        if HALVED {
            [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)]
        } else {
            [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)]
        }
    }
    }

    with_avx2! {
    /// Requantises and stores the sums of up to `R` pixels, in the order that `HALVED` tells ([`Finish::bytes`]), as their
    /// multipliers are.
    unsafe fn store<const R: usize, const HALVED: bool>(
        &self,
        t: &Task,
        sums: [__m256i; R],
        multiplier: __m256,
        to: Target,
    ) {
        // SAFETY: the caller's pixels and channels exist.
        unsafe {
            if to.rows != R || to.n != LANES {
                // Of a copy, as what has an address is kept in memory.
                let copy = sums;
                return self.store_part::<HALVED>(t, &copy, multiplier, to);
            }
            if !t.residual.is_null() {
                let copy = sums;
                return self.store_sums::<R, HALVED>(t, &copy, multiplier, to);
            }
            let mut q = sums;
            for q in &mut q {
                *q = self.round(*q, multiplier);
            }
            self.store_whole::<R, HALVED>(t, q, to);
        }
    }
    }

    /// As [`Finish::store`], with a residual.
    ///
    /// # Safety
    /// The instruction set exists, and the pixels and channels do, all of them.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_sums<const R: usize, const HALVED: bool>(
        &self,
        t: &Task,
        sums: &[__m256i; R],
        multiplier: __m256,
        to: Target,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut q = *sums;
            for (i, q) in q.iter_mut().enumerate() {
                let r = t.residual.add(to.at + i * to.step);
                let r = halved::<HALVED>(_mm_loadl_epi64(r.cast()));
                *q = self.add(*q, multiplier, r);
            }
            self.store_whole::<R, HALVED>(t, q, to);
        }
    }

    with_avx2! {
    /// Stores rounded values, eight channels of `R` pixels.
    unsafe fn store_whole<const R: usize, const HALVED: bool>(
        &self,
        t: &Task,
        rounded: [__m256i; R],
        to: Target,
    ) {
        // SAFETY: the caller's pixels and channels exist.
        unsafe {
            let mut y = t.y.add(to.at);
            for first in (0..R).step_by(4) {
                let mut q = [_mm256_setzero_si256(); 4];
                for i in 0..4 {
                    if first + i < R {
                        q[i] = rounded[first + i];
                    }
                }
                let two = self.bytes::<HALVED>(q);
                for i in 0..4 {
                    if first + i < R {
                        if i % 2 == 0 {
                            _mm_storel_epi64(y.cast(), two[i / 2]);
                        } else {
                            _mm_storeh_pd(y.cast(), _mm_castsi128_pd(two[i / 2]));
                        }
                        y = y.wrapping_add(to.step);
                    }
                }
            }
        }
    }
    }

    with_avx2! {
    /// Requantises and stores the sums of sixteen channels of `P` pixels: of each, channels 0 to 3 and 8 to 11, then the
    /// others, as unpacking within lanes leaves them; multipliers likewise.
    unsafe fn store_wide<const P: usize>(
        &self,
        t: &Task,
        sums: [[__m256i; 2]; P],
        multipliers: [__m256; 2],
        to: Target,
    ) {
        // SAFETY: the caller's pixels and channels exist.
        unsafe {
            if !t.residual.is_null() || to.n != 2 * LANES {
                let copy = sums;
                return self.store_halves(t, &copy, multipliers, to);
            }
            let mut y = t.y.add(to.at);
            for first in (0..P).step_by(2) {
                let mut words = [_mm256_setzero_si256(); 2];
                for i in 0..2 {
                    if first + i < P {
                        let [a, b] = sums[first + i];
                        let a = self.round(a, multipliers[0]);
                        let b = self.round(b, multipliers[1]);
                        words[i] = _mm256_adds_epi16(_mm256_packs_epi32(a, b), self.last_zero);
                    }
                }
                let v = _mm256_packus_epi16(words[0], words[1]);
                let v = _mm256_min_epu8(_mm256_max_epu8(v, self.last_low), self.last_high);
                let v = _mm256_xor_si256(v, self.last_flip);
                let v = _mm256_permute4x64_epi64::<0b11_01_10_00>(v);
                _mm_storeu_si128(y.cast(), _mm256_castsi256_si128(v));
                if first + 1 < P {
                    let y = y.wrapping_add(to.step);
                    _mm_storeu_si128(y.cast(), _mm256_extracti128_si256::<1>(v));
                }
                y = y.wrapping_add(2 * to.step);
            }
        }
    }
    }

    /// As [`Finish::store_wide`], also of fewer channels and with a residual.
    ///
    /// # Safety
    /// The instruction set exists, and the pixels and channels do.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_halves<const P: usize>(
        &self,
        t: &Task,
        sums: &[[__m256i; 2]; P],
        [a, b]: [__m256; 2],
        to: Target,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut part = [_mm256_setzero_si256(); P];
            for (part, [a, b]) in part.iter_mut().zip(sums) {
                *part = _mm256_permute2x128_si256::<0x20>(*a, *b);
            }
            let n = to.n.min(LANES);
            let low = _mm256_permute2f128_ps::<0x20>(a, b);
            self.store::<P, false>(t, part, low, Target { n, ..to });
            if n == to.n {
                return;
            }
            for (part, [a, b]) in part.iter_mut().zip(sums) {
                *part = _mm256_permute2x128_si256::<0x31>(*a, *b);
            }
            let high = _mm256_permute2f128_ps::<0x31>(a, b);
            let (at, n) = (to.at + n, to.n - n);
            self.store::<P, false>(t, part, high, Target { at, n, ..to });
        }
    }

    /// As [`Finish::store`], also of fewer pixels and channels.
    ///
    /// # Safety
    /// The instruction set exists, and the pixels and channels do.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn store_part<const HALVED: bool>(
        &self,
        t: &Task,
        sums: &[__m256i],
        multiplier: __m256,
        to: Target,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            for (first, sums) in sums.chunks(4).enumerate() {
                let first = first * 4;
                let rows = to.rows.saturating_sub(first).min(sums.len());
                let mut q = [_mm256_setzero_si256(); 4];
                for (i, (q, sum)) in q.iter_mut().zip(sums).enumerate().take(rows) {
                    *q = if t.residual.is_null() {
                        self.round(*sum, multiplier)
                    } else {
                        let r = load(t.residual.add(to.at + (first + i) * to.step), to.n);
                        let order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0);
                        let r = if HALVED {
                            _mm_shuffle_epi8(r, order)
                        } else {
                            r
                        };
                        self.add(*sum, multiplier, r)
                    };
                }
                let [a, b] = self.bytes::<HALVED>(q);
                let eight = [a, _mm_unpackhi_epi64(a, a), b, _mm_unpackhi_epi64(b, b)];
                for (i, eight) in eight.iter().enumerate().take(rows) {
                    let y = t.y.add(to.at + (first + i) * to.step);
                    if to.n == LANES {
                        _mm_storel_epi64(y.cast(), *eight);
                    } else {
                        let all = _mm_cvtsi128_si64(*eight).to_le_bytes();
                        y.copy_from_nonoverlapping(all.as_ptr(), to.n);
                    }
                }
            }
        }
    }
}

with_avx2! {
/// Eight bytes in the order that [`Finish::bytes`] tells.
unsafe fn halved<const HALVED: bool>(bytes: __m128i) -> __m128i {
    if HALVED {
        let order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0);
        _mm_shuffle_epi8(bytes, order)
    } else {
        bytes
    }
}
}

with_avx2! {
/// The first `n` of eight bytes, zeros behind.
unsafe fn load(from: *const u8, n: usize) -> __m128i {
    // SAFETY: `n` bytes exist.
    unsafe {
        if n == LANES {
            return _mm_loadl_epi64(from.cast());
        }
        let mut all = [0u8; LANES];
        all.as_mut_ptr().copy_from_nonoverlapping(from, n);
        _mm_cvtsi64_si128(i64::from_le_bytes(all))
    }
}
}
