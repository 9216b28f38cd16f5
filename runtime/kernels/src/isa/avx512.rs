//! x86-64 AVX-512 F, BW, VL, DQ: 16 lanes, 32 registers.
use super::{Isa, lanes};
use crate::gemm::tile::{Segment, Store};
use core::arch::x86_64::*;

/// x86-64 AVX-512.
#[derive(Clone, Copy)]
pub struct Avx512;

type V = __m512;

// SAFETY: `V` is sixteen f32.
unsafe impl Isa for Avx512 {
    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const MR: usize = 12;
    const PANELS: usize = 2;
    type V = V;

    lanes! {
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        splat(x: f32) -> V = _mm512_set1_ps(x);
        load(p: *const f32) -> V = _mm512_loadu_ps(p);
        store(p: *mut f32, v: V) -> () = _mm512_storeu_ps(p, v);
        load_partial(p: *const f32, n: usize) -> V = _mm512_maskz_loadu_ps(((1u32 << n.min(16)) - 1) as u16, p);
        store_partial(p: *mut f32, v: V, n: usize) -> () = _mm512_mask_storeu_ps(p, ((1u32 << n.min(16)) - 1) as u16, v);
        add(a: V, b: V) -> V = _mm512_add_ps(a, b);
        sub(a: V, b: V) -> V = _mm512_sub_ps(a, b);
        mul(a: V, b: V) -> V = _mm512_mul_ps(a, b);
        div(a: V, b: V) -> V = _mm512_div_ps(a, b);
        fma(a: V, b: V, c: V) -> V = _mm512_fmadd_ps(a, b, c);
        min(a: V, b: V) -> V = _mm512_min_ps(a, b);
        max(a: V, b: V) -> V = _mm512_max_ps(a, b);
        sqrt(a: V) -> V = _mm512_sqrt_ps(a);
        round(a: V) -> V = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        floor(a: V) -> V = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(a);
        ceil(a: V) -> V = _mm512_roundscale_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(a);
        abs(a: V) -> V = _mm512_andnot_ps(_mm512_set1_ps(-0.0), a);
        neg(a: V) -> V = _mm512_xor_ps(_mm512_set1_ps(-0.0), a);
        copysign(a: V, s: V) -> V = {
            let m = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(m, a), _mm512_and_ps(m, s))
        };
        select_lt(a: V, b: V, x: V, y: V) -> V = _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x);
        select_eq(a: V, b: V, x: V, y: V) -> V = _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b), y, x);
        pow2(n: V) -> V = _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(n), _mm512_set1_epi32(127))));
        split_exponent(a: V) -> (V, V) = {
            let bits = _mm512_castps_si512(a);
            let m = _mm512_or_si512(_mm512_and_si512(bits, _mm512_set1_epi32(0x007f_ffff)), _mm512_set1_epi32(0x3f80_0000));
            let e = _mm512_sub_epi32(_mm512_srli_epi32::<23>(bits), _mm512_set1_epi32(127));
            (_mm512_castsi512_ps(m), _mm512_cvtepi32_ps(e))
        };
        sum(a: V) -> f32 = _mm512_reduce_add_ps(a);
        reduce_max(a: V) -> f32 = _mm512_reduce_max_ps(a);
    }

    const TILES: bool = true;

    #[allow(private_interfaces)]
    #[inline(always)]
    unsafe fn tile<const MR: usize, const NV: usize>(
        segments: &[Segment<MR>],
        b: *const f32,
        panel_stride: usize,
        ahead: *const f32,
        s: &Store,
    ) -> bool {
        // SAFETY: the contract is the same.
        unsafe { crate::gemm::avx512::tile::<MR, NV>(segments, b, panel_stride, ahead, s) }
    }
}
