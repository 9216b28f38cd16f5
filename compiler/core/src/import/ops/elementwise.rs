//! Elementwise operators: arithmetic, comparisons, logic, bits.

use super::super::{NodeCx, Refusal};
use super::lower::{narrow, wide_input, widen, with_scalar};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{BinaryKind, Det, UnaryKind};
use cygnet_format::{DType, Dim};

/// Functions of one input without attributes.
pub(super) fn unary(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "Abs" => UnaryKind::Abs,
        "Neg" => UnaryKind::Neg,
        "Exp" => UnaryKind::Exp,
        "Log" => UnaryKind::Log,
        "Sqrt" => UnaryKind::Sqrt,
        "Reciprocal" => UnaryKind::Reciprocal,
        "Floor" => UnaryKind::Floor,
        "Ceil" => UnaryKind::Ceil,
        "Round" => UnaryKind::Round,
        "Sign" => UnaryKind::Sign,
        "Sin" => UnaryKind::Sin,
        "Cos" => UnaryKind::Cos,
        "Tan" => UnaryKind::Tan,
        "Asin" => UnaryKind::Asin,
        "Acos" => UnaryKind::Acos,
        "Atan" => UnaryKind::Atan,
        "Sinh" => UnaryKind::Sinh,
        "Cosh" => UnaryKind::Cosh,
        "Tanh" => UnaryKind::Tanh,
        "Asinh" => UnaryKind::Asinh,
        "Acosh" => UnaryKind::Acosh,
        "Atanh" => UnaryKind::Atanh,
        "Erf" => UnaryKind::Erf,
        "Sigmoid" => UnaryKind::Sigmoid,
        "Relu" => UnaryKind::Relu,
        "HardSwish" => UnaryKind::HardSwish,
        "Softplus" => UnaryKind::Softplus,
        "Softsign" => UnaryKind::Softsign,
        "Mish" => UnaryKind::Mish,
        "Not" => UnaryKind::Not,
        "BitwiseNot" => UnaryKind::BitNot,
        "IsNaN" => UnaryKind::IsNan,
        other => return Err(Refusal::unsupported(format!("unknown function {other}"))),
    };
    let x = cx.input(0)?;
    let y = cx.unary(kind, x);
    cx.set_output(0, y);
    Ok(())
}

/// `IsInf` with its two switches.
pub(super) fn is_inf(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let positive = cx.int_or("detect_positive", 1)? != 0;
    let negative = cx.int_or("detect_negative", 1)? != 0;
    let x = cx.input(0)?;
    let y = cx.unary_ab(
        UnaryKind::IsInf,
        x,
        f32::from(positive),
        f32::from(negative),
    );
    cx.set_output(0, y);
    Ok(())
}

/// Functions of two inputs, with the `broadcast`/`axis` attributes of opset 1 to 6.
pub(super) fn binary(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "Add" => BinaryKind::Add,
        "Sub" => BinaryKind::Sub,
        "Mul" => BinaryKind::Mul,
        "Div" => BinaryKind::Div,
        "Equal" => BinaryKind::Equal,
        "Less" => BinaryKind::Less,
        "LessOrEqual" => BinaryKind::LessOrEqual,
        "Greater" => BinaryKind::Greater,
        "GreaterOrEqual" => BinaryKind::GreaterOrEqual,
        "And" => BinaryKind::And,
        "Or" => BinaryKind::Or,
        "Xor" => BinaryKind::Xor,
        "BitwiseAnd" => BinaryKind::BitAnd,
        "BitwiseOr" => BinaryKind::BitOr,
        "BitwiseXor" => BinaryKind::BitXor,
        other => return Err(Refusal::unsupported(format!("unknown function {other}"))),
    };
    let (a, b) = operands(cx)?;
    let y = cx.binary(kind, a, b)?;
    cx.set_output(0, y);
    Ok(())
}

/// The two inputs; before opset 7 the second is aligned to the first by attributes.
fn operands(cx: &mut NodeCx<'_>) -> Result<(ValueId, ValueId), Refusal> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    if cx.opset() >= 7 || cx.int_or("broadcast", 0)? == 0 {
        return Ok((a, b));
    }
    let (rank, shape) = (cx.rank(a), cx.shape(b));
    let Some(axis) = cx.int("axis")? else {
        return Ok((a, b));
    };
    let axis = cx.axis(axis, rank)?;
    if axis + shape.len() > rank {
        return Err(Refusal::invalid(
            "the second operand reaches beyond the axes of the first",
        ));
    }
    let mut aligned = shape.clone();
    aligned.resize(rank - axis, Dim::ONE);
    Ok((a, cx.reshape(b, &aligned)))
}

/// `Pow`: the result has the element type of the base.
pub(super) fn pow(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, e) = operands(cx)?;
    let (base, exponent) = (cx.dtype(x), cx.dtype(e));
    let y = if base == exponent {
        cx.binary(BinaryKind::Pow, x, e)?
    } else if base.is_float() || exponent.is_integer() {
        let e = narrow(cx, e, base);
        cx.binary(BinaryKind::Pow, x, e)?
    } else {
        // An integer base with a fractional exponent: evaluated in double precision, then truncated.
        let (x, e) = (cx.cast(x, DType::F64), cx.cast(e, DType::F64));
        let y = cx.binary(BinaryKind::Pow, x, e)?;
        cx.cast(y, base)
    };
    cx.set_output(0, y);
    Ok(())
}

/// `Mod`, with `fmod`.
pub(super) fn modulo(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = if cx.int_or("fmod", 0)? != 0 {
        BinaryKind::Fmod
    } else {
        BinaryKind::Mod
    };
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let y = cx.binary(kind, a, b)?;
    cx.set_output(0, y);
    Ok(())
}

/// `BitShift`.
pub(super) fn bit_shift(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.str_or("direction", "")?.as_str() {
        "LEFT" => BinaryKind::ShiftLeft,
        "RIGHT" => BinaryKind::ShiftRight,
        other => {
            return Err(Refusal::invalid(format!(
                "direction {other:?} is neither LEFT nor RIGHT"
            )));
        }
    };
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let y = cx.binary(kind, a, b)?;
    cx.set_output(0, y);
    Ok(())
}

/// `Sum`, `Mean`, `Min`, `Max` of any number of inputs.
pub(super) fn variadic(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "Min" => BinaryKind::Min,
        "Max" => BinaryKind::Max,
        _ => BinaryKind::Add,
    };
    let n = cx.n_inputs();
    let mut y = cx.input(0)?;
    for i in 1..n {
        let x = cx.input(i)?;
        y = cx.binary(kind, y, x)?;
    }
    if cx.op_type() == "Mean" && n > 1 {
        y = with_scalar(cx, BinaryKind::Div, y, n as f32)?;
    }
    cx.set_output(0, y);
    Ok(())
}

/// `PRelu`; before opset 7 a slope vector belongs to axis 1.
pub(super) fn prelu(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, mut slope) = (cx.input(0)?, cx.input(1)?);
    let rank = cx.rank(x);
    if cx.opset() < 7 && cx.rank(slope) == 1 && cx.shape(slope)[0] != Dim::ONE && rank > 2 {
        let mut shape = vec![Dim::ONE; rank - 1];
        shape[0] = cx.shape(slope)[0];
        slope = cx.reshape(slope, &shape);
    }
    let y = cx.binary(BinaryKind::Prelu, x, slope)?;
    cx.set_output(0, y);
    Ok(())
}

/// `Clip`: bounds as attributes (opset < 11) or optional inputs.
pub(super) fn clip(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let (lo, hi) = if cx.opset() < 11 {
        (
            Some(cx.float_or("min", f32::MIN)?),
            Some(cx.float_or("max", f32::MAX)?),
        )
    } else {
        let (lo, hi) = (cx.opt_input(1)?, cx.opt_input(2)?);
        let known = |cx: &NodeCx<'_>, v: Option<ValueId>, default: f32| match v {
            None => Some(default),
            Some(v) => cx.as_const_f32(v).and_then(|d| d.first().copied()),
        };
        let bounds = (
            known(cx, lo, f32::NEG_INFINITY),
            known(cx, hi, f32::INFINITY),
        );
        match bounds {
            (Some(a), Some(b)) if matches!(dtype, DType::F32 | DType::F16 | DType::BF16) => {
                (Some(a), Some(b))
            }
            _ => {
                let mut y = x;
                if let Some(lo) = lo {
                    let lo = cx.reshape(lo, &[]);
                    y = cx.binary(BinaryKind::Max, y, lo)?;
                }
                if let Some(hi) = hi {
                    let hi = cx.reshape(hi, &[]);
                    y = cx.binary(BinaryKind::Min, y, hi)?;
                }
                cx.set_output(0, y);
                return Ok(());
            }
        }
    };
    let (lo, hi) = (lo.unwrap_or(f32::NEG_INFINITY), hi.unwrap_or(f32::INFINITY));
    let y = cx.unary_ab(UnaryKind::Clip, x, lo, hi);
    cx.set_output(0, y);
    Ok(())
}

/// Determinants of the matrices on the last two axes.
pub(super) fn det(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let shape = cx.shape(x);
    if shape.len() < 2 {
        return Err(Refusal::invalid("the input has fewer than two axes"));
    }
    let ty = Type::new(DType::F32, &shape[..shape.len() - 2]);
    let y = cx.emit(Det {}, &[x], ty);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `Shrink`, which ONNX defines for integers too.
pub(super) fn shrink(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (lambda, bias) = (cx.float_or("lambd", 0.5)?, cx.float_or("bias", 0.0)?);
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    let wide = if dtype.is_float() { x } else { widen(cx, x) };
    let y = cx.unary_ab(UnaryKind::Shrink, wide, lambda, bias);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
