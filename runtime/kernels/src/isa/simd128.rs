//! WebAssembly simd128: 4 lanes; engines map it to 16 registers on x86, 32 on Arm.
use super::{Isa, lanes};
use core::arch::wasm32::*;

/// WebAssembly simd128.
#[derive(Clone, Copy)]
pub struct Simd128;

type V = v128;

// SAFETY: `V` is four f32.
unsafe impl Isa for Simd128 {
    const NAME: &'static str = "simd128";
    const LANES: usize = 4;
    const MR: usize = 3;
    const PANELS: usize = 1;
    type V = V;

    lanes! {
        splat(x: f32) -> V = f32x4_splat(x);
        load(p: *const f32) -> V = v128_load(p.cast());
        store(p: *mut f32, v: V) -> () = v128_store(p.cast(), v);
        load_partial(p: *const f32, n: usize) -> V = {
            let mut t = [0.0f32; 4];
            for i in 0..n.min(4) { t[i] = *p.add(i); }
            v128_load(t.as_ptr().cast())
        };
        store_partial(p: *mut f32, v: V, n: usize) -> () = {
            let mut t = [0.0f32; 4];
            v128_store(t.as_mut_ptr().cast(), v);
            for i in 0..n.min(4) { *p.add(i) = t[i]; }
        };
        add(a: V, b: V) -> V = f32x4_add(a, b);
        sub(a: V, b: V) -> V = f32x4_sub(a, b);
        mul(a: V, b: V) -> V = f32x4_mul(a, b);
        div(a: V, b: V) -> V = f32x4_div(a, b);
        fma(a: V, b: V, c: V) -> V = f32x4_add(f32x4_mul(a, b), c);
        min(a: V, b: V) -> V = f32x4_pmin(b, a);
        max(a: V, b: V) -> V = f32x4_pmax(b, a);
        sqrt(a: V) -> V = f32x4_sqrt(a);
        round(a: V) -> V = f32x4_nearest(a);
        floor(a: V) -> V = f32x4_floor(a);
        ceil(a: V) -> V = f32x4_ceil(a);
        abs(a: V) -> V = f32x4_abs(a);
        neg(a: V) -> V = f32x4_neg(a);
        copysign(a: V, s: V) -> V = v128_bitselect(s, a, u32x4_splat(0x8000_0000));
        select_lt(a: V, b: V, x: V, y: V) -> V = v128_bitselect(x, y, f32x4_lt(a, b));
        select_eq(a: V, b: V, x: V, y: V) -> V = v128_bitselect(x, y, f32x4_eq(a, b));
        pow2(n: V) -> V = i32x4_shl(i32x4_add(i32x4_trunc_sat_f32x4(n), i32x4_splat(127)), 23);
        split_exponent(a: V) -> (V, V) = {
            let m = v128_or(v128_and(a, u32x4_splat(0x007f_ffff)), u32x4_splat(0x3f80_0000));
            let e = i32x4_sub(u32x4_shr(a, 23), i32x4_splat(127));
            (m, f32x4_convert_i32x4(e))
        };
        sum(a: V) -> f32 = (f32x4_extract_lane::<0>(a) + f32x4_extract_lane::<1>(a))
            + (f32x4_extract_lane::<2>(a) + f32x4_extract_lane::<3>(a));
        reduce_max(a: V) -> f32 = {
            let b = f32x4_pmax(a, i32x4_shuffle::<2, 3, 0, 1>(a, a));
            let c = f32x4_pmax(b, i32x4_shuffle::<1, 0, 3, 2>(b, b));
            f32x4_extract_lane::<0>(c)
        };
    }
}
