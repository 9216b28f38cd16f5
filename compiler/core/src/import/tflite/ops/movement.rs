//! Movement: tensors joined, padded, gathered, and blocks moved between axes.

use super::super::cx::{OpCx, int, text};
use super::slice::reversed;
use crate::import::error::Refusal;
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Pad, PadMode};
use cygnet_format::{DType, Dim};

/// `CONCATENATION`. Operands of other parameters than the result's are quantised again.
pub(super) fn concatenation(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let act = cx.option::<i8>(1, 0)?;
    let to = cx.quantised_output(0)?;
    let mut values = Vec::new();
    for i in 0..cx.n_inputs() {
        let q = cx.quantised(i)?;
        values.push(match &to {
            Some(to) if act == 0 && q.as_ref() == Some(to) => cx.input(i)?,
            Some(to) if act == 0 => {
                let (x, dtype) = (cx.float(i)?, cx.output_type(0)?);
                cx.quantise(x, to, dtype)?
            }
            _ => cx.wide(i)?,
        });
    }
    let Some(&first) = values.first() else {
        return Err(Refusal::invalid("it has no inputs"));
    };
    let axis = cx.axis(i64::from(cx.option::<i32>(0, 0)?), cx.rank(first))?;
    let y = cx.concat(&values, axis)?;
    if to.is_some() && act == 0 {
        cx.set_output(0, y);
        return Ok(());
    }
    let y = cx.activate(y, act)?;
    cx.put(0, y)
}

/// `PACK`: operands joined along a new axis.
pub(super) fn pack(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let q = cx.quantised(0)?;
    let mut values = Vec::new();
    let mut axis = 0;
    for i in 0..cx.n_inputs() {
        let v = cx.input(i)?;
        let mut shape = cx.shape(v);
        axis = cx.axis(i64::from(cx.option::<i32>(1, 0)?), shape.len() + 1)?;
        shape.insert(axis, Dim::ONE);
        cx.typed(cx.dtype(v), &shape)?;
        values.push(cx.reshape(v, &shape));
    }
    let y = cx.concat(&values, axis)?;
    cx.put_moved(0, y, &q)
}

/// Rows of `[begin, end]`, one an axis.
fn rows(cx: &mut OpCx<'_, '_>, i: usize, axes: usize) -> Result<Vec<(Dim, Dim)>, Refusal> {
    let list = cx.dims(i)?;
    if list.len() != 2 * axes {
        return Err(Refusal::invalid(format!(
            "{} paddings for {axes} axes",
            list.len()
        )));
    }
    if let Some(&bad) = list.iter().find(|&&d| cx.cx.graph().dim_bounds(d).0 < 0) {
        return Err(Refusal::invalid(format!("a padding of {bad:?}")));
    }
    Ok(list.chunks(2).map(|row| (row[0], row[1])).collect())
}

/// `x` with elements of `value` around it.
fn padded(
    cx: &mut OpCx<'_, '_>,
    x: ValueId,
    rows: &[(Dim, Dim)],
    value: ValueId,
) -> Result<ValueId, Refusal> {
    let mut shape = cx.shape(x);
    for (d, &(begin, end)) in shape.iter_mut().zip(rows) {
        let sum = cx.graph().dim_add(*d, begin);
        *d = cx.graph().dim_add(sum, end);
    }
    if shape == cx.shape(x) {
        return Ok(x);
    }
    let op = Pad {
        before: rows.iter().map(|r| r.0).collect(),
        mode: PadMode::Constant,
    };
    let ty = cx.typed(cx.dtype(x), &shape)?;
    Ok(cx.emit(op, &[x, value], ty))
}

/// The integer of zero, or zero itself.
fn zero(cx: &mut OpCx<'_, '_>, i: usize, dtype: DType) -> Result<ValueId, Refusal> {
    let zero = match cx.quantised(i)? {
        Some(q) => q.zeros.first().copied().unwrap_or(0),
        None => 0,
    };
    Ok(cx.scalar(zero as f32, dtype))
}

/// `PAD`: input, paddings; `PADV2`: the value too.
pub(super) fn pad(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let (rank, dtype) = (cx.rank(x), cx.dtype(x));
    let rows = rows(cx, 1, rank)?;
    let value = if cx.has_input(2) {
        let v = cx.input(2)?;
        if cx.dtype(v) != cx.dtype(x) || cx.ty(v).fixed_len() != Some(1) || cx.quantised(2)? != q {
            return Err(Refusal::unsupported(
                "its value has another type or scale than its input",
            ));
        }
        cx.reshape(v, &[])
    } else {
        zero(cx, 0, dtype)?
    };
    let y = padded(cx, x, &rows, value)?;
    cx.put_moved(0, y, &q)
}

/// `MIRROR_PAD`: input, paddings; the edge is repeated (SYMMETRIC) or not (REFLECT).
pub(super) fn mirror_pad(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let rank = cx.rank(x);
    let rows = rows(cx, 1, rank)?;
    let skip = match cx.option::<i8>(0, 0)? {
        0 => Dim::ONE,
        1 => Dim(0),
        other => return Err(Refusal::invalid(format!("a mode of {other}"))),
    };
    let mut y = x;
    for (axis, &(begin, end)) in rows.iter().enumerate() {
        let length = cx.shape(y)[axis];
        let mut parts = Vec::new();
        if begin != Dim(0) {
            let to = cx.graph().dim_add(begin, skip);
            inside(cx, to, length)?;
            let part = cx.slice(y, axis, skip, to, 1)?;
            parts.push(reversed(cx, part, axis)?);
        }
        parts.push(y);
        if end != Dim(0) {
            let to = cx.graph().dim_sub(length, skip);
            let from = cx.graph().dim_sub(to, end);
            let reach = cx.graph().dim_add(end, skip);
            inside(cx, reach, length)?;
            let part = cx.slice(y, axis, from, to, 1)?;
            parts.push(reversed(cx, part, axis)?);
        }
        y = cx.concat(&parts, axis)?;
    }
    cx.put_moved(0, y, &q)
}

/// Refuses a mirror that may reach beyond its axis.
fn inside(cx: &mut OpCx<'_, '_>, reach: Dim, length: Dim) -> Result<(), Refusal> {
    let room = cx.graph().dim_sub(length, reach);
    if cx.graph().dim_bounds(room).0 < 0 {
        return Err(Refusal::invalid(format!(
            "its padding reaches over {reach:?} of an axis of {length:?}"
        )));
    }
    Ok(())
}

/// `GATHER`: input, indices. With batch axes it is `GATHER_ND` over the axis behind them.
pub(super) fn gather(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, indices, q) = (cx.input(0)?, cx.input(1)?, cx.quantised(0)?);
    let axis = cx.axis(i64::from(cx.option::<i32>(0, 0)?), cx.rank(x))?;
    let batch = cx.option::<i32>(1, 0)?;
    let y = if batch == 0 {
        cx.onnx("Gather", vec![int("axis", axis as i64)], &[x, indices], 1)?[0]
    } else {
        let batch = cx.axis(i64::from(batch), cx.rank(indices) + 1)?;
        if batch != axis {
            return Err(
                Refusal::unsupported(format!("{batch} batch axes before axis {axis}"))
                    .remedy("gather along the axis that follows the batch axes"),
            );
        }
        let mut shape = cx.shape(indices);
        shape.push(Dim::ONE);
        cx.typed(DType::I64, &shape)?;
        let indices = cx.reshape(indices, &shape);
        let attributes = vec![int("batch_dims", batch as i64)];
        cx.onnx("GatherND", attributes, &[x, indices], 1)?[0]
    };
    cx.put_moved(0, y, &q)
}

/// `GATHER_ND`: input, indices.
pub(super) fn gather_nd(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, indices, q) = (cx.input(0)?, cx.input(1)?, cx.quantised(0)?);
    let y = cx.onnx("GatherND", vec![], &[x, indices], 1)?[0];
    cx.put_moved(0, y, &q)
}

/// `EMBEDDING_LOOKUP`: indices, table.
pub(super) fn embedding_lookup(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (indices, table) = (cx.input(0)?, cx.wide(1)?);
    let y = cx.onnx("Gather", vec![int("axis", 0)], &[table, indices], 1)?[0];
    cx.put(0, y)
}

/// `SCATTER_ND`: indices, updates, shape; updates of one place add up.
pub(super) fn scatter_nd(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (indices, updates) = (cx.input(0)?, cx.wide(1)?);
    let shape = cx.dims(2)?;
    let dtype = cx.dtype(updates);
    cx.typed(dtype, &shape)?;
    let zero = cx.scalar(0.0, dtype);
    let base = cx.expand(zero, &shape)?;
    let attributes = vec![text("reduction", "add")];
    let y = cx.onnx("ScatterND", attributes, &[base, indices, updates], 1)?[0];
    cx.put(0, y)
}

/// `ONE_HOT`: indices, depth, value where hot, value elsewhere.
pub(super) fn one_hot(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (indices, depth) = (cx.input(0)?, cx.input(1)?);
    let q = cx.quantised(2)?;
    let mut values = Vec::new();
    for i in [3, 2] {
        let v = cx.input(i)?;
        if cx.ty(v).fixed_len() != Some(1) {
            return Err(Refusal::invalid("a value is not a single number"));
        }
        values.push(cx.reshape(v, &[Dim::ONE]));
    }
    let values = cx.concat(&values, 0)?;
    let axis = i64::from(cx.option::<i32>(0, 0)?);
    let y = cx.onnx(
        "OneHot",
        vec![int("axis", axis)],
        &[indices, depth, values],
        1,
    )?[0];
    cx.put_moved(0, y, &q)
}

/// `REVERSE_SEQUENCE`: input, lengths.
pub(super) fn reverse_sequence(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, lengths, q) = (cx.input(0)?, cx.input(1)?, cx.quantised(0)?);
    let lengths = cx.cast(lengths, DType::I64);
    let attributes = vec![
        int("time_axis", i64::from(cx.option::<i32>(0, 0)?)),
        int("batch_axis", i64::from(cx.option::<i32>(1, 0)?)),
    ];
    let y = cx.onnx("ReverseSequence", attributes, &[x, lengths], 1)?[0];
    cx.put_moved(0, y, &q)
}

/// `[N, H, W, C]` and the size of blocks.
fn blocks(cx: &mut OpCx<'_, '_>) -> Result<(ValueId, [Dim; 4], i64), Refusal> {
    let x = cx.input(0)?;
    let size = i64::from(cx.option::<i32>(0, 0)?);
    let Ok(shape) = <[Dim; 4]>::try_from(cx.shape(x)) else {
        return Err(Refusal::invalid("its input has not four axes"));
    };
    if !(1..=4096).contains(&size) {
        return Err(Refusal::invalid(format!("its block size is {size}")));
    }
    Ok((x, shape, size))
}

/// `d / by`, which must divide it.
fn divided(cx: &mut OpCx<'_, '_>, d: Dim, by: i64) -> Result<Dim, Refusal> {
    if cx.graph().dim_value(d).is_some_and(|v| v % by != 0) {
        return Err(Refusal::invalid(format!(
            "an axis of {d:?} is no multiple of {by}"
        )));
    }
    let by = cx.graph().dim_const(by);
    Ok(cx.graph().dim_floor_div(d, by))
}

fn times(cx: &mut OpCx<'_, '_>, d: Dim, by: i64) -> Dim {
    let by = cx.graph().dim_const(by);
    cx.graph().dim_mul(d, by)
}

/// `DEPTH_TO_SPACE`.
pub(super) fn depth_to_space(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, [n, h, w, c], b) = blocks(cx)?;
    let q = cx.quantised(0)?;
    let depth = divided(cx, c, b * b)?;
    let block = Dim(b as i32);
    let (tall, wide) = (times(cx, h, b), times(cx, w, b));
    let y = cx.reshape(x, &[n, h, w, block, block, depth]);
    let y = cx.transpose(y, &[0, 1, 3, 2, 4, 5]);
    let y = cx.reshape(y, &[n, tall, wide, depth]);
    cx.put_moved(0, y, &q)
}

/// `SPACE_TO_DEPTH`.
pub(super) fn space_to_depth(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, [n, h, w, c], b) = blocks(cx)?;
    let q = cx.quantised(0)?;
    let (low, narrow) = (divided(cx, h, b)?, divided(cx, w, b)?);
    let block = Dim(b as i32);
    let depth = times(cx, c, b * b);
    let y = cx.reshape(x, &[n, low, block, narrow, block, c]);
    let y = cx.transpose(y, &[0, 1, 3, 2, 4, 5]);
    let y = cx.reshape(y, &[n, low, narrow, depth]);
    cx.put_moved(0, y, &q)
}

/// The block sizes of the spatial axes, which follow the batch.
fn block_shape(cx: &mut OpCx<'_, '_>, rank: usize) -> Result<Vec<i64>, Refusal> {
    let blocks = cx.integers(1)?;
    if blocks.is_empty() || blocks.len() >= rank || blocks.len() > 3 {
        return Err(Refusal::invalid(format!(
            "{} block sizes for {rank} axes",
            blocks.len()
        )));
    }
    match blocks.iter().find(|b| !(1..=1 << 16).contains(*b)) {
        Some(bad) => Err(Refusal::invalid(format!("a block size of {bad}"))),
        None => Ok(blocks),
    }
}

/// `SPACE_TO_BATCH_ND`: input, block sizes, paddings.
pub(super) fn space_to_batch(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let (rank, dtype) = (cx.rank(x), cx.dtype(x));
    let blocks = block_shape(cx, rank)?;
    let m = blocks.len();
    let mut around = vec![(Dim(0), Dim(0))];
    around.extend(rows(cx, 2, m)?);
    let value = zero(cx, 0, dtype)?;
    around.resize(rank, (Dim(0), Dim(0)));
    let x = padded(cx, x, &around, value)?;
    let shape = cx.shape(x);
    let (mut split, mut merged) = (vec![shape[0]], vec![shape[0]]);
    for (&b, &d) in blocks.iter().zip(&shape[1..]) {
        let part = divided(cx, d, b)?;
        split.extend([part, Dim(b as i32)]);
        merged.push(part);
        merged[0] = times(cx, merged[0], b);
    }
    split.extend(&shape[1 + m..]);
    merged.extend(&shape[1 + m..]);
    let rank = split.len();
    let perm: Vec<usize> = (0..m)
        .map(|i| 2 + 2 * i)
        .chain([0])
        .chain((0..m).map(|i| 1 + 2 * i))
        .chain(1 + 2 * m..rank)
        .collect();
    cx.typed(cx.dtype(x), &split)?;
    let y = cx.reshape(x, &split);
    let y = cx.transpose(y, &perm);
    let y = cx.reshape(y, &merged);
    cx.put_moved(0, y, &q)
}

/// `BATCH_TO_SPACE_ND`: input, block sizes, crops.
pub(super) fn batch_to_space(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let shape = cx.shape(x);
    let blocks = block_shape(cx, shape.len())?;
    let m = blocks.len();
    let crops = rows(cx, 2, m)?;
    let all: i64 = blocks.iter().product();
    let batch = divided(cx, shape[0], all)?;
    let mut split: Vec<Dim> = blocks.iter().map(|&b| Dim(b as i32)).collect();
    split.push(batch);
    split.extend(&shape[1..]);
    let mut merged = vec![batch];
    for (&b, &d) in blocks.iter().zip(&shape[1..]) {
        merged.push(times(cx, d, b));
    }
    merged.extend(&shape[1 + m..]);
    let perm: Vec<usize> = [m]
        .into_iter()
        .chain((0..m).flat_map(|i| [m + 1 + i, i]))
        .chain(2 * m + 1..split.len())
        .collect();
    let ty: Type = cx.typed(cx.dtype(x), &split)?;
    let y = cx.reshape(x, &ty.shape);
    let y = cx.transpose(y, &perm);
    let mut y = cx.reshape(y, &merged);
    for (i, &(begin, end)) in crops.iter().enumerate() {
        let length = merged[1 + i];
        let to = cx.graph().dim_sub(length, end);
        let both = cx.graph().dim_add(begin, end);
        inside(cx, both, length)?;
        y = cx.slice(y, 1 + i, begin, to, 1)?;
    }
    cx.put_moved(0, y, &q)
}
