//! What a QuantizeLinear reads, with the integers of its result computed directly.

use super::super::rewrite::Rewriter;
use super::operand::{Parameters, integer, parameters, range};
use super::table::{broadcasts_inside, pointwise, table};
use super::wide;
use crate::ir::{Node, Type, ValueId};
use cygnet_format::op::{
    BinaryKind, Lookup, PoolKind, QuantizedAdd, QuantizedAveragePool, QuantizedMul, ReduceKind,
    Requantize, Reshape, UnaryKind,
};
use cygnet_format::{DType, Dim, Op};

/// Most elements of a mean whose sum fits 32 bits.
pub(super) const MAX_TAPS: i64 = i32::MAX as i64 / 255;

/// Bounds of a result as integers.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub low: i32,
    pub high: i32,
}

/// The node in place of a QuantizeLinear; the QuantizeLinear itself when what it reads is float.
pub(super) fn lower(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let (Some(x), Some(y)) = (node.inputs[0], node.outputs[0]) else {
        return Some(node);
    };
    let dtype = cx.graph.ty(y).dtype;
    let Some(to) = Parameters::of(cx.graph, &node, dtype) else {
        return Some(node);
    };
    let Some((v, bounds)) = unclamped(cx, x, &to) else {
        return Some(node);
    };
    let wide = dtype == DType::I16;
    let full = range(dtype) == Some((bounds.low, bounds.high))
        || wide && {
            let most = wide::limit(cx, v);
            i64::from(bounds.low) <= -most && i64::from(bounds.high) >= most
        };
    if full && parameters(cx, v, 0) == Some(to) {
        let (ints, _) = integer(cx, v).expect("has parameters");
        cx.replace(y, ints);
        return None;
    }
    let Some(below) = cx.def(v).cloned() else {
        return Some(node);
    };
    let replaced = match below.op {
        Op::Conv(_) | Op::DepthwiseConv(_) | Op::MatMul(_) if wide && !alone(cx, x, v) => None,
        Op::DequantizeLinear(_) => requantise(cx, &node, &below, &to, bounds),
        _ if wide => wide::lower(cx, &below, &to, bounds, y),
        Op::Binary(op) if op.kind == BinaryKind::Add => add(cx, &below, &to, bounds, y),
        Op::Binary(op) if op.kind == BinaryKind::Mul => mul(cx, &below, &to, bounds, y),
        Op::Pool(op) if op.kind == PoolKind::Average && below.outputs.len() == 1 => {
            let window = QuantizedAveragePool {
                kernel: op.kernel,
                strides: op.strides,
                dilations: op.dilations,
                pads: op.pads,
                count_include_pad: op.count_include_pad,
                ..Default::default()
            };
            average(cx, &below, window, &to, bounds)
        }
        Op::Reduce(op) if op.kind == ReduceKind::Mean && whole_image(cx, &below, &op.axes) => {
            average(cx, &below, QuantizedAveragePool::default(), &to, bounds)
        }
        // Quantise what is reshaped: then the sums below meet their QuantizeLinear.
        Op::Reshape(_) if v == x && sums(cx, below.inputs[0]) => {
            let w = below.inputs[0].expect("checked");
            let ty = Type {
                dtype,
                shape: cx.ty(w).shape,
            };
            let mut inputs = node.inputs.clone();
            inputs[0] = Some(w);
            let q = cx.emit(&node.source, node.op, inputs, ty);
            Some((Reshape {}.into(), vec![Some(q)]))
        }
        _ => None,
    };
    let replaced = match replaced {
        Some(replaced) => Some(replaced),
        None if wide => None,
        None => lookup(cx, &node, x, &to),
    };
    let Some((op, inputs)) = replaced else {
        return Some(node);
    };
    cx.changes += 1;
    Some(Node {
        op,
        inputs,
        // The step does the work of what it replaces, which is what profiles shall say.
        source: if below.source.is_empty() {
            node.source
        } else {
            below.source
        },
        outputs: node.outputs,
    })
}

/// True when nothing but the clamps from `x` down to `v` and the node at hand read them.
fn alone(cx: &Rewriter<'_>, x: ValueId, v: ValueId) -> bool {
    let (mut at, mut readers) = (x, 0);
    while cx.readers(at) == readers {
        if at == v {
            return true;
        }
        let Some(below) = cx.def(at).and_then(|n| n.inputs[0]) else {
            break;
        };
        (at, readers) = (below, 1);
    }
    false
}

/// What is below Relu and Clip, and their bounds. They commute with rounding: both grow.
pub(super) fn unclamped(
    cx: &Rewriter<'_>,
    mut v: ValueId,
    to: &Parameters,
) -> Option<(ValueId, Bounds)> {
    let (low, high) = range(to.dtype)?;
    let mut bounds = Bounds { low, high };
    while let Some(Node {
        op: Op::Unary(u),
        inputs,
        ..
    }) = cx.def(v)
    {
        let (least, greatest) = match u.kind {
            UnaryKind::Relu => (0.0, f32::INFINITY),
            UnaryKind::Clip if u.a <= u.b => (u.a, u.b),
            _ => break,
        };
        // Outer bounds win: they are applied last.
        let low = to.quantise(least)?.clamp(bounds.low, bounds.high);
        let high = to.quantise(greatest)?.clamp(bounds.low, bounds.high);
        bounds = Bounds { low, high };
        v = inputs[0]?;
    }
    Some((v, bounds))
}

pub(super) type Replacement = (Op, Vec<Option<ValueId>>);

/// `low..=high` as attributes: equal bounds would mean the range of the type.
pub(super) fn attributes(b: Bounds, dtype: DType) -> Option<(i32, i32)> {
    match range(dtype)? {
        (low, high) if (low, high) == (b.low, b.high) => Some((0, 0)),
        _ if b.low == b.high => None,
        _ => Some((b.low, b.high)),
    }
}

/// True when `v` are dequantised 32-bit sums, perhaps behind Relu or Clip.
fn sums(cx: &Rewriter<'_>, v: Option<ValueId>) -> bool {
    let Some(node) = v.and_then(|v| cx.def(v)) else {
        return false;
    };
    match node.op {
        Op::Unary(u) if matches!(u.kind, UnaryKind::Relu | UnaryKind::Clip) => {
            sums(cx, node.inputs[0])
        }
        Op::DequantizeLinear(_) => {
            node.inputs[0].is_some_and(|q| cx.graph.ty(q).dtype == DType::I32)
        }
        _ => false,
    }
}

/// 32-bit sums, dequantised and quantised again.
fn requantise(
    cx: &mut Rewriter<'_>,
    node: &Node,
    below: &Node,
    to: &Parameters,
    bounds: Bounds,
) -> Option<Replacement> {
    let Op::DequantizeLinear(op) = below.op else {
        return None;
    };
    let acc = below.inputs[0]?;
    let ty = cx.ty(acc);
    let n = ty.shape.last().copied().and_then(Dim::as_const)?;
    let scales = cx.graph.constant_f32(below.inputs[1]?)?;
    let per_column = op.axis as usize + 1 == ty.rank() && scales.len() == n;
    let zero_free = below.inputs.get(2).copied().flatten().is_none();
    if ty.dtype != DType::I32 || op.block != 0 || !zero_free || !(scales.len() == 1 || per_column) {
        return None;
    }
    let (low, high) = attributes(bounds, to.dtype)?;
    let multipliers: Vec<f32> = scales.iter().map(|s| s / to.scale).collect();
    if !multipliers.iter().all(|m| m.is_finite()) {
        return None;
    }
    // A bias that was added to the sums is an operand.
    let (acc, bias) = match cx.def(acc) {
        Some(Node {
            op: Op::Binary(b),
            inputs,
            ..
        }) if b.kind == BinaryKind::Add => match (inputs[0], inputs[1]) {
            (Some(a), Some(c)) if cx.is_const(c) && cx.shape(c) == [Dim(n as i32)] => (a, Some(c)),
            _ => (acc, None),
        },
        _ => (acc, None),
    };
    let multiplier = cx.constant(&[multipliers.len()], &multipliers);
    let zero = match node.inputs.get(2).copied().flatten() {
        Some(z) => z,
        None => cx.constant_bytes(Type::new(to.dtype, &[]), vec![0; to.dtype.size()]),
    };
    Some((
        Requantize { low, high }.into(),
        vec![Some(acc), bias, Some(multiplier), Some(zero)],
    ))
}

/// A sum of two 8-bit operands of the result's shape and type.
fn add(
    cx: &mut Rewriter<'_>,
    below: &Node,
    to: &Parameters,
    bounds: Bounds,
    y: ValueId,
) -> Option<Replacement> {
    let (a, b) = (below.inputs[0]?, below.inputs[1]?);
    let shape = cx.shape(y);
    let (p, q) = (parameters(cx, a, 0)?, parameters(cx, b, 0)?);
    if p.dtype != to.dtype || q.dtype != to.dtype || cx.shape(a) != shape || cx.shape(b) != shape {
        return None;
    }
    let (low, high) = attributes(bounds, to.dtype)?;
    let op = QuantizedAdd {
        a_zero: p.zero,
        a_multiplier: p.scale / to.scale,
        b_zero: q.zero,
        b_multiplier: q.scale / to.scale,
        zero: to.zero,
        low,
        high,
    };
    if !op.a_multiplier.is_finite() || !op.b_multiplier.is_finite() {
        return None;
    }
    let (a, b) = (integer(cx, a)?.0, integer(cx, b)?.0);
    Some((op.into(), vec![Some(a), Some(b)]))
}

/// A product of two 8-bit operands of the result's type, of which the second may be one row for all.
fn mul(
    cx: &mut Rewriter<'_>,
    below: &Node,
    to: &Parameters,
    bounds: Bounds,
    y: ValueId,
) -> Option<Replacement> {
    let (mut a, mut b) = (below.inputs[0]?, below.inputs[1]?);
    let shape = cx.shape(y);
    if cx.shape(a) != shape {
        (a, b) = (b, a);
    }
    let (p, q) = (parameters(cx, a, 0)?, parameters(cx, b, 0)?);
    let repeats = broadcasts_inside(&cx.shape(b), &shape);
    if p.dtype != to.dtype || q.dtype != to.dtype || cx.shape(a) != shape || !repeats {
        return None;
    }
    let (low, high) = attributes(bounds, to.dtype)?;
    let op = QuantizedMul {
        a_zero: p.zero,
        b_zero: q.zero,
        multiplier: p.scale * q.scale / to.scale,
        zero: to.zero,
        low,
        high,
    };
    if !op.multiplier.is_finite() {
        return None;
    }
    let (a, b) = (integer(cx, a)?.0, integer(cx, b)?.0);
    Some((op.into(), vec![Some(a), Some(b)]))
}

/// Any function of one 8-bit operand: a table of its 256 values.
fn lookup(
    cx: &mut Rewriter<'_>,
    quantise: &Node,
    x: ValueId,
    to: &Parameters,
) -> Option<Replacement> {
    let mut steps = Vec::new();
    let mut source = None;
    pointwise(cx, x, &mut source, &mut steps)?;
    let source = source?;
    let p = parameters(cx, source, 0).filter(|p| p.dtype == to.dtype)?;
    let bytes = table(cx.graph, quantise, source, &p, &steps)?;
    let (ints, _) = integer(cx, source)?;
    let table = cx.constant_bytes(Type::fixed(to.dtype, &[256]), bytes);
    Some((Lookup {}.into(), vec![Some(ints), Some(table)]))
}

/// True when a reduction runs over all spatial axes of a channels-last tensor, and they alone.
pub(super) fn whole_image(cx: &Rewriter<'_>, node: &Node, axes: &[i32]) -> bool {
    let Some(rank) = node.inputs[0].map(|x| cx.graph.ty(x).rank()) else {
        return false;
    };
    let mut axes = axes.to_vec();
    axes.sort_unstable();
    (3..=5).contains(&rank) && axes == (1..rank as i32 - 1).collect::<Vec<_>>()
}

/// Most elements of a window on `x`; without a kernel, the window is the image.
pub(super) fn taps(cx: &Rewriter<'_>, x: ValueId, kernel: &[i32]) -> i64 {
    let shape = cx.shape(x);
    if kernel.is_empty() {
        let pixels = shape[1..shape.len() - 1].iter();
        return pixels.fold(1, |n: i64, &d| n.saturating_mul(cx.graph.dim_bounds(d).1));
    }
    let taps = kernel.iter().map(|&k| i64::from(k));
    taps.fold(1, i64::saturating_mul)
}

/// A mean over windows of an 8-bit operand.
fn average(
    cx: &mut Rewriter<'_>,
    below: &Node,
    window: QuantizedAveragePool,
    to: &Parameters,
    bounds: Bounds,
) -> Option<Replacement> {
    let x = below.inputs[0]?;
    let p = parameters(cx, x, 0).filter(|p| p.dtype == to.dtype)?;
    let (low, high) = attributes(bounds, to.dtype)?;
    let multiplier = p.scale / to.scale;
    if !multiplier.is_finite() || taps(cx, x, &window.kernel) > MAX_TAPS {
        return None;
    }
    let op = QuantizedAveragePool {
        x_zero: p.zero,
        multiplier,
        zero: to.zero,
        low,
        high,
        ..window
    };
    let (x, _) = integer(cx, x)?;
    Some((op.into(), vec![Some(x)]))
}
