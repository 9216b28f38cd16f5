//! Activations that kernels apply while a result is in registers or still in the first-level cache.
use crate::isa::{Isa, kernel_rows};
use crate::math;

/// An element-wise function fused into the store of a kernel.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub enum Activation {
    /// x
    #[default]
    None,
    /// max(x, 0)
    Relu,
    /// min(max(x, lo), hi)
    Clip(f32, f32),
    /// x < 0 ? a x : x
    LeakyRelu(f32),
    /// x clip(x / 6 + 1/2, 0, 1)
    HardSwish,
    /// clip(alpha x + beta, 0, 1)
    HardSigmoid(f32, f32),
    /// x sigmoid(x)
    Silu,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// tanh(x)
    Tanh,
    /// x (1 + erf(x / sqrt 2)) / 2
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// x < 0 ? alpha (exp(x) - 1) : x
    Elu(f32),
}

impl Activation {
    /// The clamp that covers this activation alone, if there is one.
    pub const fn clamp(self) -> Option<(f32, f32)> {
        match self {
            Self::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clip(lo, hi) => Some((lo, hi)),
            _ => None,
        }
    }

    /// The clamp to apply at the store, and the function that remains for a second pass.
    pub(crate) fn split(self) -> (f32, f32, Option<Self>) {
        match self.clamp() {
            Some((lo, hi)) => (lo, hi, None),
            None => (f32::NEG_INFINITY, f32::INFINITY, Some(self)),
        }
    }
}

macro_rules! activations {
    ($act:expr, $apply:ident!($($arg:tt)*)) => {
        match $act {
            Activation::None => {}
            Activation::Relu => $apply!($($arg)*, |x| I::max(I::splat(0.0), x)),
            Activation::Clip(lo, hi) => $apply!($($arg)*, |x| I::min(I::splat(hi), I::max(I::splat(lo), x))),
            Activation::LeakyRelu(a) => $apply!($($arg)*, |x| leaky::<I>(x, a)),
            Activation::HardSwish => $apply!($($arg)*, |x| hard_swish::<I>(x)),
            Activation::HardSigmoid(a, b) => $apply!($($arg)*, |x| hard_sigmoid::<I>(x, a, b)),
            Activation::Silu => $apply!($($arg)*, |x| I::mul(x, math::sigmoid::<I>(x))),
            Activation::Sigmoid => $apply!($($arg)*, |x| math::sigmoid::<I>(x)),
            Activation::Tanh => $apply!($($arg)*, |x| math::tanh::<I>(x)),
            Activation::Gelu => $apply!($($arg)*, |x| gelu::<I>(x)),
            Activation::GeluTanh => $apply!($($arg)*, |x| gelu_tanh::<I>(x)),
            Activation::Elu(a) => $apply!($($arg)*, |x| elu::<I>(x, a)),
        }
    };
}

macro_rules! rows_in_place {
    ($p:expr, $stride:expr, $rows:expr, $cols:expr, |$x:ident| $f:expr) => {
        for r in 0..$rows {
            let p = $p.add(r * $stride);
            let mut i = 0;
            while i + I::LANES <= $cols {
                let $x = I::load(p.add(i));
                I::store(p.add(i), $f);
                i += I::LANES;
            }
            if i < $cols {
                let $x = I::load_partial(p.add(i), $cols - i);
                I::store_partial(p.add(i), $f, $cols - i);
            }
        }
    };
}

/// Applies an activation in place to rows of elements: (activation, first element, stride, rows, columns). Kernels call
/// it through the pointer in their task, so that its dozen of loops exists once.
pub(crate) type Apply = unsafe fn(Activation, *mut f32, usize, usize, usize);

kernel_rows!(pub(crate) ROWS = apply(act: Activation, p: *mut f32, stride: usize, rows: usize, cols: usize));

/// # Safety
/// The instruction set exists; the rows are valid for reads and writes.
#[inline(always)]
unsafe fn apply<I: Isa>(act: Activation, p: *mut f32, stride: usize, rows: usize, cols: usize) {
    // SAFETY: the caller's contract.
    unsafe { activations!(act, rows_in_place!(p, stride, rows, cols)) }
}

#[inline(always)]
pub(crate) unsafe fn leaky<I: Isa>(x: I::V, a: f32) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { I::select_lt(x, I::splat(0.0), I::mul(x, I::splat(a)), x) }
}

#[inline(always)]
pub(crate) unsafe fn hard_sigmoid<I: Isa>(x: I::V, a: f32, b: f32) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        I::min(
            I::splat(1.0),
            I::max(I::splat(0.0), I::fma(x, I::splat(a), I::splat(b))),
        )
    }
}

#[inline(always)]
pub(crate) unsafe fn hard_swish<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe { I::mul(x, hard_sigmoid::<I>(x, 1.0 / 6.0, 0.5)) }
}

#[inline(always)]
pub(crate) unsafe fn gelu<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let h = I::mul(x, I::splat(0.5));
        I::fma(
            h,
            math::erf::<I>(I::mul(x, I::splat(core::f32::consts::FRAC_1_SQRT_2))),
            h,
        )
    }
}

#[inline(always)]
pub(crate) unsafe fn gelu_tanh<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let h = I::mul(x, I::splat(0.5));
        let x3 = I::mul(I::mul(x, x), I::splat(0.044_715));
        let t = I::mul(I::fma(x3, x, x), I::splat(0.797_884_6));
        I::fma(h, math::tanh::<I>(t), h)
    }
}

#[inline(always)]
pub(crate) unsafe fn elu<I: Isa>(x: I::V, a: f32) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let e = I::mul(I::splat(a), expm1::<I>(I::min(I::splat(0.0), x)));
        I::select_lt(x, I::splat(0.0), e, x)
    }
}

/// exp(x) - 1 for x <= 0; near 0 by its series, so that small results keep their relative precision.
#[inline(always)]
pub(crate) unsafe fn expm1<I: Isa>(x: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let series = I::mul(
            x,
            math::poly::<I, 6>(
                x,
                [1.0, 0.5, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0],
            ),
        );
        let plain = I::sub(math::exp_clamped::<I>(x), I::splat(1.0));
        I::select_lt(I::splat(-0.3), x, series, plain)
    }
}
