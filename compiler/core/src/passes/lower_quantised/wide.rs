//! Operators between 16-bit activations: symmetric, with 8-bit weights, wherever their 32-bit sums provably fit.

use super::super::fuse_quantised::packed;
use super::super::linear::activation;
use super::super::rewrite::Rewriter;
use super::linear::bias;
use super::operand::{Parameters, integer, parameters};
use super::quantise::{
    Bounds, MAX_TAPS, Replacement, attributes, taps as window_taps, unclamped, whole_image,
};
use super::table::broadcasts_inside;
use super::weights::Frozen;
use crate::ir::{Node, Type, ValueId};
use cygnet_format::op::{
    ActivationKind, BinaryKind, Int16Add, Int16Conv, Int16Depthwise, Int16Mul, Int16Pool, PackB,
    PoolKind, ReduceKind,
};
use cygnet_format::{DType, Op};

/// Largest magnitude of 16 bits.
const ALL: i64 = 1 << 15;

/// The integers of a result that a QuantizeLinear makes of `below`.
pub(super) fn lower(
    cx: &mut Rewriter<'_>,
    below: &Node,
    to: &Parameters,
    bounds: Bounds,
    y: ValueId,
) -> Option<Replacement> {
    if to.zero != 0 {
        return None;
    }
    match below.op {
        Op::Conv(_) | Op::DepthwiseConv(_) | Op::MatMul(_) => product(cx, below, to, bounds),
        Op::Binary(op) if op.kind == BinaryKind::Add => {
            let (a, b) = (below.inputs[0]?, below.inputs[1]?);
            let shape = cx.shape(y);
            let (p, q) = (of(cx, a)?, of(cx, b)?);
            let (low, high) = attributes(bounds, DType::I16)?;
            let op = Int16Add {
                a_multiplier: p.scale / to.scale,
                b_multiplier: q.scale / to.scale,
                low,
                high,
            };
            let finite = op.a_multiplier.is_finite() && op.b_multiplier.is_finite();
            if !finite || cx.shape(a) != shape || cx.shape(b) != shape {
                return None;
            }
            let (a, b) = (integer(cx, a)?.0, integer(cx, b)?.0);
            Some((op.into(), vec![Some(a), Some(b)]))
        }
        Op::Binary(op) if op.kind == BinaryKind::Mul => {
            let (mut a, mut b) = (below.inputs[0]?, below.inputs[1]?);
            let shape = cx.shape(y);
            if cx.shape(a) != shape {
                (a, b) = (b, a);
            }
            let (p, q) = (of(cx, a)?, of(cx, b)?);
            let (low, high) = attributes(bounds, DType::I16)?;
            let multiplier = p.scale * q.scale / to.scale;
            let repeats = broadcasts_inside(&cx.shape(b), &shape);
            if !multiplier.is_finite() || cx.shape(a) != shape || !repeats {
                return None;
            }
            let (a, b) = (integer(cx, a)?.0, integer(cx, b)?.0);
            let op = Int16Mul {
                multiplier,
                low,
                high,
            };
            Some((op.into(), vec![Some(a), Some(b)]))
        }
        Op::Pool(op) if op.kind == PoolKind::Average && below.outputs.len() == 1 => {
            let window = Int16Pool {
                kind: PoolKind::Average,
                kernel: op.kernel,
                strides: op.strides,
                dilations: op.dilations,
                pads: op.pads,
                count_include_pad: op.count_include_pad,
                ..Default::default()
            };
            average(cx, below, window, to, bounds)
        }
        Op::Reduce(op) if op.kind == ReduceKind::Mean && whole_image(cx, below, &op.axes) => {
            let window = Int16Pool {
                kind: PoolKind::Average,
                ..Default::default()
            };
            average(cx, below, window, to, bounds)
        }
        _ => None,
    }
}

/// The parameters of a 16-bit operand without a zero point.
fn of(cx: &Rewriter<'_>, v: ValueId) -> Option<Parameters> {
    parameters(cx, v, 0).filter(|p| p.dtype == DType::I16 && p.zero == 0)
}

/// The largest magnitude of the integers behind a dequantised operand.
pub(super) fn limit(cx: &Rewriter<'_>, v: ValueId) -> i64 {
    let Some(node) = cx.def(v) else { return ALL };
    let Some(first) = node.inputs.first().copied().flatten() else {
        return ALL;
    };
    let bounds = |low: i32, high: i32| match low == high {
        true => ALL,
        false => i64::from(low).abs().max(i64::from(high).abs()),
    };
    match node.op {
        Op::Int16Conv(o) => bounds(o.low, o.high),
        Op::Int16Depthwise(o) => bounds(o.low, o.high),
        Op::Int16Add(o) => bounds(o.low, o.high),
        Op::Int16Mul(o) => bounds(o.low, o.high),
        Op::Int16Pool(o) if o.kind == PoolKind::Average => bounds(o.low, o.high),
        Op::QuantizeLinear(_) => {
            let y = node.outputs[0].map(|y| cx.graph.ty(y).dtype);
            let to = y.and_then(|dtype| Parameters::of(cx.graph, node, dtype));
            let found = to.and_then(|to| unclamped(cx, first, &to));
            found.map_or(ALL, |(_, b)| bounds(b.low, b.high))
        }
        Op::Concat(_) => {
            let all = node.inputs.iter().flatten();
            all.map(|&v| limit(cx, v)).max().unwrap_or(ALL)
        }
        Op::DequantizeLinear(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Slice(_)
        | Op::Expand(_)
        | Op::Tile(_)
        | Op::Gather(_)
        | Op::Pool(_)
        | Op::Int16Pool(_)
        | Op::Resize(_)
        | Op::Pad(_) => limit(cx, first),
        _ => ALL,
    }
}

/// A convolution or product with constant weights, requantised.
fn product(
    cx: &mut Rewriter<'_>,
    node: &Node,
    to: &Parameters,
    bounds: Bounds,
) -> Option<Replacement> {
    let plain = activation(&node.op).is_some_and(|a| a.kind == ActivationKind::None);
    if !plain || node.inputs.get(3).copied().flatten().is_some() {
        return None;
    }
    let (x, y) = (node.inputs[0]?, node.outputs[0]?);
    let p = of(cx, x)?;
    let n = cx.ty(y).shape.last()?.as_const().filter(|&n| n > 0)?;
    let unpacked = |cx: &Rewriter<'_>| {
        let packed = cx.def(node.inputs[1]?)?;
        match (packed.op, packed.inputs[0]) {
            (Op::PackB(pack), Some(w)) => Some((Frozen::of(cx, w)?, pack)),
            _ => None,
        }
    };
    let mut op = Int16Conv {
        group: 1,
        ..Default::default()
    };
    let mut alpha = 1.0;
    // The weights as `[O, taps, C/G]`.
    let (frozen, taps) = match node.op {
        Op::MatMul(o) => {
            let (frozen, PackB { trans }) = unpacked(cx)?;
            alpha = o.alpha;
            let perm: &[usize] = if trans { &[0, 1] } else { &[1, 0] };
            (frozen.transposed(perm)?, 1)
        }
        Op::Conv(o) => {
            let (frozen, PackB { trans: false }) = unpacked(cx)? else {
                return None;
            };
            (op.kernel, op.strides, op.dilations) = (o.kernel, o.strides, o.dilations);
            (op.pads, op.group) = (o.pads, o.group);
            (frozen.transposed(&[0, 2, 1])?, taps(&o.kernel))
        }
        Op::DepthwiseConv(o) => {
            let frozen = Frozen::of(cx, node.inputs[1]?)?;
            (op.kernel, op.strides, op.dilations) = (o.kernel, o.strides, o.dilations);
            (op.pads, op.group) = (o.pads, u32::try_from(n).ok()?);
            (frozen.transposed(&[1, 0])?, taps(&o.kernel))
        }
        _ => return None,
    };
    let depth = frozen.ints.len() / n;
    let mut by_channel = frozen;
    by_channel.shape = vec![n, depth];
    if n * depth != by_channel.ints.len() || depth == 0 || !depth.is_multiple_of(taps) {
        return None;
    }
    let columns = by_channel.columns()?;
    if columns.dtype != DType::I8 || !columns.zeros.is_empty() {
        return None;
    }
    let scales: Vec<f32> = columns.scales.iter().map(|s| p.scale * s * alpha).collect();
    if !scales.iter().all(|s| s.is_normal()) {
        return None;
    }
    let bias = bias(cx, node.inputs.get(2).copied().flatten(), &scales, n)?;
    let bias = bias.unwrap_or_else(|| vec![0; n]);
    // No sum may wrap around.
    let most = limit(cx, x);
    for (weights, &bias) in columns.ints.chunks(depth).zip(&bias) {
        let sum: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
        if sum * most + i64::from(bias).abs() > i64::from(i32::MAX) {
            return None;
        }
    }
    let scale = |i: usize| {
        if scales.len() == 1 {
            scales[0]
        } else {
            scales[i]
        }
    };
    let multiplier: Vec<f32> = (0..n).map(|i| scale(i) / to.scale).collect();
    if !multiplier.iter().all(|m| m.is_finite()) {
        return None;
    }
    (op.low, op.high) = attributes(bounds, DType::I16)?;
    let weights: Vec<i8> = columns.ints.iter().map(|&w| w as i8).collect();
    let (weights, shape) = packed(
        &op.kernel,
        op.group as usize,
        &weights,
        [n, taps, depth / taps],
    )?;
    // Everything that may refuse is above.
    let (x, _) = integer(cx, x)?;
    let depthwise = shape.len() == 2;
    let weights = weights.iter().map(|&w| w as u8).collect();
    let weights = cx.constant_bytes(Type::fixed(DType::I8, &shape), weights);
    let bias = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
    let bias = cx.constant_bytes(Type::fixed(DType::I32, &[n]), bias);
    let multiplier = cx.constant(&[n], &multiplier);
    let op: Op = if depthwise {
        Int16Depthwise {
            kernel: op.kernel,
            strides: op.strides,
            dilations: op.dilations,
            pads: op.pads,
            low: op.low,
            high: op.high,
        }
        .into()
    } else {
        op.into()
    };
    Some((
        op,
        vec![Some(x), Some(weights), Some(bias), Some(multiplier)],
    ))
}

fn taps(kernel: &[i32]) -> usize {
    kernel.iter().map(|&k| k as usize).product()
}

/// A mean over windows.
fn average(
    cx: &mut Rewriter<'_>,
    below: &Node,
    window: Int16Pool,
    to: &Parameters,
    bounds: Bounds,
) -> Option<Replacement> {
    let x = below.inputs[0]?;
    let p = of(cx, x)?;
    let (low, high) = attributes(bounds, DType::I16)?;
    let multiplier = p.scale / to.scale;
    // A sum of 16-bit values has 256 times the magnitude of one of bytes.
    if !multiplier.is_finite() || window_taps(cx, x, &window.kernel) > MAX_TAPS / 256 {
        return None;
    }
    let op = Int16Pool {
        multiplier,
        low,
        high,
        ..window
    };
    let (x, _) = integer(cx, x)?;
    Some((op.into(), vec![Some(x)]))
}
