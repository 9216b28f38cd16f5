//! Codes to vectors of floats, for each instruction set.
use crate::isa::Isa;
#[cfg(target_arch = "aarch64")]
use crate::isa::Neon;
use crate::isa::Scalar;
#[cfg(target_arch = "wasm32")]
use crate::isa::Simd128;
use half::f16;

/// Codes of `LANES` columns as floats.
///
/// # Safety
/// As of [`Isa`]: the CPU has the instructions, and pointers are valid for the lanes read.
pub(super) unsafe trait Unpack: Isa {
    /// A word of each column.
    type W: Copy;
    /// The words of `LANES` columns.
    unsafe fn words(p: *const u32) -> Self::W;
    /// Field `t` of `BITS` bits of each word as a signed integer.
    unsafe fn signed<const BITS: u32>(w: Self::W, t: usize) -> Self::V;
    /// The elements of a table of `2^BITS` at the positions in field `t`.
    unsafe fn look_up<const BITS: u32>(table: *const f32, w: Self::W, t: usize) -> Self::V;
    /// Half-precision floats.
    unsafe fn halves(p: *const u16) -> Self::V;
}

/// Shifts that leave field `t` at the top, then at the bottom with its sign.
#[inline(always)]
const fn shifts<const BITS: u32>(t: usize) -> (u32, u32) {
    (32 - BITS * (t as u32 + 1), 32 - BITS)
}

/// Field `t` of a word, without sign.
#[inline(always)]
const fn field<const BITS: u32>(word: u32, t: usize) -> usize {
    (word >> (BITS * t as u32) & ((1 << BITS) - 1)) as usize
}

// SAFETY: plain Rust.
unsafe impl Unpack for Scalar {
    type W = [u32; 4];

    #[inline(always)]
    unsafe fn words(p: *const u32) -> [u32; 4] {
        // SAFETY: the contract of the trait.
        unsafe { p.cast::<[u32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn signed<const BITS: u32>(w: [u32; 4], t: usize) -> [f32; 4] {
        let (left, right) = shifts::<BITS>(t);
        w.map(|w| ((w << left) as i32 >> right) as f32)
    }

    #[inline(always)]
    unsafe fn look_up<const BITS: u32>(table: *const f32, w: [u32; 4], t: usize) -> [f32; 4] {
        // SAFETY: a field is a position of the table.
        w.map(|w| unsafe { *table.add(field::<BITS>(w, t)) })
    }

    #[inline(always)]
    unsafe fn halves(p: *const u16) -> [f32; 4] {
        // SAFETY: the contract of the trait.
        let halves = unsafe { p.cast::<[u16; 4]>().read_unaligned() };
        halves.map(|h| f16::from_bits(h).to_f32_const())
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{Unpack, shifts};
    use crate::isa::Avx2;
    use core::arch::x86_64::*;

    // SAFETY: every function needs no more than AVX2 and F16C, which come together.
    unsafe impl Unpack for Avx2 {
        type W = __m256i;

        #[inline(always)]
        unsafe fn words(p: *const u32) -> __m256i {
            // SAFETY: the contract of the trait.
            unsafe { _mm256_loadu_si256(p.cast()) }
        }

        #[inline(always)]
        unsafe fn signed<const BITS: u32>(w: __m256i, t: usize) -> __m256 {
            let (left, right) = shifts::<BITS>(t);
            // SAFETY: the contract of the trait.
            unsafe {
                let w = _mm256_sll_epi32(w, _mm_cvtsi32_si128(left as i32));
                _mm256_cvtepi32_ps(_mm256_sra_epi32(w, _mm_cvtsi32_si128(right as i32)))
            }
        }

        #[inline(always)]
        unsafe fn look_up<const BITS: u32>(table: *const f32, w: __m256i, t: usize) -> __m256 {
            // SAFETY: a field is a position of the table.
            unsafe {
                let down = _mm256_srl_epi32(w, _mm_cvtsi32_si128((BITS as usize * t) as i32));
                let mask = _mm256_set1_epi32((1 << BITS) - 1);
                match BITS {
                    2 => {
                        let all = _mm256_broadcast_ps(&table.cast::<__m128>().read_unaligned());
                        _mm256_permutevar_ps(all, down)
                    }
                    4 => {
                        let low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), down);
                        let high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table.add(8)), down);
                        // Bit 3 of the position becomes the sign, which chooses.
                        let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(down));
                        _mm256_blendv_ps(low, high, upper)
                    }
                    _ => _mm256_i32gather_ps::<4>(table, _mm256_and_si256(down, mask)),
                }
            }
        }

        #[inline(always)]
        unsafe fn halves(p: *const u16) -> __m256 {
            // SAFETY: the contract of the trait.
            unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{Neon, Unpack, field, shifts};
    use core::arch::aarch64::*;
    use core::arch::asm;

    // SAFETY: every function needs no more than Advanced SIMD.
    unsafe impl Unpack for Neon {
        type W = uint32x4_t;

        #[inline(always)]
        unsafe fn words(p: *const u32) -> uint32x4_t {
            // SAFETY: the contract of the trait.
            unsafe { vld1q_u32(p) }
        }

        #[inline(always)]
        unsafe fn signed<const BITS: u32>(w: uint32x4_t, t: usize) -> float32x4_t {
            let (left, right) = shifts::<BITS>(t);
            // SAFETY: the contract of the trait.
            unsafe {
                let w = vshlq_s32(vreinterpretq_s32_u32(w), vdupq_n_s32(left as i32));
                vcvtq_f32_s32(vshlq_s32(w, vdupq_n_s32(-(right as i32))))
            }
        }

        #[inline(always)]
        unsafe fn look_up<const BITS: u32>(
            table: *const f32,
            w: uint32x4_t,
            t: usize,
        ) -> float32x4_t {
            // SAFETY: a field is a position of the table.
            unsafe {
                let mut words = [0u32; 4];
                vst1q_u32(words.as_mut_ptr(), w);
                let found = words.map(|w| *table.add(field::<BITS>(w, t)));
                vld1q_f32(found.as_ptr())
            }
        }

        #[inline(always)]
        unsafe fn halves(p: *const u16) -> float32x4_t {
            // SAFETY: the contract of the trait. FCVTL is a part of Advanced SIMD; its intrinsic asks for a type of
            // half-precision floats, which the language does not have yet.
            unsafe {
                let narrow = vld1_u16(p);
                let wide: float32x4_t;
                asm!("fcvtl {0:v}.4s, {1:v}.4h", out(vreg) wide, in(vreg) narrow,
                    options(pure, nomem, nostack, preserves_flags));
                wide
            }
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod simd128 {
    use super::{Simd128, Unpack, field, shifts};
    use core::arch::wasm32::*;
    use half::f16;

    // SAFETY: every function needs no more than simd128.
    unsafe impl Unpack for Simd128 {
        type W = v128;

        #[inline(always)]
        unsafe fn words(p: *const u32) -> v128 {
            // SAFETY: the contract of the trait.
            unsafe { v128_load(p.cast()) }
        }

        #[inline(always)]
        unsafe fn signed<const BITS: u32>(w: v128, t: usize) -> v128 {
            let (left, right) = shifts::<BITS>(t);
            f32x4_convert_i32x4(i32x4_shr(i32x4_shl(w, left), right))
        }

        #[inline(always)]
        unsafe fn look_up<const BITS: u32>(table: *const f32, w: v128, t: usize) -> v128 {
            let words = [
                u32x4_extract_lane::<0>(w),
                u32x4_extract_lane::<1>(w),
                u32x4_extract_lane::<2>(w),
                u32x4_extract_lane::<3>(w),
            ];
            // SAFETY: a field is a position of the table.
            unsafe {
                let found = words.map(|w| *table.add(field::<BITS>(w, t)));
                v128_load(found.as_ptr().cast())
            }
        }

        #[inline(always)]
        unsafe fn halves(p: *const u16) -> v128 {
            // SAFETY: the contract of the trait.
            unsafe {
                let narrow = p.cast::<[u16; 4]>().read_unaligned();
                let wide = narrow.map(|h| f16::from_bits(h).to_f32_const());
                v128_load(wide.as_ptr().cast())
            }
        }
    }
}
