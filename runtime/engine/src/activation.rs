//! Stored functions to kernel functions.

use cygnet_format::op::{Activation as Stored, ActivationKind, BinaryKind, UnaryKind};
use cygnet_kernels::{Activation, Binary, Unary};

pub(crate) fn activation(a: &Stored) -> Activation {
    match a.kind {
        ActivationKind::None => Activation::None,
        ActivationKind::Relu => Activation::Relu,
        ActivationKind::Clip => Activation::Clip(a.a, a.b),
        ActivationKind::LeakyRelu => Activation::LeakyRelu(a.a),
        ActivationKind::Sigmoid => Activation::Sigmoid,
        ActivationKind::Tanh => Activation::Tanh,
        ActivationKind::HardSwish => Activation::HardSwish,
        ActivationKind::HardSigmoid => Activation::HardSigmoid(a.a, a.b),
        ActivationKind::Silu => Activation::Silu,
        ActivationKind::GeluErf => Activation::Gelu,
        ActivationKind::GeluTanh => Activation::GeluTanh,
    }
}

/// The activation as a function of its own; `None` is the identity.
pub(crate) fn as_unary(a: &Stored) -> Option<Unary> {
    Some(match a.kind {
        ActivationKind::None => return None,
        ActivationKind::Relu => Unary::Relu,
        ActivationKind::Clip => Unary::Clip(a.a, a.b),
        ActivationKind::LeakyRelu => Unary::LeakyRelu(a.a),
        ActivationKind::Sigmoid => Unary::Sigmoid,
        ActivationKind::Tanh => Unary::Tanh,
        ActivationKind::HardSwish => Unary::HardSwish,
        ActivationKind::HardSigmoid => Unary::HardSigmoid(a.a, a.b),
        ActivationKind::Silu => Unary::Silu,
        ActivationKind::GeluErf => Unary::Gelu,
        ActivationKind::GeluTanh => Unary::GeluTanh,
    })
}

/// The f32 kernel of a function; `None` where there is none.
pub(crate) fn unary(kind: UnaryKind, a: f32, b: f32) -> Option<Unary> {
    Some(match kind {
        UnaryKind::Abs => Unary::Abs,
        UnaryKind::Neg => Unary::Neg,
        UnaryKind::Exp => Unary::Exp,
        UnaryKind::Log => Unary::Log,
        UnaryKind::Sqrt => Unary::Sqrt,
        UnaryKind::Reciprocal => Unary::Reciprocal,
        UnaryKind::Floor => Unary::Floor,
        UnaryKind::Ceil => Unary::Ceil,
        UnaryKind::Round => Unary::Round,
        UnaryKind::Sign => Unary::Sign,
        UnaryKind::Sin => Unary::Sin,
        UnaryKind::Cos => Unary::Cos,
        UnaryKind::Tan => Unary::Tan,
        UnaryKind::Asin => Unary::Asin,
        UnaryKind::Acos => Unary::Acos,
        UnaryKind::Atan => Unary::Atan,
        UnaryKind::Sinh => Unary::Sinh,
        UnaryKind::Cosh => Unary::Cosh,
        UnaryKind::Tanh => Unary::Tanh,
        UnaryKind::Asinh => Unary::Asinh,
        UnaryKind::Acosh => Unary::Acosh,
        UnaryKind::Atanh => Unary::Atanh,
        UnaryKind::Erf => Unary::Erf,
        UnaryKind::Sigmoid => Unary::Sigmoid,
        UnaryKind::Relu => Unary::Relu,
        UnaryKind::LeakyRelu => Unary::LeakyRelu(a),
        UnaryKind::Elu => Unary::Elu(a),
        UnaryKind::Selu => Unary::Selu(a, b),
        UnaryKind::Celu => Unary::Celu(a),
        UnaryKind::ThresholdedRelu => Unary::ThresholdedRelu(a),
        UnaryKind::HardSigmoid => Unary::HardSigmoid(a, b),
        UnaryKind::HardSwish => Unary::HardSwish,
        UnaryKind::Softplus => Unary::Softplus,
        UnaryKind::Softsign => Unary::Softsign,
        UnaryKind::Mish => Unary::Mish,
        UnaryKind::Swish => Unary::Swish(a),
        UnaryKind::GeluErf => Unary::Gelu,
        UnaryKind::GeluTanh => Unary::GeluTanh,
        UnaryKind::Clip => Unary::Clip(a, b),
        UnaryKind::Shrink => Unary::Shrink(a, b),
        UnaryKind::Affine => Unary::Affine(a, b),
        UnaryKind::Rsqrt => Unary::Rsqrt,
        UnaryKind::Square => Unary::Square,
        UnaryKind::Not
        | UnaryKind::BitNot
        | UnaryKind::IsNan
        | UnaryKind::IsInf
        | UnaryKind::Binarize => return None,
    })
}

/// The f32 kernel of a function with an f32 result; `None` where there is none.
pub(crate) fn binary(kind: BinaryKind) -> Option<Binary> {
    Some(match kind {
        BinaryKind::Add => Binary::Add,
        BinaryKind::Sub => Binary::Sub,
        BinaryKind::Mul => Binary::Mul,
        BinaryKind::Div => Binary::Div,
        BinaryKind::Pow => Binary::Pow,
        BinaryKind::Min => Binary::Min,
        BinaryKind::Max => Binary::Max,
        BinaryKind::Mod => Binary::FloorMod,
        BinaryKind::Fmod => Binary::Fmod,
        BinaryKind::Prelu => Binary::Prelu,
        _ => return None,
    })
}
