//! x86-64 AVX2 with FMA: 8 lanes, 16 registers.
use super::{Isa, lanes};
use core::arch::x86_64::*;

/// x86-64 AVX2 with FMA.
#[derive(Clone, Copy)]
pub struct Avx2;

type V = __m256;

/// A window of this table starting at `8 - n` masks the first `n` lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY: `V` is eight f32.
unsafe impl Isa for Avx2 {
    const NAME: &'static str = "avx2";
    const LANES: usize = 8;
    const MR: usize = 6;
    const PANELS: usize = 1;
    type V = V;

    lanes! {
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        splat(x: f32) -> V = _mm256_set1_ps(x);
        load(p: *const f32) -> V = _mm256_loadu_ps(p);
        store(p: *mut f32, v: V) -> () = _mm256_storeu_ps(p, v);
        load_partial(p: *const f32, n: usize) -> V =
            _mm256_maskload_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n.min(8)).cast()));
        store_partial(p: *mut f32, v: V, n: usize) -> () =
            _mm256_maskstore_ps(p, _mm256_loadu_si256(MASK.as_ptr().add(8 - n.min(8)).cast()), v);
        add(a: V, b: V) -> V = _mm256_add_ps(a, b);
        sub(a: V, b: V) -> V = _mm256_sub_ps(a, b);
        mul(a: V, b: V) -> V = _mm256_mul_ps(a, b);
        div(a: V, b: V) -> V = _mm256_div_ps(a, b);
        fma(a: V, b: V, c: V) -> V = _mm256_fmadd_ps(a, b, c);
        min(a: V, b: V) -> V = _mm256_min_ps(a, b);
        max(a: V, b: V) -> V = _mm256_max_ps(a, b);
        sqrt(a: V) -> V = _mm256_sqrt_ps(a);
        round(a: V) -> V = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        floor(a: V) -> V = _mm256_floor_ps(a);
        ceil(a: V) -> V = _mm256_ceil_ps(a);
        abs(a: V) -> V = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        neg(a: V) -> V = _mm256_xor_ps(_mm256_set1_ps(-0.0), a);
        copysign(a: V, s: V) -> V = {
            let m = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(m, a), _mm256_and_ps(m, s))
        };
        select_lt(a: V, b: V, x: V, y: V) -> V = _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        select_eq(a: V, b: V, x: V, y: V) -> V = _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
        pow2(n: V) -> V = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(
            _mm256_cvtps_epi32(n), _mm256_set1_epi32(127))));
        split_exponent(a: V) -> (V, V) = {
            let bits = _mm256_castps_si256(a);
            let m = _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff)), _mm256_set1_epi32(0x3f80_0000));
            let e = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127));
            (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e))
        };
        sum(a: V) -> f32 = {
            let h = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let h = _mm_add_ps(h, _mm_movehl_ps(h, h));
            _mm_cvtss_f32(_mm_add_ss(h, _mm_shuffle_ps::<1>(h, h)))
        };
        reduce_max(a: V) -> f32 = {
            let h = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let h = _mm_max_ps(h, _mm_movehl_ps(h, h));
            _mm_cvtss_f32(_mm_max_ss(h, _mm_shuffle_ps::<1>(h, h)))
        };
    }
}
