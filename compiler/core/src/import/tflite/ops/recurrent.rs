//! Recurrent operators, whose states live from run to run.

use super::super::cx::{OpCx, int};
use super::conv::bias;
use crate::import::error::Refusal;
use crate::import::ops::matmul::product;
use crate::ir::ValueId;
use cygnet_format::op::{BinaryKind, ReduceKind};
use cygnet_format::{DType, Dim};

/// `SVDF`: `x[B,I]`, feature weights `[F,I]`, time weights `[F,M]`, bias `[U]`, state `[B,M*F]`. The newest feature is
/// the last of M; a unit sums `rank` filters (Nakkiran et al., Compressing deep neural networks using a
/// rank-constrained topology, 2015).
pub(super) fn svdf(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, features, time) = (cx.float(0)?, cx.float(1)?, cx.float(2)?);
    let rank = cx.option::<i32>(0, 0)?;
    let state = cx.variable(4)?;
    let (xs, fs, ts) = (cx.shape(x), cx.shape(features), cx.shape(time));
    let ([batch, _], [f, _], [_, m]) = (&xs[..], &fs[..], &ts[..]) else {
        return Err(Refusal::invalid("its operands are not matrices"));
    };
    let (filters, memory) = match (f.as_const(), m.as_const()) {
        (Some(f), Some(m)) if f > 0 && m > 0 => (f, m),
        _ => return Err(Refusal::invalid("its weights are empty")),
    };
    let lanes = [*batch, *f, *m];
    let count = cx.graph().dim_product(&lanes);
    let stored = cx.shape(state);
    let held = cx.graph().dim_product(&stored);
    if rank < 1 || filters % rank as usize != 0 || count != held || ts[0] != *f {
        return Err(Refusal::invalid(format!(
            "{filters} filters of {memory} steps with a rank of {rank} and a state of {stored:?}"
        )));
    }
    let units = filters / rank as usize;
    let q = cx.quantised(4)?;
    let newest = product(cx, x, features, true, 1.0, None)?;
    let newest = cx.reshape(newest, &[*batch, *f, Dim::ONE]);
    let newest = match &q {
        Some(q) => {
            let dtype = cx.dtype(state);
            cx.quantise(newest, q, dtype)?
        }
        None => newest,
    };
    let past = cx.reshape(state, &lanes);
    let past = cx.slice(past, 2, Dim::ONE, *m, 1)?;
    let lines = if memory == 1 {
        newest
    } else {
        cx.concat(&[past, newest], 2)?
    };
    let next = cx.reshape(lines, &stored);
    cx.set_variable(4, next)?;
    let lines = match &q {
        Some(q) => cx.dequantise(lines, q)?,
        None => lines,
    };
    let y = cx.binary(BinaryKind::Mul, lines, time)?;
    let y = cx.reduce(ReduceKind::Sum, y, &[2], false)?;
    let y = cx.reshape(y, &[*batch, Dim(units as i32), Dim(rank)]);
    let mut y = cx.reduce(ReduceKind::Sum, y, &[2], false)?;
    if let Some(b) = bias(cx, 3, (4, 2), units)? {
        y = cx.binary(BinaryKind::Add, y, b)?;
    }
    let y = cx.activate(y, cx.option(1, 0)?)?;
    cx.put(0, y)
}

/// The four gates in the order of ONNX (input, output, forget, cell) from the file's (input, forget, cell, output).
fn gates(cx: &mut OpCx<'_, '_>, first: usize) -> Result<ValueId, Refusal> {
    let mut parts = Vec::new();
    for i in [0, 3, 1, 2] {
        parts.push(cx.float(first + i)?);
    }
    cx.concat(&parts, 0)
}

/// `v` with an axis of one in front: the direction.
fn directed(cx: &mut OpCx<'_, '_>, v: ValueId) -> Result<ValueId, Refusal> {
    let mut shape = vec![Dim::ONE];
    shape.extend(cx.shape(v));
    cx.typed(cx.dtype(v), &shape)?;
    Ok(cx.reshape(v, &shape))
}

/// `UNIDIRECTIONAL_SEQUENCE_LSTM` in floats: input `[B,T,I]` or `[T,B,I]`, four input and four recurrent weights,
/// peepholes, biases, no projection, two states.
pub(super) fn lstm(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    if cx.quantised(0)?.is_some() {
        return Err(Refusal::unsupported("a quantised LSTM")
            .remedy("convert the model with this layer in floats, or with integer weights alone"));
    }
    let unsupported = [
        (!cx.has_input(1), "coupled input and forget gates"),
        (cx.has_input(16), "a projection"),
        ((20..24).any(|i| cx.has_input(i)), "layer normalisation"),
        (cx.option::<i8>(0, 0)? != 4, "another activation than tanh"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(is, _)| *is) {
        return Err(Refusal::unsupported(format!("an LSTM with {what}")));
    }
    let mut x = cx.float(0)?;
    if cx.rank(x) != 3 {
        return Err(Refusal::invalid("its input has not three axes"));
    }
    let time_major = cx.flag(3)?;
    if !time_major {
        x = cx.transpose(x, &[1, 0, 2]);
    }
    let (w, r) = (gates(cx, 1)?, gates(cx, 5)?);
    let units = match cx.shape(r)[..] {
        [four, one] if cx.graph().dim_value(four).is_some() => {
            let hidden = one.as_const().unwrap_or(0);
            if hidden == 0 || four.as_const() != Some(4 * hidden) {
                return Err(Refusal::invalid("its recurrent weights are not square"));
            }
            hidden
        }
        _ => return Err(Refusal::invalid("its recurrent weights are not matrices")),
    };
    let b = if cx.has_input(12) {
        let own = gates(cx, 12)?;
        let none = cx.scalar(0.0, DType::F32);
        let none = cx.expand(none, &[Dim(4 * units as i32)])?;
        let both = cx.concat(&[own, none], 0)?;
        Some(directed(cx, both)?)
    } else {
        None
    };
    let peepholes = if cx.has_input(9) {
        let mut parts = Vec::new();
        for i in [9, 11, 10] {
            parts.push(cx.float(i)?);
        }
        let all = cx.concat(&parts, 0)?;
        Some(directed(cx, all)?)
    } else {
        None
    };
    let (h, c) = (cx.variable(18)?, cx.variable(19)?);
    if cx.dtype(h) != DType::F32 || cx.dtype(c) != DType::F32 {
        return Err(Refusal::unsupported("an LSTM with quantised states"));
    }
    let (w, r) = (directed(cx, w)?, directed(cx, r)?);
    let (first_h, first_c) = (directed(cx, h)?, directed(cx, c)?);
    let attributes = vec![int("hidden_size", units as i64)];
    let clip = cx.option::<f32>(1, 0.0)?;
    if clip != 0.0 {
        return Err(Refusal::unsupported("an LSTM that clips its cell"));
    }
    let operands = [
        Some(x),
        Some(w),
        Some(r),
        b,
        None,
        Some(first_h),
        Some(first_c),
        peepholes,
    ];
    let results = cx.onnx_optional("LSTM", attributes, &operands, 3)?;
    let (hs, cs) = (cx.shape(h), cx.shape(c));
    let (next_h, next_c) = (cx.reshape(results[1], &hs), cx.reshape(results[2], &cs));
    cx.set_variable(18, next_h)?;
    cx.set_variable(19, next_c)?;
    // [T, 1, B, H] without the direction.
    let shape = cx.shape(results[0]);
    let y = cx.reshape(results[0], &[shape[0], shape[2], shape[3]]);
    let y = if time_major {
        y
    } else {
        cx.transpose(y, &[1, 0, 2])
    };
    cx.put(0, y)
}
