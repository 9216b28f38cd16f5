//! Attention and rotary embeddings.

use super::super::{NodeCx, Refusal};
use super::lower::{constant, fixed, indices, narrow, unsqueeze, wide_input, widen, with_scalar};
use super::matmul::product;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    Attention, BinaryKind, DimValues, Gather, Pad, PadMode, Range, Softmax, SoftmaxKind, UnaryKind,
    Where,
};
use cygnet_format::{DType, Dim};

/// `[B, S, heads*D]` to `[B, heads, S, D]`; four axes stay.
fn heads(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    count: Option<i64>,
    what: &str,
) -> Result<ValueId, Refusal> {
    let shape = cx.shape(x);
    match shape.len() {
        4 => Ok(x),
        3 => {
            let count = count
                .filter(|&c| (1..=1 << 16).contains(&c))
                .ok_or_else(|| {
                    Refusal::invalid(format!("{what} is missing for inputs of three axes"))
                })?;
            let count = Dim(count as i32);
            let each = cx.graph().dim_floor_div(shape[2], count);
            let x = cx.reshape(x, &[shape[0], shape[1], count, each]);
            Ok(cx.transpose(x, &[0, 2, 1, 3]))
        }
        rank => Err(Refusal::invalid(format!(
            "an input has {rank} axes, not 3 or 4"
        ))),
    }
}

/// The integers `start..start+count` as i64.
fn positions(cx: &mut NodeCx<'_>, start: Dim, count: Dim) -> ValueId {
    if let (Some(s), Some(n)) = (start.as_const(), count.as_const()) {
        let data: Vec<i64> = (s as i64..(s + n) as i64).collect();
        return indices(cx, &[n], &data);
    }
    let end = cx.graph().dim_add(start, count);
    let mut bounds = Vec::new();
    for d in [start, end] {
        let values = [d].into_iter().collect();
        let v = cx.emit(DimValues { values }, &[], Type::fixed(DType::I64, &[1]));
        bounds.push(cx.reshape(v, &[]));
    }
    bounds.push(indices(cx, &[], &[1]));
    cx.emit(Range {}, &bounds, Type::new(DType::I64, &[count]))
}

/// Zero where the condition holds, minus infinity elsewhere.
fn additive(cx: &mut NodeCx<'_>, allowed: ValueId) -> ValueId {
    let shape = cx.shape(allowed);
    let (zero, never) = (
        cx.scalar(0.0, DType::F32),
        cx.scalar(f32::NEG_INFINITY, DType::F32),
    );
    cx.emit(
        Where {},
        &[allowed, zero, never],
        Type::new(DType::F32, &shape),
    )
}

fn plus(cx: &mut NodeCx<'_>, a: Option<ValueId>, b: ValueId) -> Result<Option<ValueId>, Refusal> {
    Ok(Some(match a {
        Some(a) => cx.binary(BinaryKind::Add, a, b)?,
        None => b,
    }))
}

/// `mask[i, j] = j <= i + past ? 0 : -inf`.
fn causal_mask(
    cx: &mut NodeCx<'_>,
    queries: Dim,
    keys: Dim,
    past: Dim,
) -> Result<ValueId, Refusal> {
    if let (Some(s), Some(t), Some(p)) = (queries.as_const(), keys.as_const(), past.as_const())
        && s * t <= 1 << 16
    {
        let data: Vec<f32> = (0..s * t)
            .map(|i| {
                if i % t <= i / t + p {
                    0.0
                } else {
                    f32::NEG_INFINITY
                }
            })
            .collect();
        return Ok(constant(cx, &[s, t], &data));
    }
    let rows = positions(cx, past, queries);
    let rows = unsqueeze(cx, rows, 1);
    let columns = positions(cx, Dim(0), keys);
    let allowed = cx.binary(BinaryKind::LessOrEqual, columns, rows)?;
    Ok(additive(cx, allowed))
}

/// Everything that is added to the scores, but for a plain causal mask.
fn bias(cx: &mut NodeCx<'_>, keys: Dim) -> Result<Option<ValueId>, Refusal> {
    let mut sum = None;
    if let Some(mask) = cx.opt_input(3)? {
        let mut mask = if cx.dtype(mask) == DType::Bool {
            additive(cx, mask)
        } else {
            widen(cx, mask)
        };
        let mut shape = cx.shape(mask);
        let last = shape
            .len()
            .checked_sub(1)
            .ok_or_else(|| Refusal::invalid("the mask is a scalar"))?;
        let short = cx.graph().dim_bounds(shape[last]).1 < cx.graph().dim_bounds(keys).0;
        if short && shape[last] != Dim::ONE {
            let never = cx.scalar(f32::NEG_INFINITY, DType::F32);
            let before = vec![Dim(0); shape.len()].into_iter().collect();
            shape[last] = keys;
            let ty = Type::new(DType::F32, &shape);
            mask = cx.emit(
                Pad {
                    before,
                    mode: PadMode::Constant,
                },
                &[mask, never],
                ty,
            );
        }
        sum = Some(mask);
    }
    if let Some(lengths) = cx.opt_input(6)? {
        let lengths = narrow(cx, lengths, DType::I64);
        let batch = cx.shape(lengths)[0];
        let lengths = cx.reshape(lengths, &[batch, Dim::ONE, Dim::ONE, Dim::ONE]);
        let columns = positions(cx, Dim(0), keys);
        let allowed = cx.binary(BinaryKind::Less, columns, lengths)?;
        let padding = additive(cx, allowed);
        sum = plus(cx, sum, padding)?;
    }
    Ok(sum)
}

/// Repeats every key-value head for its group of query heads.
fn repeat_heads(cx: &mut NodeCx<'_>, v: ValueId, times: usize) -> Result<ValueId, Refusal> {
    if times == 1 {
        return Ok(v);
    }
    let s = cx.shape(v);
    let v = unsqueeze(cx, v, 2);
    let v = cx.expand(v, &[s[0], s[1], Dim(times as i32), s[2], s[3]])?;
    let all = cx.graph().dim_mul(s[1], Dim(times as i32));
    Ok(cx.reshape(v, &[s[0], all, s[2], s[3]]))
}

/// `Attention` (opset 23 and 24). The plain case becomes one operator; capped scores under a mask and the extra output
/// of scores are spelled out.
pub(super) fn attention(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (q, dtype) = wide_input(cx, 0)?;
    let (k, key_type) = wide_input(cx, 1)?;
    let (v, value_type) = wide_input(cx, 2)?;
    let flat = cx.rank(q) == 3;
    let q = heads(cx, q, cx.int("q_num_heads")?, "q_num_heads")?;
    let kv_heads = cx.int("kv_num_heads")?;
    let mut k = heads(cx, k, kv_heads, "kv_num_heads")?;
    let mut v = heads(cx, v, kv_heads, "kv_num_heads")?;
    let mut past = Dim(0);
    if let Some(p) = cx.opt_input(4)? {
        past = cx.shape(p)[2];
        let p = widen(cx, p);
        k = cx.concat(&[p, k], 2)?;
    }
    if let Some(p) = cx.opt_input(5)? {
        let p = widen(cx, p);
        v = cx.concat(&[p, v], 2)?;
    }
    for (i, value, ty) in [(1, k, key_type), (2, v, value_type)] {
        if cx.has_output(i) {
            let present = narrow(cx, value, ty);
            cx.set_output(i, present);
        }
    }
    let (qs, ks) = (cx.shape(q), cx.shape(k));
    let (query_heads, own_heads) = (
        fixed(qs[1], "the number of heads")?,
        fixed(ks[1], "the number of heads")?,
    );
    if own_heads == 0 || query_heads % own_heads != 0 {
        return Err(Refusal::invalid(format!(
            "{own_heads} key-value heads do not divide {query_heads} query heads"
        )));
    }
    k = repeat_heads(cx, k, query_heads / own_heads)?;
    v = repeat_heads(cx, v, query_heads / own_heads)?;
    let scale = match cx.float("scale")? {
        Some(scale) => scale,
        None => 1.0 / (fixed(qs[3], "the head size")? as f32).sqrt(),
    };
    let softcap = cx.float_or("softcap", 0.0)?;
    let mut bias = bias(cx, ks[2])?;
    let mut causal = cx.int_or("is_causal", 0)? != 0;
    let scores_wanted = cx.has_output(3);
    if causal && (bias.is_some() || past != Dim(0) || qs[2] != ks[2] || scores_wanted) {
        let mask = causal_mask(cx, qs[2], ks[2], past)?;
        bias = plus(cx, bias, mask)?;
        causal = false;
    }
    let mut out = qs.clone();
    out[3] = cx.shape(v)[3];
    let y = if !scores_wanted && (softcap == 0.0 || (bias.is_none() && !causal)) {
        let op = Attention {
            scale,
            causal,
            softcap,
        };
        let ty = Type::new(DType::F32, &out);
        let operands = [Some(q), Some(k), Some(v), bias];
        let count = if bias.is_some() { 4 } else { 3 };
        cx.emit_n(op, &operands[..count], &[Some(ty)])[0].expect("asked for")
    } else {
        if causal {
            let mask = causal_mask(cx, qs[2], ks[2], past)?;
            bias = plus(cx, bias, mask)?;
        }
        spelled_out(cx, [q, k, v], scale, softcap, bias, dtype)?
    };
    let y = if flat {
        let y = cx.transpose(y, &[0, 2, 1, 3]);
        let width = cx.graph().dim_mul(out[1], out[3]);
        cx.reshape(y, &[out[0], out[2], width])
    } else {
        y
    };
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// Attention as products and a softmax; output 3 is the scores at the asked-for stage.
fn spelled_out(
    cx: &mut NodeCx<'_>,
    [q, k, v]: [ValueId; 3],
    scale: f32,
    softcap: f32,
    bias: Option<ValueId>,
    dtype: DType,
) -> Result<ValueId, Refusal> {
    let mode = cx.int_or("qk_matmul_output_mode", 0)?;
    let mut stages = Vec::new();
    let mut scores = product(cx, q, k, true, scale, None)?;
    stages.push(scores);
    if let Some(bias) = bias {
        scores = cx.binary(BinaryKind::Add, scores, bias)?;
    }
    stages.push(scores);
    if softcap > 0.0 {
        scores = with_scalar(cx, BinaryKind::Div, scores, softcap)?;
        scores = cx.unary(UnaryKind::Tanh, scores);
        scores = with_scalar(cx, BinaryKind::Mul, scores, softcap)?;
    }
    stages.push(scores);
    let ty = cx.ty(scores);
    let weights = cx.emit(
        Softmax {
            axis: 3,
            kind: SoftmaxKind::Softmax,
        },
        &[scores],
        ty,
    );
    stages.push(weights);
    if cx.has_output(3) {
        let stage = usize::try_from(mode).ok().and_then(|m| stages.get(m));
        let stage = *stage
            .ok_or_else(|| Refusal::invalid(format!("qk_matmul_output_mode {mode} is unknown")))?;
        let stage = narrow(cx, stage, dtype);
        cx.set_output(3, stage);
    }
    product(cx, weights, v, false, 1.0, None)
}

/// `RotaryEmbedding` (opset 23).
pub(super) fn rotary(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    // Heads stay where they are: axis 1 of four axes, axis 2 after splitting three.
    let (mut view, head_axis) = (x, shape.len().saturating_sub(2));
    let head_axis = match shape.len() {
        4 => 1,
        3 => {
            let count = cx.int_or("num_heads", 0)?;
            if !(1..=1 << 16).contains(&count) {
                return Err(Refusal::invalid(
                    "num_heads is missing for an input of three axes",
                ));
            }
            let count = Dim(count as i32);
            let each = cx.graph().dim_floor_div(shape[2], count);
            view = cx.reshape(x, &[shape[0], shape[1], count, each]);
            head_axis + 1
        }
        rank => {
            return Err(Refusal::invalid(format!(
                "the input has {rank} axes, not 3 or 4"
            )));
        }
    };
    let full = cx.shape(view);
    let size = fixed(full[3], "the head size")?;
    let rotated = match cx.int_or("rotary_embedding_dim", 0)? {
        0 => size,
        r if r > 0 && r as usize <= size => r as usize,
        r => return Err(Refusal::invalid(format!("rotary_embedding_dim is {r}"))),
    };
    if rotated % 2 != 0 {
        return Err(Refusal::invalid(format!(
            "{rotated} elements cannot be rotated in pairs"
        )));
    }
    let half = rotated / 2;
    let ids = cx.opt_input(3)?;
    let mut tables = Vec::new();
    for i in [1, 2] {
        let mut t = cx.input(i)?;
        if let Some(ids) = ids {
            if cx.rank(t) != 2 {
                return Err(Refusal::invalid(
                    "the tables of sines and cosines have not two axes",
                ));
            }
            let mut picked = cx.shape(ids);
            picked.push(cx.shape(t)[1]);
            let ty = cx.typed(cx.dtype(t), &picked)?;
            t = cx.emit(Gather { axis: 0 }, &[t, ids], ty);
        }
        if cx.rank(t) != 3 || cx.shape(t)[2] != Dim(half as i32) {
            return Err(Refusal::invalid(format!(
                "the tables of sines and cosines have not {half} columns"
            )));
        }
        tables.push(unsqueeze(cx, t, head_axis));
    }
    let (cos, sin) = (tables[0], tables[1]);
    let d = |v: usize| Dim(v as i32);
    let interleaved = cx.int_or("interleaved", 0)? != 0;
    let part = cx.slice(view, 3, Dim(0), d(rotated), 1)?;
    let (a, b) = if interleaved {
        let odd = cx.slice(part, 3, Dim(1), d(rotated), 2)?;
        (cx.slice(part, 3, Dim(0), d(rotated), 2)?, odd)
    } else {
        (
            cx.slice(part, 3, Dim(0), d(half), 1)?,
            cx.slice(part, 3, d(half), d(rotated), 1)?,
        )
    };
    let cross = |cx: &mut NodeCx<'_>, x, s, y, t, kind| -> Result<ValueId, Refusal> {
        let left = cx.binary(BinaryKind::Mul, x, s)?;
        let right = cx.binary(BinaryKind::Mul, y, t)?;
        cx.binary(kind, left, right)
    };
    let real = cross(cx, a, cos, b, sin, BinaryKind::Sub)?;
    let imaginary = cross(cx, a, sin, b, cos, BinaryKind::Add)?;
    let mut y = if interleaved {
        let (real, imaginary) = (unsqueeze(cx, real, 4), unsqueeze(cx, imaginary, 4));
        let pairs = cx.concat(&[real, imaginary], 4)?;
        let mut joined = full.clone();
        joined[3] = d(rotated);
        cx.reshape(pairs, &joined)
    } else {
        cx.concat(&[real, imaginary], 3)?
    };
    if rotated < size {
        let rest = cx.slice(view, 3, d(rotated), d(size), 1)?;
        y = cx.concat(&[y, rest], 3)?;
    }
    let y = cx.reshape(y, &shape);
    cx.set_output(0, y);
    Ok(())
}
