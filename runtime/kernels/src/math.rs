//! Polynomial approximations on vectors. Coefficients are weighted least-squares (Lawson) fits of the stated
//! functions; errors stated are against a double-precision evaluation.
#![allow(clippy::excessive_precision)]
use crate::isa::Isa;

/// Horner evaluation, constant term first.
#[inline(always)]
pub(crate) unsafe fn poly<I: Isa, const N: usize>(x: I::V, c: [f32; N]) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let mut r = I::splat(c[N - 1]);
        let mut i = N - 1;
        while i > 0 {
            i -= 1;
            r = I::fma(r, x, I::splat(c[i]));
        }
        r
    }
}

const LOG2E: f32 = core::f32::consts::LOG2_E;
/// ln 2 in two parts (Cody and Waite); the first has 9 significant bits, so n * LN2_HI is exact.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// exp(r) and n with x = n ln 2 + r, |r| <= ln 2 / 2.
#[inline(always)]
unsafe fn exp_parts<I: Isa>(x: I::V) -> (I::V, I::V) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let n = I::round(I::mul(x, I::splat(LOG2E)));
        let r = I::fma(n, I::splat(-LN2_HI), x);
        let r = I::fma(n, I::splat(-LN2_LO), r);
        let q = poly::<I, 6>(
            r,
            [
                5.000_000_1e-1,
                1.666_666_7e-1,
                4.166_627e-2,
                8.333_265e-3,
                1.394_608_7e-3,
                1.991_783_2e-4,
            ],
        );
        let p = I::add(I::fma(q, I::mul(r, r), r), I::splat(1.0));
        (p, n)
    }
}

/// exp over the whole range, overflow to infinity, gradual underflow; about 1 ulp.
#[inline(always)]
pub(crate) unsafe fn exp<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let c = I::max(I::splat(-104.0), I::min(I::splat(89.0), x));
        let (p, n) = exp_parts::<I>(c);
        // Two factors, because 2^128 and 2^-150 are not representable.
        let h = I::floor(I::mul(n, I::splat(0.5)));
        let y = I::mul(I::mul(p, I::pow2(h)), I::pow2(I::sub(n, h)));
        I::select_eq(x, x, y, x)
    }
}

/// exp of a clamped argument in [-87, 88]; about 1 ulp.
#[inline(always)]
pub(crate) unsafe fn exp_clamped<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let c = I::max(I::splat(-87.0), I::min(I::splat(88.0), x));
        let (p, n) = exp_parts::<I>(c);
        I::mul(p, I::pow2(n))
    }
}

/// Natural logarithm; -inf at 0, NaN below; about 1 ulp (2 near 1).
#[inline(always)]
pub(crate) unsafe fn log<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        // Subnormals: scaled by 2^24 into the normal range.
        let tiny = I::splat(f32::MIN_POSITIVE);
        let scaled = I::select_lt(x, tiny, I::mul(x, I::splat(16_777_216.0)), x);
        let bias = I::select_lt(x, tiny, I::splat(-24.0), I::splat(0.0));
        let (m, e) = I::split_exponent(scaled);
        let big = I::splat(core::f32::consts::SQRT_2);
        let e = I::add(
            I::add(e, bias),
            I::select_lt(big, m, I::splat(1.0), I::splat(0.0)),
        );
        let m = I::select_lt(big, m, I::mul(m, I::splat(0.5)), m);
        // log m = 2 atanh s, s = (m - 1) / (m + 1); written as f - s (f - R) to keep the leading bits.
        let f = I::sub(m, I::splat(1.0));
        let s = I::div(f, I::add(m, I::splat(1.0)));
        let z = I::mul(s, s);
        let r = I::mul(
            z,
            poly::<I, 4>(z, [0.666_666_66, 0.400_003_36, 0.285_372_38, 0.235_835_72]),
        );
        // log m = f - s (f - r'), r' = 2 atanh(s)/s - 2 = r.
        let l = I::sub(f, I::mul(s, I::sub(f, r)));
        let y = I::fma(e, I::splat(LN2_HI), I::fma(e, I::splat(LN2_LO), l));
        let y = I::select_eq(x, I::splat(0.0), I::splat(f32::NEG_INFINITY), y);
        let y = I::select_lt(x, I::splat(0.0), I::splat(f32::NAN), y);
        let y = I::select_eq(x, I::splat(f32::INFINITY), x, y);
        I::select_eq(x, x, y, x)
    }
}

/// 1 / (1 + exp(-x)); about 2 ulp.
#[inline(always)]
pub(crate) unsafe fn sigmoid<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let one = I::splat(1.0);
        let e = exp_clamped::<I>(I::neg(x));
        I::div(one, I::add(one, e))
    }
}

/// Hyperbolic tangent; about 2 ulp.
#[inline(always)]
pub(crate) unsafe fn tanh<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let a = I::abs(x);
        let z = I::mul(x, x);
        let p = poly::<I, 5>(
            z,
            [
                -0.333_332_84,
                0.133_314_91,
                -0.053_743_5,
                0.020_650_58,
                -0.005_717_04,
            ],
        );
        let small = I::fma(I::mul(p, z), x, x);
        // 9.1 and beyond rounds to 1.
        let e = exp_clamped::<I>(I::mul(I::splat(2.0), I::min(I::splat(10.0), a)));
        let one = I::splat(1.0);
        let large = I::sub(one, I::div(I::splat(2.0), I::add(e, one)));
        let y = I::select_lt(a, I::splat(0.625), small, I::copysign(large, x));
        I::select_eq(x, x, y, x)
    }
}

/// Error function; about 2 ulp.
#[inline(always)]
pub(crate) unsafe fn erf<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let a = I::min(I::splat(4.0), I::abs(x));
        let z = I::mul(a, a);
        let small = I::mul(
            x,
            poly::<I, 7>(
                z,
                [
                    core::f32::consts::FRAC_2_SQRT_PI,
                    -3.761_263_5e-1,
                    1.128_372e-1,
                    -2.686_075_3e-2,
                    5.204_436e-3,
                    -8.181_927_3e-4,
                    8.538_839_2e-5,
                ],
            ),
        );
        let l = poly::<I, 8>(
            a,
            [
                1.692_051_3e-4,
                -1.129_488_4,
                -6.334_008_5e-1,
                -1.082_203_84e-1,
                2.508_061_7e-2,
                -4.156_255e-3,
                4.313_935_6e-4,
                -2.082_861_8e-5,
            ],
        );
        let large = I::sub(I::splat(1.0), exp_clamped::<I>(l));
        let y = I::select_lt(a, I::splat(0.9), small, I::copysign(large, x));
        I::select_eq(x, x, y, x)
    }
}
