//! Enumerations and small records used as operator attributes.

use crate::attr::{Attr, Words, attr_enum};
use core::fmt;

attr_enum! {
    /// One-input elementwise functions. `a` and `b` are the parameters of [`crate::op::Unary`].
    UnaryKind {
        Abs = 0 "abs", Neg = 1 "neg", Exp = 2 "exp", Log = 3 "log", Sqrt = 4 "sqrt", Reciprocal = 5 "reciprocal",
        Floor = 6 "floor", Ceil = 7 "ceil",
        /// Rounds half to even.
        Round = 8 "round",
        Sign = 9 "sign", Sin = 10 "sin", Cos = 11 "cos", Tan = 12 "tan", Asin = 13 "asin", Acos = 14 "acos",
        Atan = 15 "atan", Sinh = 16 "sinh", Cosh = 17 "cosh", Tanh = 18 "tanh", Asinh = 19 "asinh",
        Acosh = 20 "acosh", Atanh = 21 "atanh", Erf = 22 "erf", Sigmoid = 23 "sigmoid", Relu = 24 "relu",
        /// `x >= 0 ? x : a*x`.
        LeakyRelu = 25 "leaky_relu",
        /// `x >= 0 ? x : a*(exp(x)-1)`.
        Elu = 26 "elu",
        /// `b * (x > 0 ? x : a*(exp(x)-1))`.
        Selu = 27 "selu",
        /// `max(0,x) + min(0, a*(exp(x/a)-1))`.
        Celu = 28 "celu",
        /// `x > a ? x : 0`.
        ThresholdedRelu = 29 "thresholded_relu",
        /// `max(0, min(1, a*x+b))`.
        HardSigmoid = 30 "hard_sigmoid",
        /// `x * max(0, min(1, x/6 + 0.5))`.
        HardSwish = 31 "hard_swish",
        Softplus = 32 "softplus", Softsign = 33 "softsign", Mish = 34 "mish",
        /// `x * sigmoid(a*x)`.
        Swish = 35 "swish",
        /// `0.5*x*(1+erf(x/sqrt(2)))`.
        GeluErf = 36 "gelu_erf",
        /// Tanh approximation of GELU.
        GeluTanh = 37 "gelu_tanh",
        /// `min(max(x, a), b)`; NaN stays NaN.
        Clip = 38 "clip",
        /// `x < -a ? x+b : (x > a ? x-b : 0)`.
        Shrink = 39 "shrink",
        /// Boolean not.
        Not = 40 "not",
        BitNot = 41 "bit_not",
        /// Output bool.
        IsNan = 42 "is_nan",
        /// Output bool; `a != 0` detects +inf, `b != 0` detects -inf.
        IsInf = 43 "is_inf",
        /// `x*a + b`.
        Affine = 44 "affine",
        /// `1/sqrt(x)`.
        Rsqrt = 45 "rsqrt",
        Square = 46 "square",
        /// `x > a ? 1 : 0`.
        Binarize = 47 "binarize",
    }

    /// Two-input elementwise functions with NumPy broadcasting.
    BinaryKind {
        Add = 0 "add", Sub = 1 "sub", Mul = 2 "mul",
        /// Integers: truncates toward zero; division by zero is a run-time error.
        Div = 3 "div",
        Pow = 4 "pow", Min = 5 "min", Max = 6 "max",
        /// Sign follows the divisor (Python's `%`).
        Mod = 7 "mod",
        /// Sign follows the dividend (C's `fmod`).
        Fmod = 8 "fmod",
        Equal = 9 "equal", Less = 10 "less", LessOrEqual = 11 "less_or_equal", Greater = 12 "greater",
        GreaterOrEqual = 13 "greater_or_equal",
        And = 14 "and", Or = 15 "or", Xor = 16 "xor",
        BitAnd = 17 "bit_and", BitOr = 18 "bit_or", BitXor = 19 "bit_xor",
        ShiftLeft = 20 "shift_left", ShiftRight = 21 "shift_right",
        /// `x >= 0 ? x : slope*x` with the slope as second input.
        Prelu = 22 "prelu",
    }

    /// Reductions.
    ReduceKind {
        Sum = 0 "sum", Mean = 1 "mean", Max = 2 "max", Min = 3 "min", Prod = 4 "prod", L1 = 5 "l1", L2 = 6 "l2",
        LogSum = 7 "log_sum", LogSumExp = 8 "log_sum_exp", SumSquare = 9 "sum_square",
    }

    /// Members of the softmax family.
    SoftmaxKind { Softmax = 0 "softmax", Log = 1 "log_softmax", Hard = 2 "hardmax", }

    /// Activations fused into the producer. `a`, `b` as in [`UnaryKind`].
    ActivationKind {
        None = 0 "none", Relu = 1 "relu", Clip = 2 "clip", LeakyRelu = 3 "leaky_relu", Sigmoid = 4 "sigmoid",
        Tanh = 5 "tanh", HardSwish = 6 "hard_swish", HardSigmoid = 7 "hard_sigmoid", Silu = 8 "silu",
        GeluErf = 9 "gelu_erf", GeluTanh = 10 "gelu_tanh",
    }

    /// How elements beyond the edge are made.
    PadMode { Constant = 0 "constant", Edge = 1 "edge", Reflect = 2 "reflect", Wrap = 3 "wrap", }

    /// How a scattered element combines with the one in place.
    ScatterReduction { None = 0 "none", Add = 1 "add", Mul = 2 "mul", Max = 3 "max", Min = 4 "min", }

    /// Pooling functions.
    PoolKind { Max = 0 "max", Average = 1 "average", Lp = 2 "lp", }

    /// Interpolation of `resize` and `grid_sample`.
    ResizeMode { Nearest = 0 "nearest", Linear = 1 "linear", Cubic = 2 "cubic", }

    /// Coordinate transformation of `resize` (names as in ONNX).
    CoordinateMode {
        HalfPixel = 0 "half_pixel", PytorchHalfPixel = 1 "pytorch_half_pixel", AlignCorners = 2 "align_corners",
        Asymmetric = 3 "asymmetric", TfCropAndResize = 4 "tf_crop_and_resize",
        HalfPixelSymmetric = 5 "half_pixel_symmetric", TfHalfPixelForNn = 6 "tf_half_pixel_for_nn",
    }

    /// Rounding of nearest-neighbour coordinates.
    NearestMode {
        RoundPreferFloor = 0 "round_prefer_floor", RoundPreferCeil = 1 "round_prefer_ceil", Floor = 2 "floor",
        Ceil = 3 "ceil",
    }

    /// What `grid_sample` reads outside the image.
    GridPadding { Zeros = 0 "zeros", Border = 1 "border", Reflection = 2 "reflection", }

    /// Direction of a recurrent operator.
    Direction { Forward = 0 "forward", Reverse = 1 "reverse", Bidirectional = 2 "bidirectional", }

    /// Gate functions of recurrent operators. `a`, `b` as in [`UnaryKind`].
    GateKind {
        Sigmoid = 0 "sigmoid", Tanh = 1 "tanh", Relu = 2 "relu", HardSigmoid = 3 "hard_sigmoid",
        Affine = 4 "affine", LeakyRelu = 5 "leaky_relu", ThresholdedRelu = 6 "thresholded_relu",
        ScaledTanh = 7 "scaled_tanh", Elu = 8 "elu", Softsign = 9 "softsign", Softplus = 10 "softplus",
    }

    /// Reduction over the sampled points of one `roi_align` bin.
    RoiMode { Average = 0 "average", Max = 1 "max", }

    /// What one micro-step of a `chain` does.
    MicroKind { Unary = 0 "u", /** `current OP operand`. */ Binary = 1 "b", /** `operand OP current`. */ BinarySwapped = 2 "s", }
}

macro_rules! record {
    ($($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $f:ident : $t:ty,)* })*) => {$(
        $(#[$m])*
        #[derive(Clone, Copy, Debug, Default, PartialEq)]
        pub struct $name { $($(#[$fm])* pub $f: $t,)* }

        impl Attr for $name {
            fn encode(&self, emit: &mut dyn FnMut(u32)) { $(self.$f.encode(emit);)* }
            fn decode(words: &mut Words<'_>) -> Option<Self> { Some($name { $($f: <$t as Attr>::decode(words)?,)* }) }
            fn write_text(&self, f: &mut dyn fmt::Write) -> fmt::Result {
                let mut separator = "";
                $(f.write_str(separator)?; self.$f.write_text(f)?; separator = ":";)*
                let _ = separator;
                Ok(())
            }
            fn parse_text(text: &str) -> Option<Self> {
                let mut parts = text.split(':');
                let value = $name { $($f: <$t as Attr>::parse_text(parts.next()?)?,)* };
                parts.next().is_none().then_some(value)
            }
        }
    )*};
}

record! {
    /// A fused activation with its parameters.
    Activation {
        /// The function.
        kind: ActivationKind,
        /// First parameter.
        a: f32,
        /// Second parameter.
        b: f32,
    }

    /// A gate function with its parameters.
    Gate {
        /// The function.
        kind: GateKind,
        /// First parameter.
        a: f32,
        /// Second parameter.
        b: f32,
    }

    /// One step of a fused elementwise chain.
    Micro {
        /// Unary, binary or swapped binary.
        kind: MicroKind,
        /// Code of the [`UnaryKind`] or [`BinaryKind`].
        code: u32,
        /// Binary steps: index of the operand among the chain's inputs (0 is the chain's main input).
        operand: u32,
        /// First parameter of a unary step.
        a: f32,
        /// Second parameter of a unary step.
        b: f32,
    }
}
