//! Recurrent operators, kept whole.

use super::super::{NodeCx, Refusal};
use super::lower::{fixed, narrow, wide_input, widen_opt};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Direction, Gate, GateKind, Gru, Lstm, Rnn};
use cygnet_format::{DType, Dim, Op};

/// Attributes and operands that the three operators share.
struct Parts {
    direction: Direction,
    directions: usize,
    clip: f32,
    gates: Vec<Gate>,
    /// Input sequence first: `[T, B, I]`.
    x: ValueId,
    hidden: usize,
    batch_first: bool,
    dtype: DType,
}

/// Reads everything common; `functions` are the default activations of one direction.
fn parts(cx: &mut NodeCx<'_>, functions: &[GateKind]) -> Result<Parts, Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (r, _) = wide_input(cx, 2)?;
    if cx.rank(x) != 3 || cx.rank(r) != 3 {
        return Err(Refusal::invalid(
            "the input or the recurrent weights have not three axes",
        ));
    }
    let direction = match cx.str_or("direction", "forward")?.as_str() {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return Err(Refusal::invalid(format!("direction {other:?} is unknown"))),
    };
    let directions = if direction == Direction::Bidirectional {
        2
    } else {
        1
    };
    let hidden = fixed(cx.shape(r)[2], "the hidden size")?;
    if let Some(h) = cx.int("hidden_size")?
        && h != hidden as i64
    {
        return Err(Refusal::invalid(format!(
            "hidden_size {h} differs from the weights ({hidden})"
        )));
    }
    if cx.shape(r)[0] != Dim(directions as i32) {
        return Err(Refusal::invalid(format!(
            "the weights are not for {directions} direction(s)"
        )));
    }
    let batch_first = cx.int_or("layout", 0)? != 0;
    let x = if batch_first {
        cx.transpose(x, &[1, 0, 2])
    } else {
        x
    };
    // The engine takes "no clipping" as zero or less.
    let clip = cx.float_or("clip", 0.0)?;
    let gates = gates(cx, functions, directions)?;
    Ok(Parts {
        direction,
        directions,
        clip,
        gates,
        x,
        hidden,
        batch_first,
        dtype,
    })
}

/// The activation functions; `activation_alpha` and `activation_beta` are consumed in the order of the functions that
/// have such a parameter.
fn gates(cx: &NodeCx<'_>, functions: &[GateKind], directions: usize) -> Result<Vec<Gate>, Refusal> {
    let mut alphas = cx
        .floats("activation_alpha")?
        .unwrap_or_default()
        .into_iter();
    let mut betas = cx
        .floats("activation_beta")?
        .unwrap_or_default()
        .into_iter();
    let names = cx.strings("activations")?.unwrap_or_default();
    let count = functions.len() * directions;
    if !names.is_empty() && names.len() != count {
        return Err(Refusal::invalid(format!(
            "{} activations where {count} are needed",
            names.len()
        )));
    }
    (0..count)
        .map(|i| {
            let kind = match names.get(i).map(|n| n.to_ascii_lowercase()).as_deref() {
                None => functions[i % functions.len()],
                Some("sigmoid") => GateKind::Sigmoid,
                Some("tanh") => GateKind::Tanh,
                Some("relu") => GateKind::Relu,
                Some("hardsigmoid") => GateKind::HardSigmoid,
                Some("affine") => GateKind::Affine,
                Some("leakyrelu") => GateKind::LeakyRelu,
                Some("thresholdedrelu") => GateKind::ThresholdedRelu,
                Some("scaledtanh") => GateKind::ScaledTanh,
                Some("elu") => GateKind::Elu,
                Some("softsign") => GateKind::Softsign,
                Some("softplus") => GateKind::Softplus,
                Some(other) => {
                    return Err(Refusal::unsupported(format!(
                        "activation {other:?} is not supported"
                    )));
                }
            };
            // Defaults of the stand-alone operators, as the specification says.
            let (a, b) = match kind {
                GateKind::HardSigmoid => (Some(0.2), Some(0.5)),
                GateKind::Affine => (Some(1.0), Some(0.0)),
                GateKind::ScaledTanh => (Some(1.0), Some(1.0)),
                GateKind::LeakyRelu => (Some(0.01), None),
                GateKind::ThresholdedRelu | GateKind::Elu => (Some(1.0), None),
                _ => (None, None),
            };
            let a = a.map_or(0.0, |default| alphas.next().unwrap_or(default));
            let b = b.map_or(0.0, |default| betas.next().unwrap_or(default));
            Ok(Gate { kind, a, b })
        })
        .collect()
}

/// Initial state `i`, direction first.
fn state(cx: &mut NodeCx<'_>, i: usize, batch_first: bool) -> Result<Option<ValueId>, Refusal> {
    let v = cx.opt_input(i)?;
    let v = widen_opt(cx, v);
    Ok(v.map(|v| {
        if batch_first {
            cx.transpose(v, &[1, 0, 2])
        } else {
            v
        }
    }))
}

/// Emits the operator and brings its outputs into the model's layout.
fn finish(
    cx: &mut NodeCx<'_>,
    parts: &Parts,
    op: Op,
    extra: &[Option<ValueId>],
    states: usize,
) -> Result<(), Refusal> {
    let (w, r) = (wide_input(cx, 1)?.0, wide_input(cx, 2)?.0);
    let bias = cx.opt_input(3)?;
    let bias = widen_opt(cx, bias);
    let lengths = cx.opt_input(4)?.map(|v| narrow(cx, v, DType::I32));
    let shape = cx.shape(parts.x);
    let (d, h) = (Dim(parts.directions as i32), Dim(parts.hidden as i32));
    let mut types = vec![
        cx.has_output(0)
            .then(|| Type::new(DType::F32, &[shape[0], d, shape[1], h])),
    ];
    for i in 1..=states {
        types.push(
            cx.has_output(i)
                .then(|| Type::new(DType::F32, &[d, shape[1], h])),
        );
    }
    while types.len() > 1 && types.last().is_some_and(Option::is_none) {
        types.pop();
    }
    let mut operands = vec![Some(parts.x), Some(w), Some(r), bias, lengths];
    operands.extend_from_slice(extra);
    while operands.last().is_some_and(Option::is_none) {
        operands.pop();
    }
    let out = cx.emit_n(op, &operands, &types);
    for (i, v) in out.into_iter().enumerate() {
        let Some(mut v) = v else { continue };
        if parts.batch_first {
            v = if i == 0 {
                cx.transpose(v, &[2, 0, 1, 3])
            } else {
                cx.transpose(v, &[1, 0, 2])
            };
        }
        let v = narrow(cx, v, parts.dtype);
        cx.set_output(i, v);
    }
    Ok(())
}

fn full<const N: usize>(gates: &[Gate]) -> Result<cygnet_format::List<Gate, N>, Refusal> {
    cygnet_format::List::new(gates).ok_or_else(|| Refusal::invalid("too many activations"))
}

/// `LSTM`.
pub(super) fn lstm(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let parts = parts(cx, &[GateKind::Sigmoid, GateKind::Tanh, GateKind::Tanh])?;
    let h0 = state(cx, 5, parts.batch_first)?;
    let c0 = state(cx, 6, parts.batch_first)?;
    let peepholes = cx.opt_input(7)?;
    let peepholes = widen_opt(cx, peepholes);
    let op = Lstm {
        direction: parts.direction,
        clip: parts.clip,
        input_forget: cx.int_or("input_forget", 0)? != 0,
        gates: full(&parts.gates)?,
    };
    finish(cx, &parts, op.into(), &[h0, c0, peepholes], 2)
}

/// `GRU`.
pub(super) fn gru(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let parts = parts(cx, &[GateKind::Sigmoid, GateKind::Tanh])?;
    let h0 = state(cx, 5, parts.batch_first)?;
    let op = Gru {
        direction: parts.direction,
        clip: parts.clip,
        linear_before_reset: cx.int_or("linear_before_reset", 0)? != 0,
        gates: full(&parts.gates)?,
    };
    finish(cx, &parts, op.into(), &[h0], 1)
}

/// `RNN`.
pub(super) fn rnn(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let parts = parts(cx, &[GateKind::Tanh])?;
    let h0 = state(cx, 5, parts.batch_first)?;
    let op = Rnn {
        direction: parts.direction,
        clip: parts.clip,
        gates: full(&parts.gates)?,
    };
    finish(cx, &parts, op.into(), &[h0], 1)
}
