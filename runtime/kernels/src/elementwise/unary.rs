//! Unary operators.
use crate::activation as act;
use crate::isa::{Isa, kernel_rows};
use crate::math;

/// A function of one f32. The exponential family is vectorised with a relative error of at most 1e-6 (absolute for
/// results around zero of the GELU family); trigonometric functions are `libm`'s.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Unary {
    Abs,
    Neg,
    /// -1, 0 or 1; NaN stays.
    Sign,
    Floor,
    Ceil,
    /// To the nearest integer, halves to even.
    Round,
    /// Towards zero.
    Trunc,
    Sqrt,
    /// 1 / sqrt(x)
    Rsqrt,
    /// 1 / x
    Reciprocal,
    Square,
    Exp,
    Log,
    Sigmoid,
    Tanh,
    Erf,
    Relu,
    /// x < 0 ? a x : x
    LeakyRelu(f32),
    /// min(max(x, lo), hi)
    Clip(f32, f32),
    /// x < 0 ? a (exp(x) - 1) : x
    Elu(f32),
    /// gamma (x < 0 ? alpha (exp(x) - 1) : x), in the order (alpha, gamma)
    Selu(f32, f32),
    /// max(0, x) + min(0, a (exp(x / a) - 1))
    Celu(f32),
    /// x > a ? x : 0
    ThresholdedRelu(f32),
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// x sigmoid(x)
    Silu,
    /// x sigmoid(a x)
    Swish(f32),
    /// x clip(x / 6 + 1/2, 0, 1)
    HardSwish,
    /// clip(a x + b, 0, 1)
    HardSigmoid(f32, f32),
    /// log(1 + exp(x))
    Softplus,
    /// x / (1 + |x|)
    Softsign,
    /// x tanh(softplus(x))
    Mish,
    /// a x + b
    Affine(f32, f32),
    /// (lambda, bias): x < -lambda ? x + bias : x > lambda ? x - bias : 0
    Shrink(f32, f32),
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
}

kernel_rows!(pub(crate) ROWS = body(op: Unary, x: *const f32, y: *mut f32, n: usize));

macro_rules! run {
    ($xp:ident, $yp:ident, $n:ident, |$x:ident| $f:expr) => {{
        let mut i = 0;
        while i + I::LANES <= $n {
            let $x = I::load($xp.add(i));
            I::store($yp.add(i), $f);
            i += I::LANES;
        }
        if i < $n {
            let $x = I::load_partial($xp.add(i), $n - i);
            I::store_partial($yp.add(i), $f, $n - i);
        }
    }};
}

macro_rules! scalar {
    ($xp:ident, $yp:ident, $n:ident, $f:path) => {
        for i in 0..$n {
            *$yp.add(i) = $f(*$xp.add(i));
        }
    };
}

/// `y[i] = op(x[i])`; `x` may equal `y`.
///
/// # Safety
/// `n` elements are valid; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(op: Unary, x: *const f32, y: *mut f32, n: usize) {
    // SAFETY: indices stay below n.
    unsafe {
        let zero = I::splat(0.0);
        let one = I::splat(1.0);
        match op {
            Unary::Abs => run!(x, y, n, |v| I::abs(v)),
            Unary::Neg => run!(x, y, n, |v| I::neg(v)),
            Unary::Sign => run!(x, y, n, |v| {
                let s = I::select_lt(zero, v, one, v);
                I::select_lt(v, zero, I::splat(-1.0), s)
            }),
            Unary::Floor => run!(x, y, n, |v| I::floor(v)),
            Unary::Ceil => run!(x, y, n, |v| I::ceil(v)),
            Unary::Round => run!(x, y, n, |v| I::round(v)),
            Unary::Trunc => run!(x, y, n, |v| I::copysign(I::floor(I::abs(v)), v)),
            Unary::Sqrt => run!(x, y, n, |v| I::sqrt(v)),
            Unary::Rsqrt => run!(x, y, n, |v| I::div(one, I::sqrt(v))),
            Unary::Reciprocal => run!(x, y, n, |v| I::div(one, v)),
            Unary::Square => run!(x, y, n, |v| I::mul(v, v)),
            Unary::Exp => run!(x, y, n, |v| math::exp::<I>(v)),
            Unary::Log => run!(x, y, n, |v| math::log::<I>(v)),
            Unary::Sigmoid => run!(x, y, n, |v| math::sigmoid::<I>(v)),
            Unary::Tanh => run!(x, y, n, |v| math::tanh::<I>(v)),
            Unary::Erf => run!(x, y, n, |v| math::erf::<I>(v)),
            Unary::Relu => run!(x, y, n, |v| I::max(zero, v)),
            Unary::LeakyRelu(a) => run!(x, y, n, |v| act::leaky::<I>(v, a)),
            Unary::Clip(lo, hi) => run!(x, y, n, |v| I::min(I::splat(hi), I::max(I::splat(lo), v))),
            Unary::Elu(a) => run!(x, y, n, |v| act::elu::<I>(v, a)),
            Unary::Selu(a, g) => run!(x, y, n, |v| I::mul(I::splat(g), act::elu::<I>(v, a))),
            Unary::Celu(a) => run!(x, y, n, |v| {
                let e = I::mul(
                    I::splat(a),
                    act::expm1::<I>(I::min(zero, I::div(v, I::splat(a)))),
                );
                I::add(I::max(zero, v), I::min(zero, e))
            }),
            Unary::ThresholdedRelu(a) => run!(x, y, n, |v| I::select_lt(I::splat(a), v, v, zero)),
            Unary::Gelu => run!(x, y, n, |v| act::gelu::<I>(v)),
            Unary::GeluTanh => run!(x, y, n, |v| act::gelu_tanh::<I>(v)),
            Unary::Silu => run!(x, y, n, |v| I::mul(v, math::sigmoid::<I>(v))),
            Unary::Swish(a) => run!(x, y, n, |v| I::mul(
                v,
                math::sigmoid::<I>(I::mul(I::splat(a), v))
            )),
            Unary::HardSwish => run!(x, y, n, |v| act::hard_swish::<I>(v)),
            Unary::HardSigmoid(a, b) => run!(x, y, n, |v| act::hard_sigmoid::<I>(v, a, b)),
            Unary::Softplus => run!(x, y, n, |v| softplus::<I>(v)),
            Unary::Softsign => run!(x, y, n, |v| I::div(v, I::add(one, I::abs(v)))),
            Unary::Mish => run!(x, y, n, |v| {
                // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), e = exp(x); 1 beyond 20.
                let e = math::exp_clamped::<I>(I::min(I::splat(20.0), v));
                let m = I::mul(e, I::add(e, I::splat(2.0)));
                I::mul(v, I::div(m, I::add(m, I::splat(2.0))))
            }),
            Unary::Affine(a, b) => run!(x, y, n, |v| I::fma(v, I::splat(a), I::splat(b))),
            Unary::Shrink(l, b) => run!(x, y, n, |v| {
                let up = I::select_lt(I::splat(l), v, I::sub(v, I::splat(b)), zero);
                I::select_lt(v, I::splat(-l), I::add(v, I::splat(b)), up)
            }),
            Unary::Sin => scalar!(x, y, n, libm::sinf),
            Unary::Cos => scalar!(x, y, n, libm::cosf),
            Unary::Tan => scalar!(x, y, n, libm::tanf),
            Unary::Asin => scalar!(x, y, n, libm::asinf),
            Unary::Acos => scalar!(x, y, n, libm::acosf),
            Unary::Atan => scalar!(x, y, n, libm::atanf),
            Unary::Sinh => scalar!(x, y, n, libm::sinhf),
            Unary::Cosh => scalar!(x, y, n, libm::coshf),
            Unary::Asinh => scalar!(x, y, n, libm::asinhf),
            Unary::Acosh => scalar!(x, y, n, acosh),
            Unary::Atanh => scalar!(x, y, n, libm::atanhf),
        }
    }
}

/// max(x, 0) + log(1 + exp(-|x|)), the logarithm with the correction of Kahan for small arguments.
#[inline(always)]
unsafe fn softplus<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let one = I::splat(1.0);
        let e = math::exp_clamped::<I>(I::neg(I::abs(x)));
        let u = I::add(one, e);
        let l = I::div(I::mul(math::log::<I>(u), e), I::sub(u, one));
        I::add(I::max(I::splat(0.0), x), I::select_eq(u, one, e, l))
    }
}

/// `libm::acoshf` is not NaN for every argument below 1.
fn acosh(x: f32) -> f32 {
    if x < 1.0 { f32::NAN } else { libm::acoshf(x) }
}
