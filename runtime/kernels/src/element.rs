//! Element types and their arithmetic, for the kernels that are generic over them.
use cygnet_format::op::{BinaryKind, UnaryKind};
use half::{bf16, f16};

/// A number that generic kernels work on. Integers wrap around; the 16-bit floats compute in single precision.
pub trait Element: Copy + PartialOrd + Default + Send + Sync + 'static {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The least value: minus infinity for floats.
    const LEAST: Self;
    /// The greatest value: infinity for floats.
    const GREATEST: Self;
    /// True for integers.
    const INTEGER: bool;
    /// Sum.
    fn add(self, other: Self) -> Self;
    /// Difference.
    fn sub(self, other: Self) -> Self;
    /// Product.
    fn mul(self, other: Self) -> Self;
    /// The value in double precision (64-bit integers round).
    fn to_f64(self) -> f64;
    /// The nearest value; integers truncate and saturate.
    fn from_f64(v: f64) -> Self;
    /// True for NaN.
    fn is_nan(self) -> bool {
        false
    }
}

/// A number with elementwise functions: the types in which others compute (see [`crate::wide`]).
pub trait Arithmetic: Element {
    /// Whether [`Arithmetic::unary`] knows the function.
    fn has_unary(kind: UnaryKind) -> bool;
    /// A one-input function; parameters as [`UnaryKind`] says.
    fn unary(kind: UnaryKind, x: Self, a: f32, b: f32) -> Self;
    /// Whether [`Arithmetic::binary`] knows the function (comparisons and boolean logic excluded).
    fn has_binary(kind: BinaryKind) -> bool;
    /// A two-input function. Integer division by zero gives zero.
    fn binary(kind: BinaryKind, x: Self, y: Self) -> Self;
}

/// The greater of two; NaN wins.
#[inline(always)]
pub(crate) fn maximum<T: Element>(x: T, y: T) -> T {
    if x.is_nan() || x > y { x } else { y }
}

/// The lesser of two; NaN wins.
#[inline(always)]
pub(crate) fn minimum<T: Element>(x: T, y: T) -> T {
    if x.is_nan() || x < y { x } else { y }
}

macro_rules! integer {
    ($($t:ty)*) => {$(
        impl Element for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = <$t>::MIN;
            const GREATEST: Self = <$t>::MAX;
            const INTEGER: bool = true;
            #[inline(always)]
            fn add(self, o: Self) -> Self { self.wrapping_add(o) }
            #[inline(always)]
            fn sub(self, o: Self) -> Self { self.wrapping_sub(o) }
            #[inline(always)]
            fn mul(self, o: Self) -> Self { self.wrapping_mul(o) }
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn from_f64(v: f64) -> Self { v as $t }
        }
    )*};
}
integer!(i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! integer_arithmetic {
    ($signed:literal: $t:ty) => {
        impl Arithmetic for $t {
            fn has_unary(kind: UnaryKind) -> bool {
                use UnaryKind::*;
                matches!(
                    kind,
                    Abs | Neg
                        | Sign
                        | Relu
                        | BitNot
                        | Square
                        | Clip
                        | Affine
                        | Floor
                        | Ceil
                        | Round
                        | Binarize
                        | Shrink
                        | LeakyRelu
                        | ThresholdedRelu
                )
            }
            fn unary(kind: UnaryKind, x: Self, a: f32, b: f32) -> Self {
                use UnaryKind::*;
                let (a, b) = (f64::from(a), f64::from(b));
                match kind {
                    #[allow(unused_comparisons)]
                    Abs => {
                        if x < 0 {
                            (0 as $t).wrapping_sub(x)
                        } else {
                            x
                        }
                    }
                    Neg => (0 as $t).wrapping_sub(x),
                    #[allow(unused_comparisons)]
                    Sign => {
                        if x > 0 {
                            1
                        } else if x < 0 {
                            <$t>::MAX.wrapping_mul(0).wrapping_sub(1)
                        } else {
                            0
                        }
                    }
                    Relu => x.max(0),
                    BitNot => !x,
                    Square => x.wrapping_mul(x),
                    Clip => {
                        let lo = if a == f64::NEG_INFINITY {
                            <$t>::MIN
                        } else {
                            a as $t
                        };
                        let hi = if b == f64::INFINITY {
                            <$t>::MAX
                        } else {
                            b as $t
                        };
                        x.max(lo).min(hi)
                    }
                    Affine => (x as f64 * a + b) as $t,
                    Binarize => (x as f64 > a) as $t,
                    Shrink => {
                        let v = x as f64;
                        if v < -a {
                            (v + b) as $t
                        } else if v > a {
                            (v - b) as $t
                        } else {
                            0
                        }
                    }
                    #[allow(unused_comparisons)]
                    LeakyRelu => {
                        if x >= 0 {
                            x
                        } else {
                            (x as f64 * a) as $t
                        }
                    }
                    ThresholdedRelu => {
                        if x as f64 > a {
                            x
                        } else {
                            0
                        }
                    }
                    _ => x,
                }
            }
            fn has_binary(kind: BinaryKind) -> bool {
                use BinaryKind::*;
                matches!(
                    kind,
                    Add | Sub
                        | Mul
                        | Div
                        | Pow
                        | Min
                        | Max
                        | Mod
                        | Fmod
                        | BitAnd
                        | BitOr
                        | BitXor
                        | ShiftLeft
                        | ShiftRight
                        | Prelu
                )
            }
            fn binary(kind: BinaryKind, x: Self, y: Self) -> Self {
                use BinaryKind::*;
                match kind {
                    Add => x.wrapping_add(y),
                    Sub => x.wrapping_sub(y),
                    Mul => x.wrapping_mul(y),
                    Div => {
                        if y == 0 {
                            0
                        } else {
                            x.wrapping_div(y)
                        }
                    }
                    #[allow(unused_comparisons)]
                    Pow => {
                        if y < 0 {
                            match x {
                                1 => 1,
                                _ if $signed && x == <$t>::MAX.wrapping_mul(0).wrapping_sub(1) => {
                                    if y & 1 == 0 {
                                        1
                                    } else {
                                        x
                                    }
                                }
                                _ => 0,
                            }
                        } else {
                            let (mut base, mut e, mut r) = (x, y, 1 as $t);
                            while e > 0 {
                                if e & 1 == 1 {
                                    r = r.wrapping_mul(base);
                                }
                                base = base.wrapping_mul(base);
                                e >>= 1;
                            }
                            r
                        }
                    }
                    Min => x.min(y),
                    Max => x.max(y),
                    #[allow(unused_comparisons)]
                    Mod => {
                        if y == 0 {
                            0
                        } else {
                            let r = x.wrapping_rem(y);
                            if r != 0 && ((r < 0) != (y < 0)) {
                                r.wrapping_add(y)
                            } else {
                                r
                            }
                        }
                    }
                    Fmod => {
                        if y == 0 {
                            0
                        } else {
                            x.wrapping_rem(y)
                        }
                    }
                    BitAnd => x & y,
                    BitOr => x | y,
                    BitXor => x ^ y,
                    // Shifting everything out leaves zero.
                    ShiftLeft => u32::try_from(y)
                        .ok()
                        .and_then(|s| x.checked_shl(s))
                        .unwrap_or(0),
                    ShiftRight => u32::try_from(y)
                        .ok()
                        .and_then(|s| x.checked_shr(s))
                        .unwrap_or(0),
                    #[allow(unused_comparisons)]
                    Prelu => {
                        if x >= 0 {
                            x
                        } else {
                            x.wrapping_mul(y)
                        }
                    }
                    _ => x,
                }
            }
        }
    };
}
integer_arithmetic!(true: i64);
integer_arithmetic!(false: u64);

macro_rules! float {
    ($t:ty, $bits:ty: $($name:ident = $f:path),*) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = <$t>::NEG_INFINITY;
            const GREATEST: Self = <$t>::INFINITY;
            const INTEGER: bool = false;
            #[inline(always)]
            fn add(self, o: Self) -> Self { self + o }
            #[inline(always)]
            fn sub(self, o: Self) -> Self { self - o }
            #[inline(always)]
            fn mul(self, o: Self) -> Self { self * o }
            #[inline(always)]
            fn to_f64(self) -> f64 { self as f64 }
            #[inline(always)]
            fn from_f64(v: f64) -> Self { v as $t }
            #[inline(always)]
            fn is_nan(self) -> bool { self != self }
        }

        impl Arithmetic for $t {
            fn has_unary(kind: UnaryKind) -> bool {
                use UnaryKind::*;
                !matches!(kind, Not | BitNot | IsNan | IsInf)
            }
            fn unary(kind: UnaryKind, x: Self, a: f32, b: f32) -> Self {
                $(#[allow(unused_imports)] use $f as $name;)*
                use UnaryKind::*;
                let (a, b) = (a as $t, b as $t);
                let half_sigmoid = |x: $t| if x >= 0.0 { 1.0 / (1.0 + exp(-x)) } else { let e = exp(x); e / (1.0 + e) };
                let softplus = |x: $t| x.max(0.0) + log1p(exp(-fabs(x)));
                match kind {
                    Abs => fabs(x),
                    Neg => -x,
                    Exp => exp(x),
                    Log => log(x),
                    Sqrt => sqrt(x),
                    Reciprocal => 1.0 / x,
                    Floor => floor(x),
                    Ceil => ceil(x),
                    Round => rint(x),
                    Sign => if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x },
                    Sin => sin(x),
                    Cos => cos(x),
                    Tan => tan(x),
                    Asin => asin(x),
                    Acos => acos(x),
                    Atan => atan(x),
                    Sinh => sinh(x),
                    Cosh => cosh(x),
                    Tanh => tanh(x),
                    Asinh => asinh(x),
                    Acosh => acosh(x),
                    Atanh => atanh(x),
                    Erf => erf(x),
                    Sigmoid => half_sigmoid(x),
                    Relu => if x < 0.0 { 0.0 } else { x },
                    LeakyRelu => if x < 0.0 { a * x } else { x },
                    Elu => if x < 0.0 { a * expm1(x) } else { x },
                    Selu => b * if x > 0.0 { x } else { a * expm1(x) },
                    Celu => if x < 0.0 { a * expm1(x / a) } else { x },
                    ThresholdedRelu => if x > a { x } else { 0.0 },
                    HardSigmoid => maximum(0.0, minimum(1.0, a * x + b)),
                    HardSwish => x * maximum(0.0, minimum(1.0, x / 6.0 + 0.5)),
                    Softplus => if x != x { x } else { softplus(x) },
                    Softsign => x / (1.0 + fabs(x)),
                    Mish => if x != x { x } else { x * tanh(softplus(x)) },
                    Swish => x * half_sigmoid(a * x),
                    GeluErf => 0.5 * x * (1.0 + erf(x * core::f64::consts::FRAC_1_SQRT_2 as $t)),
                    GeluTanh => {
                        let u = 0.797_884_6 as $t * (x + 0.044715 * x * x * x);
                        0.5 * x * (1.0 + tanh(u))
                    }
                    // As NumPy: an upper bound below the lower one wins.
                    Clip => if x != x { x } else { let v = if x < a { a } else { x }; if v > b { b } else { v } },
                    Shrink => if x < -a { x + b } else if x > a { x - b } else { 0.0 },
                    Affine => x * a + b,
                    Rsqrt => 1.0 / sqrt(x),
                    Square => x * x,
                    Binarize => if x > a { 1.0 } else { 0.0 },
                    Not | BitNot | IsNan | IsInf => x,
                }
            }
            fn has_binary(kind: BinaryKind) -> bool {
                use BinaryKind::*;
                matches!(kind, Add | Sub | Mul | Div | Pow | Min | Max | Mod | Fmod | Prelu)
            }
            fn binary(kind: BinaryKind, x: Self, y: Self) -> Self {
                $(#[allow(unused_imports)] use $f as $name;)*
                use BinaryKind::*;
                match kind {
                    Add => x + y,
                    Sub => x - y,
                    Mul => x * y,
                    Div => x / y,
                    Pow => pow(x, y),
                    Min => minimum(x, y),
                    Max => maximum(x, y),
                    Mod => {
                        let r = fmod(x, y);
                        if r == 0.0 { copysign(0.0, y) } else if (r < 0.0) != (y < 0.0) { r + y } else { r }
                    }
                    Fmod => fmod(x, y),
                    Prelu => if x < 0.0 { x * y } else { x },
                    _ => x,
                }
            }
        }
    };
}
float!(f32, u32: exp = libm::expf, expm1 = libm::expm1f, log = libm::logf, log1p = libm::log1pf, sqrt = libm::sqrtf, fabs = libm::fabsf,
    floor = libm::floorf, ceil = libm::ceilf, rint = libm::rintf, sin = libm::sinf, cos = libm::cosf, tan = libm::tanf,
    asin = libm::asinf, acos = libm::acosf, atan = libm::atanf, sinh = libm::sinhf, cosh = libm::coshf, tanh = libm::tanhf,
    asinh = libm::asinhf, acosh = libm::acoshf, atanh = libm::atanhf, erf = libm::erff, pow = libm::powf, fmod = libm::fmodf,
    copysign = libm::copysignf);
float!(f64, u64: exp = libm::exp, expm1 = libm::expm1, log = libm::log, log1p = libm::log1p, sqrt = libm::sqrt, fabs = libm::fabs,
    floor = libm::floor, ceil = libm::ceil, rint = libm::rint, sin = libm::sin, cos = libm::cos, tan = libm::tan,
    asin = libm::asin, acos = libm::acos, atan = libm::atan, sinh = libm::sinh, cosh = libm::cosh, tanh = libm::tanh,
    asinh = libm::asinh, acosh = libm::acosh, atanh = libm::atanh, erf = libm::erf, pow = libm::pow, fmod = libm::fmod,
    copysign = libm::copysign);

macro_rules! half_float {
    ($($t:ty)*) => {$(
        impl Element for $t {
            const ZERO: Self = <$t>::ZERO;
            const ONE: Self = <$t>::ONE;
            const LEAST: Self = <$t>::NEG_INFINITY;
            const GREATEST: Self = <$t>::INFINITY;
            const INTEGER: bool = false;
            fn add(self, o: Self) -> Self { <$t>::from_f32(self.to_f32() + o.to_f32()) }
            fn sub(self, o: Self) -> Self { <$t>::from_f32(self.to_f32() - o.to_f32()) }
            fn mul(self, o: Self) -> Self { <$t>::from_f32(self.to_f32() * o.to_f32()) }
            fn to_f64(self) -> f64 { self.to_f32() as f64 }
            fn from_f64(v: f64) -> Self { <$t>::from_f64(v) }
            fn is_nan(self) -> bool { <$t>::is_nan(self) }
        }
    )*};
}
half_float!(f16 bf16);
