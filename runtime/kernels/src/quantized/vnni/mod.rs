//! x86-64 AVX-512 VNNI: VPDPBUSD multiplies four unsigned by four signed bytes and adds the products to a 32-bit lane.
//!
//! Inputs are read as unsigned: signed bytes are flipped by 0x80. The flip is a vector in a register, so that signed and
//! unsigned inputs share the code; it runs beside the products, on other ports.
mod dense;
mod depthwise;

pub(super) use dense::dense;
pub(super) use depthwise::depthwise;

use super::Task;
use core::arch::x86_64::*;

/// Writes functions that may use the instructions.
macro_rules! with_vnni {
    ($(#[$m:meta])* $vis:vis unsafe fn $($rest:tt)*) => {
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
        $(#[$m])* $vis unsafe fn $($rest)*
    };
}
use with_vnni;

impl Task {
    /// What turns the input's bytes into unsigned ones.
    const fn flip(&self) -> u8 {
        if self.p.signed { 0x80 } else { 0 }
    }
}

/// The requantisation with its constants in registers.
#[derive(Clone, Copy)]
struct Finish {
    zero: __m512i,
    low: __m512,
    high: __m512,
    own: __m512,
    other: __m512,
    residual_zero: __m512i,
    residual_signed: bool,
    sum_zero: __m512i,
    sum_low: __m512,
    sum_high: __m512,
}

impl Finish {
    with_vnni! {
    /// # Safety
    /// The instruction set exists.
    unsafe fn new(t: &Task) -> Self {
        let r = &t.p.requantize;
        let bound = |b: i32, zero: i32| _mm512_set1_ps((b - zero) as f32);
        Self {
            zero: _mm512_set1_epi32(r.zero),
            low: bound(r.low, r.zero),
            high: bound(r.high, r.zero),
            own: _mm512_set1_ps(r.sum.own),
            other: _mm512_set1_ps(r.sum.other),
            residual_zero: _mm512_set1_epi32(r.sum.residual_zero),
            residual_signed: r.sum.residual_signed,
            sum_zero: _mm512_set1_epi32(r.sum.zero),
            sum_low: bound(r.sum.low, r.sum.zero),
            sum_high: bound(r.sum.high, r.sum.zero),
        }
    }
    }

    with_vnni! {
    /// Sixteen sums as results in 32 bits; of each, the low byte counts. MAXPS gives its second operand when the first is
    /// no number.
    ///
    /// # Safety
    /// The instruction set exists.
    unsafe fn quantise(&self, sum: __m512i, multiplier: __m512) -> __m512i {
        let v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), multiplier);
        let v = _mm512_min_ps(_mm512_max_ps(v, self.low), self.high);
        _mm512_add_epi32(_mm512_cvtps_epi32(v), self.zero)
    }
    }

    with_vnni! {
    /// Adds sixteen bytes of the residual to what [`Finish::quantise`] gave.
    ///
    /// # Safety
    /// The instruction set exists.
    unsafe fn add(&self, q: __m512i, residual: __m128i) -> __m512i {
        let r = if self.residual_signed {
            _mm512_cvtepi8_epi32(residual)
        } else {
            _mm512_cvtepu8_epi32(residual)
        };
        let q = _mm512_cvtepi32_ps(_mm512_sub_epi32(q, self.zero));
        let r = _mm512_cvtepi32_ps(_mm512_sub_epi32(r, self.residual_zero));
        // Three roundings, as the format says: no fused multiply-add.
        let v = _mm512_add_ps(_mm512_mul_ps(q, self.own), _mm512_mul_ps(r, self.other));
        let v = _mm512_min_ps(_mm512_max_ps(v, self.sum_low), self.sum_high);
        _mm512_add_epi32(_mm512_cvtps_epi32(v), self.sum_zero)
    }
    }
}
