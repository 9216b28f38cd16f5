//! Gathering, scattering and selecting by value; run-time dimensions come from here.

use super::super::NodeCx;
use super::super::error::Refusal;
use crate::ir::{SymbolKind, Type, ValueId};
use cygnet_format::op::{
    Compress, Gather, GatherElements, GatherNd, NonMaxSuppression, NonZero, OneHot,
    ScatterElements, ScatterNd, ScatterReduction, TopK, Unique,
};
use cygnet_format::{DType, Dim};

/// Indices as i32 or i64.
fn indices(cx: &mut NodeCx<'_>, v: ValueId) -> ValueId {
    if cx.dtype(v) == DType::I32 {
        v
    } else {
        cx.cast(v, DType::I64)
    }
}

/// A dimension that a step sets while it runs.
pub(super) fn runtime_dim(cx: &mut NodeCx<'_>, bound: Dim) -> Dim {
    let hi = cx.graph().dim_bounds(bound).1.clamp(0, i32::MAX as i64);
    let name = format!("count_{}", cx.graph().symbols.len());
    cx.graph().add_symbol(&name, 0, hi, SymbolKind::Runtime)
}

pub(super) fn gather(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    let y = gather_at(cx, x, i, axis)?;
    cx.set_output(0, y);
    Ok(())
}

fn gather_at(cx: &mut NodeCx<'_>, x: ValueId, i: ValueId, axis: usize) -> Result<ValueId, Refusal> {
    let i = indices(cx, i);
    if let (Ok(list), Some(n)) = (cx.const_i64(i), cx.shape(x)[axis].as_const()) {
        let n = n as i64;
        if let Some(bad) = list.iter().find(|&&v| v < -n || v >= n) {
            return Err(Refusal::invalid(format!(
                "index {bad} is outside of an axis of length {n}"
            )));
        }
    }
    let mut shape = cx.shape(x);
    let at = cx.shape(i);
    shape.splice(axis..=axis, at);
    let ty = cx.typed(cx.dtype(x), &shape)?;
    Ok(cx.emit(Gather { axis: axis as i32 }, &[x, i], ty))
}

pub(super) fn gather_elements(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let i = indices(cx, i);
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    if cx.rank(i) != cx.rank(x) {
        return Err(Refusal::invalid("its data and its indices differ in rank"));
    }
    let ty = Type {
        dtype: cx.dtype(x),
        shape: cx.ty(i).shape,
    };
    let y = cx.emit(GatherElements { axis: axis as i32 }, &[x, i], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn gather_nd(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, i) = (cx.input(0)?, cx.input(1)?);
    let i = indices(cx, i);
    let batch = usize::try_from(cx.int_or("batch_dims", 0)?).unwrap_or(usize::MAX);
    let (xs, is) = (cx.shape(x), cx.shape(i));
    let last = is
        .last()
        .and_then(|d| d.as_const())
        .ok_or_else(|| Refusal::needs_constant("indices' last dimension"))?;
    if batch >= is.len() || batch.saturating_add(last) > xs.len() {
        return Err(Refusal::invalid("its indices do not fit its data"));
    }
    let mut shape = is[..is.len() - 1].to_vec();
    shape.extend_from_slice(&xs[batch + last..]);
    let ty = cx.typed(cx.dtype(x), &shape)?;
    let y = cx.emit(
        GatherNd {
            batch_dims: batch as u32,
        },
        &[x, i],
        ty,
    );
    cx.set_output(0, y);
    Ok(())
}

fn reduction(cx: &mut NodeCx<'_>) -> Result<ScatterReduction, Refusal> {
    Ok(match cx.str_or("reduction", "none")?.as_str() {
        "none" => ScatterReduction::None,
        "add" => ScatterReduction::Add,
        "mul" => ScatterReduction::Mul,
        "max" => ScatterReduction::Max,
        "min" => ScatterReduction::Min,
        other => {
            return Err(Refusal::unsupported(format!(
                "the reduction '{other}' is unknown"
            )));
        }
    })
}

pub(super) fn scatter_elements(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, i, u) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let i = indices(cx, i);
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    if cx.rank(i) != cx.rank(x) || cx.rank(u) != cx.rank(x) || cx.dtype(u) != cx.dtype(x) {
        return Err(Refusal::invalid(
            "its data, indices and updates do not match",
        ));
    }
    let op = ScatterElements {
        axis: axis as i32,
        reduction: reduction(cx)?,
    };
    let ty = cx.ty(x);
    let y = cx.emit(op, &[x, i, u], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn scatter_nd(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, i, u) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let i = indices(cx, i);
    if cx.rank(i) == 0 || cx.dtype(u) != cx.dtype(x) {
        return Err(Refusal::invalid(
            "its data, indices and updates do not match",
        ));
    }
    let op = ScatterNd {
        reduction: reduction(cx)?,
    };
    let ty = cx.ty(x);
    let y = cx.emit(op, &[x, i, u], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn compress(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (mut x, condition) = (cx.input(0)?, cx.input(1)?);
    let mut axis = -1i32;
    match cx.int("axis")? {
        Some(a) => axis = cx.axis(a, cx.rank(x))? as i32,
        None => {
            let shape = cx.shape(x);
            let n = cx.graph().dim_product(&shape);
            x = cx.reshape(x, &[n]);
        }
    }
    let along = axis.max(0) as usize;
    if let Ok(flags) = cx.const_i64(condition) {
        let chosen: Vec<i64> = (0..flags.len() as i64)
            .filter(|&i| flags[i as usize] != 0)
            .collect();
        let chosen = cx.const_list(&chosen);
        let y = gather_at(cx, x, chosen, along)?;
        cx.set_output(0, y);
        return Ok(());
    }
    let mut shape = cx.shape(x);
    let length = cx.shape(condition).first().copied().unwrap_or(Dim::ONE);
    let bound = cx.graph().dim_min(length, shape[along]);
    shape[along] = runtime_dim(cx, bound);
    let ty = cx.typed(cx.dtype(x), &shape)?;
    let y = cx.emit(Compress { axis }, &[x, condition], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn non_zero(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let rank = shape.len().max(1);
    let flags: Option<Vec<bool>> = match cx.const_i64(x) {
        Ok(v) => Some(v.iter().map(|&v| v != 0).collect()),
        Err(_) => cx
            .as_const_f32(x)
            .map(|v| v.iter().map(|&v| v != 0.0).collect()),
    };
    if let (Some(flags), Some(fixed)) = (flags, cx.ty(x).fixed_shape()) {
        let fixed = if fixed.is_empty() { vec![1] } else { fixed };
        let found: Vec<usize> = (0..flags.len()).filter(|&i| flags[i]).collect();
        let mut list = Vec::with_capacity(found.len() * rank);
        for axis in 0..rank {
            let inner: usize = fixed[axis + 1..].iter().product();
            list.extend(found.iter().map(|i| (i / inner % fixed[axis]) as i64));
        }
        let bytes = list.iter().flat_map(|v| v.to_le_bytes()).collect();
        let y = cx.constant(Type::fixed(DType::I64, &[rank, found.len()]), bytes);
        cx.set_output(0, y);
        return Ok(());
    }
    let bound = cx.graph().dim_product(&shape);
    let count = runtime_dim(cx, bound);
    let ty = cx.typed(DType::I64, &[Dim(rank as i32), count])?;
    let y = cx.emit(NonZero {}, &[x], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn unique(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut x = cx.input(0)?;
    let sorted = cx.int_or("sorted", 1)? != 0;
    let mut axis = -1i32;
    match cx.int("axis")? {
        Some(a) => axis = cx.axis(a, cx.rank(x))? as i32,
        None => {
            let shape = cx.shape(x);
            let n = cx.graph().dim_product(&shape);
            x = cx.reshape(x, &[n]);
        }
    }
    let along = axis.max(0) as usize;
    let mut shape = cx.shape(x);
    let length = shape[along];
    let count = runtime_dim(cx, length);
    shape[along] = count;
    let counts = cx.typed(DType::I64, &[count])?;
    let types = [
        Some(cx.typed(cx.dtype(x), &shape)?),
        cx.has_output(1).then(|| counts.clone()),
        cx.has_output(2).then(|| Type::new(DType::I64, &[length])),
        cx.has_output(3).then_some(counts),
    ];
    let outputs = cx.emit_n(Unique { axis, sorted }, &[Some(x)], &types);
    for (i, v) in outputs.into_iter().enumerate() {
        if let Some(v) = v {
            cx.set_output(i, v);
        }
    }
    Ok(())
}

pub(super) fn top_k(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let axis = cx.int_or("axis", -1)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    let k = match cx.int("k")? {
        Some(k) => cx.graph().dim_const(k),
        None => {
            let k = cx.input(1)?;
            *cx.dim_list(k)?
                .first()
                .ok_or_else(|| Refusal::invalid("its k is empty"))?
        }
    };
    let mut shape = cx.shape(x);
    if let (Some(k), Some(n)) = (cx.graph().dim_value(k), cx.graph().dim_value(shape[axis]))
        && !(0..=n).contains(&k)
    {
        return Err(Refusal::invalid(format!("it takes {k} of {n} elements")));
    }
    shape[axis] = k;
    let op = TopK {
        axis: axis as i32,
        largest: cx.int_or("largest", 1)? != 0,
        sorted: cx.int_or("sorted", 1)? != 0,
    };
    let types = [
        Some(cx.typed(cx.dtype(x), &shape)?),
        Some(cx.typed(DType::I64, &shape)?),
    ];
    for (i, v) in cx.emit_n(op, &[Some(x)], &types).into_iter().enumerate() {
        if let Some(v) = v {
            cx.set_output(i, v);
        }
    }
    Ok(())
}

pub(super) fn non_max_suppression(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    let (b, s) = (cx.shape(boxes), cx.shape(scores));
    if b.len() != 3
        || s.len() != 3
        || cx.dtype(boxes) != DType::F32
        || cx.dtype(scores) != DType::F32
    {
        return Err(Refusal::invalid(
            "its boxes and scores are not [B,N,4] and [B,C,N] of f32",
        ));
    }
    let per_class = cx.opt_input(2)?;
    let mut most = b[1];
    if let Some(v) = per_class
        && let Ok(list) = cx.const_i64(v)
    {
        let k = cx
            .graph()
            .dim_const(list.first().copied().unwrap_or(0).clamp(0, i32::MAX as i64));
        most = cx.graph().dim_min(most, k);
    }
    let bound = cx.graph().dim_product(&[s[0], s[1], most]);
    let count = runtime_dim(cx, bound);
    let inputs = [
        Some(boxes),
        Some(scores),
        per_class,
        cx.opt_input(3)?,
        cx.opt_input(4)?,
    ];
    let op = NonMaxSuppression {
        center_point_box: cx.int_or("center_point_box", 0)? != 0,
    };
    let ty = cx.typed(DType::I64, &[count, Dim(3)])?;
    let y = cx.emit_n(op, &inputs, &[Some(ty)])[0].expect("one output is asked for");
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn one_hot(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (i, depth, values) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let i = indices(cx, i);
    let depth = match cx.as_const_f32(depth) {
        Some(list) => cx.graph().dim_const(list.first().map_or(0, |&d| d as i64)),
        None => *cx
            .dim_list(depth)?
            .first()
            .ok_or_else(|| Refusal::invalid("its depth is empty"))?,
    };
    let mut shape = cx.shape(i);
    let axis = cx.int_or("axis", -1)?;
    let axis = cx.axis(axis, shape.len() + 1)?;
    shape.insert(axis, depth);
    let ty = cx.typed(cx.dtype(values), &shape)?;
    let y = cx.emit(OneHot { axis: axis as i32 }, &[i, values], ty);
    cx.set_output(0, y);
    Ok(())
}
