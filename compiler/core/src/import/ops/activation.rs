//! Activation functions with parameters.

use super::super::{NodeCx, Refusal};
use super::lower::{narrow, widen};
use cygnet_format::op::{BinaryKind, UnaryKind};

/// Activations whose parameters are attributes.
pub(super) fn parametric(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let old = cx.opset() < 6;
    let (kind, a, b) = match cx.op_type() {
        "LeakyRelu" => (UnaryKind::LeakyRelu, cx.float_or("alpha", 0.01)?, 0.0),
        "Elu" => (UnaryKind::Elu, cx.float_or("alpha", 1.0)?, 0.0),
        "Celu" => (UnaryKind::Celu, cx.float_or("alpha", 1.0)?, 0.0),
        "Selu" => (
            UnaryKind::Selu,
            cx.float_or("alpha", if old { 1.6732 } else { 1.673_263_2 })?,
            cx.float_or("gamma", if old { 1.0507 } else { 1.050_701 })?,
        ),
        "ThresholdedRelu" => (UnaryKind::ThresholdedRelu, cx.float_or("alpha", 1.0)?, 0.0),
        "HardSigmoid" => (
            UnaryKind::HardSigmoid,
            cx.float_or("alpha", 0.2)?,
            cx.float_or("beta", 0.5)?,
        ),
        "Swish" => (UnaryKind::Swish, cx.float_or("alpha", 1.0)?, 0.0),
        "QuickGelu" => (UnaryKind::Swish, cx.float_or("alpha", 1.702)?, 0.0),
        other => return Err(Refusal::unsupported(format!("unknown activation {other}"))),
    };
    let x = cx.input(0)?;
    let y = cx.unary_ab(kind, x, a, b);
    cx.set_output(0, y);
    Ok(())
}

/// `Gelu`, exact or by the tanh approximation.
pub(super) fn gelu(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.str_or("approximate", "none")?.as_str() {
        "none" => UnaryKind::GeluErf,
        "tanh" => UnaryKind::GeluTanh,
        other => {
            return Err(Refusal::invalid(format!(
                "approximate {other:?} is neither none nor tanh"
            )));
        }
    };
    let x = cx.input(0)?;
    let y = cx.unary(kind, x);
    cx.set_output(0, y);
    Ok(())
}

/// `com.microsoft` `FastGelu` and `BiasGelu`: GELU of the input plus a bias.
pub(super) fn bias_gelu(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = if cx.op_type() == "FastGelu" {
        UnaryKind::GeluTanh
    } else {
        UnaryKind::GeluErf
    };
    let mut x = cx.input(0)?;
    if let Some(bias) = cx.opt_input(1)? {
        x = cx.binary(BinaryKind::Add, x, bias)?;
    }
    let y = cx.unary(kind, x);
    cx.set_output(0, y);
    Ok(())
}

/// Softmax family. Up to opset 12 the axes from `axis` on are normalised as one.
pub(super) fn softmax(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    use crate::ir::Type;
    use cygnet_format::DType;
    use cygnet_format::op::{Softmax, SoftmaxKind};
    let kind = match cx.op_type() {
        "Softmax" => SoftmaxKind::Softmax,
        "LogSoftmax" => SoftmaxKind::Log,
        _ => SoftmaxKind::Hard,
    };
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let wide = widen(cx, x);
    let shape = cx.shape(wide);
    let rank = shape.len();
    let flatten = cx.opset() < 13;
    let axis = cx.axis(cx.int_or("axis", if flatten { 1 } else { -1 })?, rank)?;
    let y = if flatten && axis + 1 != rank {
        let outer = cx.graph().dim_product(&shape[..axis]);
        let inner = cx.graph().dim_product(&shape[axis..]);
        let flat = cx.reshape(wide, &[outer, inner]);
        let y = cx.emit(
            Softmax { axis: 1, kind },
            &[flat],
            Type::new(DType::F32, &[outer, inner]),
        );
        cx.reshape(y, &shape)
    } else {
        cx.emit(
            Softmax {
                axis: axis as i32,
                kind,
            },
            &[wide],
            Type::new(DType::F32, &shape),
        )
    };
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
