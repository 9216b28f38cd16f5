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
    /// The zero point and the bounds of what is stored, in 16 bits.
    last_zero: __m256i,
    last_low: __m256i,
    last_high: __m256i,
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
        Self {
            low: bound(r.low, r.zero),
            high: bound(r.high, r.zero),
            own: _mm256_set1_ps(r.sum.own),
            other: _mm256_set1_ps(r.sum.other),
            residual_zero: _mm256_set1_epi32(r.sum.residual_zero),
            residual_signed: r.sum.residual_signed,
            sum_high: bound(r.sum.high, r.sum.zero),
            last_zero: _mm256_set1_epi16(zero as i16),
            last_low: _mm256_set1_epi16(low as i16),
            last_high: _mm256_set1_epi16(high as i16),
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
    /// Four vectors of rounded values as bytes, two vectors to each half, as packing within lanes leaves them.
    unsafe fn bytes(&self, q: [__m256i; 4]) -> [__m128i; 2] {
        let end = |a, b| {
            let v = _mm256_adds_epi16(_mm256_packs_epi32(a, b), self.last_zero);
            let v = _mm256_min_epi16(_mm256_max_epi16(v, self.last_low), self.last_high);
            // Results are truncated to bytes, signed or not.
            _mm256_and_si256(v, _mm256_set1_epi16(0xff))
        };
        let bytes = _mm256_packus_epi16(end(q[0], q[1]), end(q[2], q[3]));
        [_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes)]
    }
    }

    with_avx2! {
    /// Requantises and stores `n` channels of `rows` pixels: eight sums of each, whose first byte lies `at` behind the
    /// task's first and `step` behind that of the pixel before. `HALVED`: sums and multipliers are in the order of channels
    /// 0, 1, 4, 5, 2, 3, 6, 7 that VPHADDD leaves.
    unsafe fn store<const R: usize, const HALVED: bool>(
        &self,
        t: &Task,
        sums: &[__m256i; R],
        multiplier: __m256,
        [at, step, rows, n]: [usize; 4],
    ) {
        // SAFETY: the caller's pixels and channels exist.
        unsafe {
            let mut first = 0;
            while first < R && first < rows {
                let mut q = [_mm256_setzero_si256(); 4];
                for i in 0..4 {
                    if first + i >= R {
                        continue;
                    }
                    let sum = sums[first + i];
                    q[i] = if t.residual.is_null() {
                        self.round(sum, multiplier)
                    } else if first + i < rows {
                        let r = load(t.residual.add(at + (first + i) * step), n);
                        let order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 0, 0, 0, 0, 0, 0, 0, 0);
                        let r = if HALVED { _mm_shuffle_epi8(r, order) } else { r };
                        self.add(sum, multiplier, r)
                    } else {
                        sum
                    };
                }
                let [a, b] = self.bytes(q);
                let [a, b] = if HALVED {
                    [_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)]
                } else {
                    [_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)]
                };
                let eight = [a, _mm_unpackhi_epi64(a, a), b, _mm_unpackhi_epi64(b, b)];
                for i in 0..4 {
                    if first + i < R && first + i < rows {
                        let to = t.y.add(at + (first + i) * step);
                        if n == LANES {
                            _mm_storel_epi64(to.cast(), eight[i]);
                        } else {
                            let all = _mm_cvtsi128_si64(eight[i]).to_le_bytes();
                            to.copy_from_nonoverlapping(all.as_ptr(), n);
                        }
                    }
                }
                first += 4;
            }
        }
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
