//! Elementwise operators: arithmetic, functions, comparisons, logic.

use super::super::cx::OpCx;
use crate::import::error::Refusal;
use crate::import::ops::lower::with_scalar;
use crate::ir::ValueId;
use cygnet_format::op::{BinaryKind, UnaryKind};
use cygnet_format::{DType, Dim};

/// Two operands: the integers themselves where both and the result are quantised alike and `order` alone matters.
fn operands(cx: &mut OpCx<'_, '_>, order: bool) -> Result<(ValueId, ValueId, bool), Refusal> {
    let (p, q) = (cx.quantised(0)?, cx.quantised(1)?);
    if order && p.is_some() && p == q && q == cx.quantised_output(0)? {
        return Ok((cx.input(0)?, cx.input(1)?, true));
    }
    let (a, b) = (cx.wide(0)?, cx.wide(1)?);
    Ok((a, b, false))
}

/// Functions of two inputs, with a fused activation where the operator has one.
pub(super) fn binary(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (kind, act) = match cx.op_type() {
        "ADD" => (BinaryKind::Add, true),
        "SUB" => (BinaryKind::Sub, true),
        "MUL" => (BinaryKind::Mul, true),
        "DIV" | "FLOOR_DIV" => (BinaryKind::Div, cx.op_type() == "DIV"),
        "MAXIMUM" => (BinaryKind::Max, false),
        "MINIMUM" => (BinaryKind::Min, false),
        "POW" => (BinaryKind::Pow, false),
        "SQUARED_DIFFERENCE" => (BinaryKind::Sub, false),
        "FLOOR_MOD" => (BinaryKind::Mod, false),
        _ => (BinaryKind::Prelu, false),
    };
    let order = matches!(kind, BinaryKind::Max | BinaryKind::Min);
    let (mut a, b, integers) = operands(cx, order)?;
    let floor = cx.op_type() == "FLOOR_DIV";
    if floor && !cx.dtype(a).is_float() {
        // The quotient of what divides evenly is exact, whichever way division rounds.
        let rest = cx.binary(BinaryKind::Mod, a, b)?;
        a = cx.binary(BinaryKind::Sub, a, rest)?;
    }
    let mut y = cx.binary(kind, a, b)?;
    if floor && cx.dtype(y).is_float() {
        y = cx.unary(UnaryKind::Floor, y);
    }
    if cx.op_type() == "SQUARED_DIFFERENCE" {
        y = cx.binary(BinaryKind::Mul, y, y)?;
    }
    if act {
        y = cx.activate(y, cx.option(0, 0)?)?;
    }
    if integers {
        cx.set_output(0, y);
        return Ok(());
    }
    cx.put(0, y)
}

/// `ADD_N`.
pub(super) fn add_n(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let mut y = cx.wide(0)?;
    for i in 1..cx.n_inputs() {
        let x = cx.wide(i)?;
        y = cx.binary(BinaryKind::Add, y, x)?;
    }
    cx.put(0, y)
}

/// Comparisons and logic: the result is boolean.
pub(super) fn compare(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "LESS" => BinaryKind::Less,
        "LESS_EQUAL" => BinaryKind::LessOrEqual,
        "GREATER" => BinaryKind::Greater,
        "GREATER_EQUAL" => BinaryKind::GreaterOrEqual,
        "LOGICAL_AND" => BinaryKind::And,
        "LOGICAL_OR" => BinaryKind::Or,
        _ => BinaryKind::Equal,
    };
    let (a, b) = (cx.wide(0)?, cx.wide(1)?);
    let mut y = cx.binary(kind, a, b)?;
    if cx.op_type() == "NOT_EQUAL" {
        y = cx.unary(UnaryKind::Not, y);
    }
    cx.set_output(0, y);
    Ok(())
}

/// Functions of one input.
pub(super) fn unary(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.wide(0)?;
    let operator = cx.op_type();
    let plain = |kind| (kind, 0.0, 0.0);
    let (kind, a, b) = match operator {
        "ABS" => plain(UnaryKind::Abs),
        "NEG" => plain(UnaryKind::Neg),
        "EXP" => plain(UnaryKind::Exp),
        "LOG" => plain(UnaryKind::Log),
        "SQRT" => plain(UnaryKind::Sqrt),
        "RSQRT" => plain(UnaryKind::Rsqrt),
        "SQUARE" => plain(UnaryKind::Square),
        "SIN" => plain(UnaryKind::Sin),
        "COS" => plain(UnaryKind::Cos),
        "FLOOR" => plain(UnaryKind::Floor),
        "CEIL" => plain(UnaryKind::Ceil),
        "ROUND" => plain(UnaryKind::Round),
        "SIGN" => plain(UnaryKind::Sign),
        "LOGISTIC" => plain(UnaryKind::Sigmoid),
        "TANH" => plain(UnaryKind::Tanh),
        "HARD_SWISH" => plain(UnaryKind::HardSwish),
        "LOGICAL_NOT" => plain(UnaryKind::Not),
        "ELU" => (UnaryKind::Elu, 1.0, 0.0),
        "LEAKY_RELU" => (UnaryKind::LeakyRelu, cx.option(0, 0.0)?, 0.0),
        "GELU" if cx.flag(0)? => plain(UnaryKind::GeluTanh),
        "GELU" => plain(UnaryKind::GeluErf),
        _ => {
            let code = match operator {
                "RELU" => 1,
                "RELU_N1_TO_1" => 2,
                "RELU6" => 3,
                _ => {
                    let y = cx.clip(x, 0.0, 1.0);
                    return cx.put(0, y);
                }
            };
            let y = cx.activate(x, code)?;
            return cx.put(0, y);
        }
    };
    let y = match kind {
        UnaryKind::Square if !cx.dtype(x).is_float() => cx.binary(BinaryKind::Mul, x, x)?,
        _ => cx.unary_ab(kind, x, a, b),
    };
    cx.put(0, y)
}

/// `SELECT` and `SELECT_V2`. A condition of one axis chooses rows in the first.
pub(super) fn select(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let mut c = cx.input(0)?;
    let (p, q) = (cx.quantised(1)?, cx.quantised(2)?);
    let moved = p == q && q == cx.quantised_output(0)?;
    let (x, y) = if moved {
        (cx.input(1)?, cx.input(2)?)
    } else {
        (cx.wide(1)?, cx.wide(2)?)
    };
    let rank = cx.rank(x);
    if cx.op_type() == "SELECT" && cx.rank(c) == 1 && rank > 1 {
        let mut shape = vec![Dim::ONE; rank];
        shape[0] = cx.shape(c)[0];
        c = cx.reshape(c, &shape);
    }
    if cx.dtype(c) != DType::Bool {
        c = with_scalar(cx, BinaryKind::Equal, c, 0.0)?;
        c = cx.unary(UnaryKind::Not, c);
    }
    let z = cx.onnx("Where", vec![], &[c, x, y], 1)?[0];
    if moved {
        cx.set_output(0, z);
        return Ok(());
    }
    cx.put(0, z)
}
