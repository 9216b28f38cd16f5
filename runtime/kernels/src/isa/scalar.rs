//! Plain Rust: four lanes in an array, which compilers map to whatever the baseline offers.
use super::{Isa, lanes};

/// Plain Rust.
#[derive(Clone, Copy)]
pub struct Scalar;

type V = [f32; 4];

#[inline(always)]
fn map(a: V, f: impl Fn(f32) -> f32) -> V {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip(a: V, b: V, f: impl Fn(f32, f32) -> f32) -> V {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

// SAFETY: `V` is an array of f32.
unsafe impl Isa for Scalar {
    const NAME: &'static str = "scalar";
    const LANES: usize = 4;
    const MR: usize = if cfg!(target_arch = "arm") { 1 } else { 2 };
    const PANELS: usize = 1;
    type V = V;

    lanes! {
        splat(x: f32) -> V = [x; 4];
        load(p: *const f32) -> V = p.cast::<V>().read_unaligned();
        store(p: *mut f32, v: V) -> () = p.cast::<V>().write_unaligned(v);
        load_partial(p: *const f32, n: usize) -> V = {
            let mut v = [0.0; 4];
            for i in 0..n.min(4) { v[i] = *p.add(i); }
            v
        };
        store_partial(p: *mut f32, v: V, n: usize) -> () = {
            for i in 0..n.min(4) { *p.add(i) = v[i]; }
        };
        add(a: V, b: V) -> V = zip(a, b, |x, y| x + y);
        sub(a: V, b: V) -> V = zip(a, b, |x, y| x - y);
        mul(a: V, b: V) -> V = zip(a, b, |x, y| x * y);
        div(a: V, b: V) -> V = zip(a, b, |x, y| x / y);
        fma(a: V, b: V, c: V) -> V = zip(zip(a, b, |x, y| x * y), c, |x, y| x + y);
        min(a: V, b: V) -> V = zip(a, b, |x, y| if x < y { x } else { y });
        max(a: V, b: V) -> V = zip(a, b, |x, y| if x > y { x } else { y });
        sqrt(a: V) -> V = map(a, libm::sqrtf);
        round(a: V) -> V = map(a, libm::rintf);
        floor(a: V) -> V = map(a, libm::floorf);
        ceil(a: V) -> V = map(a, libm::ceilf);
        abs(a: V) -> V = map(a, |x| f32::from_bits(x.to_bits() & 0x7fff_ffff));
        neg(a: V) -> V = map(a, |x| -x);
        copysign(a: V, s: V) -> V = zip(a, s, |x, y| f32::from_bits((x.to_bits() & 0x7fff_ffff) | (y.to_bits() & 0x8000_0000)));
        select_lt(a: V, b: V, x: V, y: V) -> V = {
            let mut r = y;
            for i in 0..4 { if a[i] < b[i] { r[i] = x[i]; } }
            r
        };
        select_eq(a: V, b: V, x: V, y: V) -> V = {
            let mut r = y;
            for i in 0..4 { if a[i] == b[i] { r[i] = x[i]; } }
            r
        };
        pow2(n: V) -> V = map(n, |x| f32::from_bits(((x as i32).wrapping_add(127) << 23) as u32));
        split_exponent(a: V) -> (V, V) = (
            map(a, |x| f32::from_bits((x.to_bits() & 0x007f_ffff) | 0x3f80_0000)),
            map(a, |x| ((x.to_bits() >> 23) as i32 - 127) as f32),
        );
        sum(a: V) -> f32 = (a[0] + a[1]) + (a[2] + a[3]);
        reduce_max(a: V) -> f32 = {
            let mut m = a[0];
            for i in 1..4 { if a[i] > m { m = a[i]; } }
            m
        };
    }
}
