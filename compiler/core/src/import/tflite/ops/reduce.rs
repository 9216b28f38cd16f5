//! Reductions, extremes and sums along an axis.

use super::super::cx::{OpCx, int};
use crate::import::error::Refusal;
use crate::ir::Type;
use cygnet_format::op::{ArgReduce, ReduceKind};
use cygnet_format::{DType, Dim};

/// `MEAN`, `SUM`, `REDUCE_*`: input, axes.
pub(super) fn reduce(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "MEAN" => ReduceKind::Mean,
        "SUM" => ReduceKind::Sum,
        "REDUCE_PROD" => ReduceKind::Prod,
        "REDUCE_MIN" | "REDUCE_ALL" => ReduceKind::Min,
        _ => ReduceKind::Max,
    };
    let keep = cx.flag(0)?;
    let given = cx.integers(1)?;
    let order = matches!(kind, ReduceKind::Max | ReduceKind::Min);
    let q = cx.quantised(0)?;
    let own = order && q.is_some() && q == cx.quantised_output(0)?;
    let mut x = if own { cx.input(0)? } else { cx.wide(0)? };
    let rank = cx.rank(x);
    let mut axes = given
        .into_iter()
        .map(|a| cx.axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    let truth = cx.dtype(x) == DType::Bool;
    if truth {
        x = cx.cast(x, DType::U8);
    }
    let y = if axes.is_empty() {
        x
    } else {
        cx.reduce(kind, x, &axes, keep)?
    };
    if own {
        cx.set_output(0, y);
        return Ok(());
    }
    cx.put(0, y)
}

/// `ARG_MAX` and `ARG_MIN`: input, axis. The first of equals wins.
pub(super) fn arg(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let mut shape = cx.shape(x);
    let axis = cx.integer(1)?;
    let axis = cx.axis(axis, shape.len())?;
    shape.remove(axis);
    let op = ArgReduce {
        axis: axis as i32,
        max: cx.op_type() == "ARG_MAX",
        last: false,
    };
    let y = cx.emit(op, &[x], Type::new(DType::I64, &shape));
    cx.put(0, y)
}

/// `CUMSUM`: input, axis.
pub(super) fn cumulative(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, axis) = (cx.wide(0)?, cx.input(1)?);
    let attributes = vec![
        int("exclusive", i64::from(cx.flag(0)?)),
        int("reverse", i64::from(cx.flag(1)?)),
    ];
    let y = cx.onnx("CumSum", attributes, &[x, axis], 1)?[0];
    cx.put(0, y)
}

/// `TOPK_V2`: input, count; values and indices along the last axis, the largest first.
pub(super) fn top_k(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, q) = (cx.input(0)?, cx.quantised(0)?);
    let k = cx.integer(1)?;
    let count = cx.const_list(&[k]);
    let results = cx.onnx("TopK", vec![int("axis", -1)], &[x, count], 2)?;
    cx.put_moved(0, results[0], &q)?;
    cx.put(1, results[1])
}

/// A list of dimensions with one replaced.
pub(super) fn with(shape: &[Dim], axis: usize, length: Dim) -> Vec<Dim> {
    let mut shape = shape.to_vec();
    shape[axis] = length;
    shape
}
