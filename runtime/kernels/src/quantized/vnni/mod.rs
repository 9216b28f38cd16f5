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
    /// No product leaves 32 bits and no residual follows: the zero point is added and the bounds are applied to many
    /// results at once, after saturating packs, which changes nothing as bounds have 8 bits. Signed results are packed as
    /// unsigned ones, 128 greater, and flipped.
    narrow: bool,
    narrow_zero: __m512i,
    narrow_low: __m512i,
    narrow_high: __m512i,
    narrow_flip: __m512i,
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
        // SAFETY: the check of the task covers the multipliers.
        let multipliers =
            unsafe { core::slice::from_raw_parts(t.multiplier, t.p.conv.out_channels) };
        let shift = if r.low < 0 { 128 } else { 0 };
        let small = t.residual.is_null() && multipliers.iter().all(|m| m.abs() < 1.0);
        Self {
            narrow: small && (r.low >= 0 || r.high <= 127),
            narrow_zero: _mm512_set1_epi16((r.zero + shift) as i16),
            narrow_low: _mm512_set1_epi8((r.low + shift) as i8),
            narrow_high: _mm512_set1_epi8((r.high + shift) as i8),
            narrow_flip: _mm512_set1_epi8(shift as i8),
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
    /// 64 sums as results, in the order that packing within lanes gives: lane l holds four of each vector's lane l.
    ///
    /// # Safety
    /// The instruction set exists, and [`Finish::narrow`] is true.
    unsafe fn pack(&self, sums: [__m512i; 4], multiplier: [__m512; 4]) -> __m512i {
        let mut q = [_mm512_setzero_si512(); 4];
        for j in 0..4 {
            q[j] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), multiplier[j]));
        }
        let low = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), self.narrow_zero);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), self.narrow_zero);
        let bytes = _mm512_packus_epi16(low, high);
        let bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, self.narrow_low), self.narrow_high);
        _mm512_xor_si512(bytes, self.narrow_flip)
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
