//! Movement: parts of tensors, joined, padded, permuted.

use super::super::NodeCx;
use super::super::build::axes;
use super::super::error::Refusal;
use super::shape::axes_of;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    Cumulative, Pad, PadMode, ReverseSequence, Slice, TensorScatter, Trilu, Where,
};
use cygnet_format::{DType, Dim, Dims};

/// Start or end of a slice as a position: negatives count from the end. The sign must be known.
fn position(cx: &mut NodeCx<'_>, at: Dim, length: Dim, what: &str) -> Result<Dim, Refusal> {
    let (lo, hi) = cx.graph().dim_bounds(at);
    if lo >= 0 {
        Ok(at)
    } else if hi < 0 {
        Ok(cx.graph().dim_add(at, length))
    } else {
        Err(Refusal::unsupported(format!(
            "the sign of its {what} is not known at compile time"
        )))
    }
}

pub(super) fn slice(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let (starts, ends, over, steps);
    if cx.opset() < 10 {
        let list = |cx: &mut NodeCx<'_>, name: &str| -> Result<Vec<Dim>, Refusal> {
            let list = cx
                .ints(name)?
                .ok_or_else(|| Refusal::invalid(format!("its attribute '{name}' is missing")))?;
            Ok(list.into_iter().map(|v| cx.graph().dim_const(v)).collect())
        };
        (starts, ends) = (list(cx, "starts")?, list(cx, "ends")?);
        over = cx.ints("axes")?;
        steps = None;
    } else {
        let (s, e) = (cx.input(1)?, cx.input(2)?);
        (starts, ends) = (cx.dim_list(s)?, cx.dim_list(e)?);
        over = cx.opt_input(3)?.map(|v| cx.const_i64(v)).transpose()?;
        steps = cx.opt_input(4)?.map(|v| cx.const_i64(v)).transpose()?;
    }
    let over = over.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || over.len() != starts.len() || steps.len() != starts.len() {
        return Err(Refusal::invalid(
            "its starts, ends, axes and steps differ in length",
        ));
    }
    let mut shape = cx.shape(x);
    let mut from = vec![Dim(0); rank];
    let mut by = vec![1i64; rank];
    let mut seen = Vec::new();
    for i in 0..starts.len() {
        let axis = cx.axis(over[i], rank)?;
        if seen.contains(&axis) {
            return Err(Refusal::invalid(format!("axis {axis} is listed twice")));
        }
        seen.push(axis);
        let length = shape[axis];
        let step = steps[i].clamp(-(i32::MAX as i64), i32::MAX as i64);
        let start = position(cx, starts[i], length, "start")?;
        let end = position(cx, ends[i], length, "end")?;
        let g = cx.graph();
        let span = match step {
            0 => return Err(Refusal::invalid("a slice has a step of zero")),
            1.. => {
                let start = g.dim_max(start, Dim(0));
                from[axis] = g.dim_min(start, length);
                let end = g.dim_max(end, Dim(0));
                let end = g.dim_min(end, length);
                g.dim_sub(end, from[axis])
            }
            _ => {
                let last = g.dim_sub(length, Dim::ONE);
                let minus = g.dim_const(-1);
                let start = g.dim_max(start, minus);
                let start = g.dim_min(start, last);
                from[axis] = g.dim_max(start, Dim(0));
                let end = g.dim_max(end, minus);
                let end = g.dim_min(end, last);
                g.dim_sub(start, end)
            }
        };
        let by_len = g.dim_const(step.abs());
        let count = g.dim_ceil_div(span, by_len);
        shape[axis] = g.dim_max(count, Dim(0));
        by[axis] = step;
    }
    if shape == cx.shape(x) && by.iter().all(|&s| s == 1) && from.iter().all(|&f| f == Dim(0)) {
        cx.set_output(0, x);
        return Ok(());
    }
    let ty = cx.typed(cx.dtype(x), &shape)?;
    let starts = Dims::new(&from).ok_or_else(|| Refusal::unsupported("too many axes"))?;
    let y = cx.emit(
        Slice {
            starts,
            steps: axes(by)?,
        },
        &[x],
        ty,
    );
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn split(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let axis = cx.int_or("axis", 0)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    let length = cx.shape(x)[axis];
    let given = match cx.ints("split")? {
        Some(list) => Some(list.into_iter().map(|v| cx.graph().dim_const(v)).collect()),
        None => cx.opt_input(1)?.map(|v| cx.dim_list(v)).transpose()?,
    };
    let parts: Vec<Dim> = match given {
        Some(parts) => parts,
        None => {
            let n = cx.int_or("num_outputs", cx.n_outputs() as i64)?;
            if n < 1 || n > cx.n_outputs().max(1) as i64 {
                return Err(Refusal::invalid(format!("it splits into {n} parts")));
            }
            let count = cx.graph().dim_const(n);
            let part = cx.graph().dim_ceil_div(length, count);
            let before = cx.graph().dim_const(n - 1);
            let before = cx.graph().dim_mul(part, before);
            let last = cx.graph().dim_sub(length, before);
            (0..n)
                .map(|i| if i == n - 1 { last } else { part })
                .collect()
        }
    };
    if parts.len() < cx.n_outputs() {
        return Err(Refusal::invalid(format!(
            "{} parts for {} outputs",
            parts.len(),
            cx.n_outputs()
        )));
    }
    let sum = parts.iter().fold(Dim(0), |a, &p| cx.graph().dim_add(a, p));
    if let (Some(a), Some(b)) = (cx.graph().dim_value(sum), cx.graph().dim_value(length))
        && a != b
    {
        return Err(Refusal::invalid(format!("its parts make {a} of {b}")));
    }
    let mut start = Dim(0);
    for (i, part) in parts.into_iter().enumerate() {
        let end = cx.graph().dim_add(start, part);
        if cx.has_output(i) {
            let y = cx.slice(x, axis, start, end, 1)?;
            cx.set_output(i, y);
        }
        start = end;
    }
    Ok(())
}

pub(super) fn pad(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let (pads, value, over);
    if cx.opset() < 11 {
        let name = if cx.opset() < 2 { "paddings" } else { "pads" };
        let list = cx
            .ints(name)?
            .ok_or_else(|| Refusal::invalid("its pads are missing"))?;
        pads = list
            .into_iter()
            .map(|v| cx.graph().dim_const(v))
            .collect::<Vec<_>>();
        let fill = cx.float_or("value", 0.0)?;
        value = (fill != 0.0).then(|| cx.scalar(fill, cx.dtype(x)));
        over = None;
    } else {
        let p = cx.input(1)?;
        pads = cx.dim_list(p)?;
        value = cx.opt_input(2)?;
        over = axes_of(cx, 3, rank)?;
    }
    let over = over.unwrap_or_else(|| (0..rank).collect());
    if pads.len() != 2 * over.len() {
        return Err(Refusal::invalid(format!(
            "{} pads for {} axes",
            pads.len(),
            over.len()
        )));
    }
    let mode = match cx.str_or("mode", "constant")?.as_str() {
        "constant" => PadMode::Constant,
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => {
            return Err(Refusal::unsupported(format!(
                "the padding mode '{other}' is unknown"
            )));
        }
    };
    let mut before = vec![Dim(0); rank];
    let mut after = vec![Dim(0); rank];
    let mut y = x;
    for (i, &axis) in over.iter().enumerate() {
        let (mut b, mut a) = (pads[i], pads[i + over.len()]);
        let crop = |cx: &mut NodeCx<'_>, d: &mut Dim| -> Result<Dim, Refusal> {
            let (lo, hi) = cx.graph().dim_bounds(*d);
            if lo >= 0 {
                return Ok(Dim(0));
            }
            if hi > 0 {
                return Err(Refusal::unsupported(
                    "the sign of its pads is not known at compile time",
                ));
            }
            let cut = cx.graph().dim_sub(Dim(0), *d);
            *d = Dim(0);
            Ok(cut)
        };
        let (cut_b, cut_a) = (crop(cx, &mut b)?, crop(cx, &mut a)?);
        let length = cx.shape(y)[axis];
        let end = cx.graph().dim_sub(length, cut_a);
        y = cx.slice(y, axis, cut_b, end, 1)?;
        (before[axis], after[axis]) = (b, a);
    }
    let mut shape = cx.shape(y);
    for i in 0..rank {
        let d = cx.graph().dim_add(shape[i], before[i]);
        shape[i] = cx.graph().dim_add(d, after[i]);
    }
    if shape != cx.shape(y) {
        let mut inputs = vec![y];
        if let Some(v) = value.filter(|_| mode == PadMode::Constant) {
            if cx.dtype(v) != cx.dtype(x) {
                return Err(Refusal::invalid("its value and its input differ in type"));
            }
            let v = cx.reshape(v, &[]);
            inputs.push(v);
        }
        let ty = cx.typed(cx.dtype(x), &shape)?;
        let before = Dims::new(&before).ok_or_else(|| Refusal::unsupported("too many axes"))?;
        y = cx.emit(Pad { before, mode }, &inputs, ty);
    }
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn where_select(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (c, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    if cx.dtype(c) != DType::Bool || cx.dtype(x) != cx.dtype(y) {
        return Err(Refusal::invalid(
            "its condition is not boolean, or its operands differ in type",
        ));
    }
    let shape = cx.broadcast(&cx.shape(x), &cx.shape(y))?;
    let shape = cx.broadcast(&shape, &cx.shape(c))?;
    let ty = cx.typed(cx.dtype(x), &shape)?;
    let z = cx.emit(Where {}, &[c, x, y], ty);
    cx.set_output(0, z);
    Ok(())
}

pub(super) fn trilu(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    if cx.rank(x) < 2 {
        return Err(Refusal::invalid("its input has fewer than two axes"));
    }
    let upper = cx.int_or("upper", 1)? != 0;
    let mut inputs = vec![x];
    inputs.extend(cx.opt_input(1)?);
    let ty = cx.ty(x);
    let y = cx.emit(Trilu { upper }, &inputs, ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn reverse_sequence(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, lengths) = (cx.input(0)?, cx.input(1)?);
    let (batch, time) = (cx.int_or("batch_axis", 1)?, cx.int_or("time_axis", 0)?);
    let (batch, time) = (cx.axis(batch, cx.rank(x))?, cx.axis(time, cx.rank(x))?);
    let op = ReverseSequence {
        batch_axis: batch as i32,
        time_axis: time as i32,
    };
    let ty = cx.ty(x);
    let y = cx.emit(op, &[x, lengths], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn cumulative(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, axis) = (cx.input(0)?, cx.input(1)?);
    let axis = *cx
        .const_i64(axis)?
        .first()
        .ok_or_else(|| Refusal::invalid("its axis is empty"))?;
    let op = Cumulative {
        axis: cx.axis(axis, cx.rank(x))? as i32,
        exclusive: cx.int_or("exclusive", 0)? != 0,
        reverse: cx.int_or("reverse", 0)? != 0,
        product: cx.op_type() == "CumProd",
    };
    let ty = cx.ty(x);
    let y = cx.emit(op, &[x], ty);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn tensor_scatter(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, update) = (cx.input(0)?, cx.input(1)?);
    let axis = cx.int_or("axis", -2)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    if cx.rank(update) != cx.rank(x) || cx.dtype(update) != cx.dtype(x) || axis == 0 {
        return Err(Refusal::invalid("its cache and its update do not match"));
    }
    let circular = match cx.str_or("mode", "linear")?.as_str() {
        "linear" => false,
        "circular" => true,
        other => {
            return Err(Refusal::unsupported(format!(
                "the mode '{other}' is unknown"
            )));
        }
    };
    let mut inputs = vec![x, update];
    inputs.extend(cx.opt_input(2)?);
    let ty = cx.ty(x);
    let y = cx.emit(
        TensorScatter {
            axis: axis as i32,
            circular,
        },
        &inputs,
        ty,
    );
    cx.set_output(0, y);
    Ok(())
}

/// `[N, C, H, W]` of an operator that moves blocks between depth and space, and its block size.
fn blocks(cx: &mut NodeCx<'_>) -> Result<(ValueId, [Dim; 4], Dim, i64), Refusal> {
    let x = cx.input(0)?;
    let size = cx.int_or("blocksize", 0)?;
    let Ok([n, c, h, w]) = <[Dim; 4]>::try_from(cx.shape(x)) else {
        return Err(Refusal::invalid("its input has not four axes"));
    };
    if !(1..=4096).contains(&size) {
        return Err(Refusal::invalid(format!("its block size is {size}")));
    }
    Ok((x, [n, c, h, w], Dim(size as i32), size))
}

fn divides(cx: &mut NodeCx<'_>, d: Dim, by: i64) -> Result<Dim, Refusal> {
    if cx.graph().dim_value(d).is_some_and(|v| v % by != 0) {
        return Err(Refusal::invalid(format!("an axis is no multiple of {by}")));
    }
    let by = cx.graph().dim_const(by);
    Ok(cx.graph().dim_floor_div(d, by))
}

pub(super) fn depth_to_space(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, [n, c, h, w], b, size) = blocks(cx)?;
    let depth = divides(cx, c, size * size)?;
    let (tall, wide) = (cx.graph().dim_mul(h, b), cx.graph().dim_mul(w, b));
    let (shape, perm) = match cx.str_or("mode", "DCR")?.as_str() {
        "DCR" => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => {
            return Err(Refusal::unsupported(format!(
                "the mode '{other}' is unknown"
            )));
        }
    };
    let y = cx.reshape(x, &shape);
    let y = cx.transpose(y, &perm);
    let y = cx.reshape(y, &[n, depth, tall, wide]);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn space_to_depth(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, [n, c, h, w], b, size) = blocks(cx)?;
    let (low, narrow) = (divides(cx, h, size)?, divides(cx, w, size)?);
    let depth = cx.graph().dim_product(&[c, b, b]);
    let y = cx.reshape(x, &[n, c, low, b, narrow, b]);
    let y = cx.transpose(y, &[0, 3, 5, 1, 2, 4]);
    let y = cx.reshape(y, &[n, depth, low, narrow]);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn center_crop_pad(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, target) = (cx.input(0)?, cx.input(1)?);
    let target = cx.dim_list(target)?;
    let rank = cx.rank(x);
    let over = match cx.ints("axes")? {
        Some(list) => list
            .into_iter()
            .map(|a| cx.axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if over.len() != target.len() {
        return Err(Refusal::invalid(format!(
            "{} lengths for {} axes",
            target.len(),
            over.len()
        )));
    }
    let mut y = x;
    for (&axis, &want) in over.iter().zip(&target) {
        let mut shape = cx.shape(y);
        let have = shape[axis];
        let ((hl, hh), (wl, wh)) = (cx.graph().dim_bounds(have), cx.graph().dim_bounds(want));
        if hl >= wh {
            let spare = cx.graph().dim_sub(have, want);
            let start = cx.graph().dim_floor_div(spare, Dim(2));
            let end = cx.graph().dim_add(start, want);
            y = cx.slice(y, axis, start, end, 1)?;
        } else if hh <= wl {
            let spare = cx.graph().dim_sub(want, have);
            let lead = cx.graph().dim_floor_div(spare, Dim(2));
            shape[axis] = want;
            let before: Dims = (0..rank)
                .map(|i| if i == axis { lead } else { Dim(0) })
                .collect();
            let ty = cx.typed(cx.dtype(y), &shape)?;
            y = cx.emit(
                Pad {
                    before,
                    mode: PadMode::Constant,
                },
                &[y],
                ty,
            );
        } else {
            return Err(Refusal::unsupported(format!(
                "whether axis {axis} is cropped or padded depends on the input"
            )));
        }
    }
    cx.set_output(0, y);
    Ok(())
}

/// Every element of `ty` the same.
pub(super) fn fill(cx: &mut NodeCx<'_>, scalar: ValueId, ty: &Type) -> Result<ValueId, Refusal> {
    let scalar = cx.reshape(scalar, &[]);
    cx.expand(scalar, &ty.shape)
}

pub(super) fn dropout(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    if cx.opset() >= 12
        && let Some(mode) = cx.opt_input(2)?
        && cx.const_i64(mode)?.first().is_some_and(|&m| m != 0)
    {
        let ratio = match cx.opt_input(1)? {
            Some(r) => cx.const_f32(r)?.first().copied().unwrap_or(0.5),
            None => 0.5,
        };
        if ratio != 0.0 {
            return Err(Refusal::unsupported(
                "it drops elements at random: the model was exported for training",
            )
            .remedy("export the model in evaluation mode"));
        }
    }
    cx.set_output(0, x);
    if cx.has_output(1) {
        let dtype = if cx.opset() >= 10 {
            DType::Bool
        } else {
            cx.dtype(x)
        };
        let one = cx.scalar(1.0, dtype);
        let ty = Type {
            dtype,
            shape: cx.ty(x).shape,
        };
        let mask = fill(cx, one, &ty)?;
        cx.set_output(1, mask);
    }
    Ok(())
}
