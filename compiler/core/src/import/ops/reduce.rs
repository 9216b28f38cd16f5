//! Reductions.

use super::super::{NodeCx, Refusal};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{ArgReduce, BinaryKind, ReduceKind, UnaryKind};
use cygnet_format::{DType, Dim};

/// The axes to reduce, sorted; `None` when there is nothing to reduce over.
fn axes(cx: &mut NodeCx<'_>, rank: usize) -> Result<Option<Vec<usize>>, Refusal> {
    let as_input = cx.opset() >= if cx.op_type() == "ReduceSum" { 13 } else { 18 };
    let given = if as_input {
        match cx.opt_input(1)? {
            Some(v) => Some(cx.const_i64(v)?),
            None => None,
        }
    } else {
        cx.ints("axes")?
    };
    let given = given.unwrap_or_default();
    if given.is_empty() {
        let noop = cx.int_or("noop_with_empty_axes", 0)? != 0;
        return Ok(if noop {
            None
        } else {
            Some((0..rank).collect())
        });
    }
    let mut axes = given
        .iter()
        .map(|&a| cx.axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    Ok(Some(axes))
}

/// `Reduce*`.
pub(super) fn reduce(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMean" => ReduceKind::Mean,
        "ReduceMax" => ReduceKind::Max,
        "ReduceMin" => ReduceKind::Min,
        "ReduceProd" => ReduceKind::Prod,
        "ReduceL1" => ReduceKind::L1,
        "ReduceL2" => ReduceKind::L2,
        "ReduceLogSum" => ReduceKind::LogSum,
        "ReduceLogSumExp" => ReduceKind::LogSumExp,
        _ => ReduceKind::SumSquare,
    };
    let x = cx.input(0)?;
    let rank = cx.rank(x);
    let keep = cx.int_or("keepdims", 1)? != 0;
    let y = match axes(cx, rank)? {
        Some(axes) if !axes.is_empty() => cx.reduce(kind, x, &axes, keep)?,
        // A scalar, or no axes by request: the elementwise part of the reduction remains.
        _ => each(cx, kind, x)?,
    };
    cx.set_output(0, y);
    Ok(())
}

/// The reduction of single elements.
fn each(cx: &mut NodeCx<'_>, kind: ReduceKind, x: ValueId) -> Result<ValueId, Refusal> {
    Ok(match kind {
        ReduceKind::L1 | ReduceKind::L2 => cx.unary(UnaryKind::Abs, x),
        ReduceKind::SumSquare => cx.binary(BinaryKind::Mul, x, x)?,
        ReduceKind::LogSum => cx.unary(UnaryKind::Log, x),
        _ => x,
    })
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let mut shape = cx.shape(x);
    let axis = cx.axis(cx.int_or("axis", 0)?, shape.len())?;
    let op = ArgReduce {
        axis: axis as i32,
        max: cx.op_type() == "ArgMax",
        last: cx.int_or("select_last_index", 0)? != 0,
    };
    if cx.int_or("keepdims", 1)? != 0 {
        shape[axis] = Dim::ONE;
    } else {
        shape.remove(axis);
    }
    let y = cx.emit(op, &[x], Type::new(DType::I64, &shape));
    cx.set_output(0, y);
    Ok(())
}
