//! Arm Advanced SIMD (aarch64): 4 lanes, 32 registers.
use super::{Isa, lanes};
use core::arch::aarch64::*;

/// Arm Advanced SIMD.
#[derive(Clone, Copy)]
pub struct Neon;

type V = float32x4_t;

// SAFETY: `V` is four f32.
unsafe impl Isa for Neon {
    const NAME: &'static str = "neon";
    const LANES: usize = 4;
    const MR: usize = 6;
    const PANELS: usize = 1;
    type V = V;

    lanes! {
        splat(x: f32) -> V = vdupq_n_f32(x);
        load(p: *const f32) -> V = vld1q_f32(p);
        store(p: *mut f32, v: V) -> () = vst1q_f32(p, v);
        load_partial(p: *const f32, n: usize) -> V = {
            let mut t = [0.0f32; 4];
            for i in 0..n.min(4) { t[i] = *p.add(i); }
            vld1q_f32(t.as_ptr())
        };
        store_partial(p: *mut f32, v: V, n: usize) -> () = {
            let mut t = [0.0f32; 4];
            vst1q_f32(t.as_mut_ptr(), v);
            for i in 0..n.min(4) { *p.add(i) = t[i]; }
        };
        add(a: V, b: V) -> V = vaddq_f32(a, b);
        sub(a: V, b: V) -> V = vsubq_f32(a, b);
        mul(a: V, b: V) -> V = vmulq_f32(a, b);
        div(a: V, b: V) -> V = vdivq_f32(a, b);
        fma(a: V, b: V, c: V) -> V = vfmaq_f32(c, a, b);
        min(a: V, b: V) -> V = vminq_f32(a, b);
        max(a: V, b: V) -> V = vmaxq_f32(a, b);
        sqrt(a: V) -> V = vsqrtq_f32(a);
        round(a: V) -> V = vrndnq_f32(a);
        floor(a: V) -> V = vrndmq_f32(a);
        ceil(a: V) -> V = vrndpq_f32(a);
        abs(a: V) -> V = vabsq_f32(a);
        neg(a: V) -> V = vnegq_f32(a);
        copysign(a: V, s: V) -> V = vbslq_f32(vdupq_n_u32(0x8000_0000), s, a);
        select_lt(a: V, b: V, x: V, y: V) -> V = vbslq_f32(vcltq_f32(a, b), x, y);
        select_eq(a: V, b: V, x: V, y: V) -> V = vbslq_f32(vceqq_f32(a, b), x, y);
        pow2(n: V) -> V = vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127))));
        split_exponent(a: V) -> (V, V) = {
            let bits = vreinterpretq_u32_f32(a);
            let m = vorrq_u32(vandq_u32(bits, vdupq_n_u32(0x007f_ffff)), vdupq_n_u32(0x3f80_0000));
            let e = vsubq_s32(vreinterpretq_s32_u32(vshrq_n_u32::<23>(bits)), vdupq_n_s32(127));
            (vreinterpretq_f32_u32(m), vcvtq_f32_s32(e))
        };
        sum(a: V) -> f32 = vaddvq_f32(a);
        reduce_max(a: V) -> f32 = vmaxvq_f32(a);
    }
}
