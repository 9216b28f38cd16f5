//! Recognises layer normalisation, RMS normalisation and softmax that models spell out.

use super::rewrite::{Rewriter, indices, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::op::{BinaryKind, LayerNorm, ReduceKind, Softmax, SoftmaxKind, UnaryKind};
use cygnet_format::{DType, Dim, Op};

/// Recognises normalisations; gives the number of changes.
pub fn recognise_norm(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn unary(cx: &Rewriter<'_>, v: ValueId, kind: UnaryKind) -> Option<(f32, f32, ValueId)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Unary(u),
            inputs,
            ..
        }) if u.kind == kind => Some((u.a, u.b, inputs[0]?)),
        _ => None,
    }
}

fn binary(cx: &Rewriter<'_>, v: ValueId, kind: BinaryKind) -> Option<(ValueId, ValueId)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Binary(b),
            inputs,
            ..
        }) if b.kind == kind => Some((inputs[0]?, inputs[1]?)),
        _ => None,
    }
}

/// A reduction that keeps its axes: the operand and the axes, in order.
fn reduce(cx: &Rewriter<'_>, v: ValueId, kind: ReduceKind) -> Option<(ValueId, Vec<usize>)> {
    match cx.def(v) {
        Some(Node {
            op: Op::Reduce(r),
            inputs,
            ..
        }) if r.kind == kind => {
            let x = inputs[0]?;
            let mut axes = indices(&r.axes);
            axes.sort_unstable();
            (cx.ty(x).rank() == cx.ty(v).rank()).then_some((x, axes))
        }
        _ => None,
    }
}

/// The first of the last axes, when these are exactly those.
fn trailing(axes: &[usize], rank: usize) -> Option<usize> {
    let first = *axes.first()?;
    (axes.iter().copied().eq(first..rank)).then_some(first)
}

fn rule(cx: &mut Rewriter<'_>, mut node: Node) -> Option<Node> {
    let (Op::Binary(op), Some(y)) = (node.op, node.outputs[0]) else {
        return Some(node);
    };
    let (Some(p), Some(q)) = (node.inputs[0], node.inputs[1]) else {
        return Some(node);
    };
    if cx.ty(y).dtype != DType::F32 {
        return Some(node);
    }
    let found = match op.kind {
        BinaryKind::Mul => normalised(cx, p, q, true).or_else(|| normalised(cx, q, p, true)),
        BinaryKind::Div => softmax(cx, p, q).or_else(|| normalised(cx, p, q, false)),
        _ => None,
    };
    if let Some((op, x)) = found
        && cx.ty(x) == cx.ty(y)
    {
        node.op = op;
        node.inputs = vec![Some(x)];
        cx.changes += 1;
        return Some(node);
    }
    match op.kind {
        BinaryKind::Mul => absorb(cx, node, 1, p, q),
        BinaryKind::Add => absorb(cx, node, 2, p, q),
        _ => Some(node),
    }
}

/// `d * rsqrt(mean(d^2) + epsilon)` or `d / sqrt(..)`, where `d` may be `x - mean(x)`.
fn normalised(cx: &Rewriter<'_>, d: ValueId, s: ValueId, product: bool) -> Option<(Op, ValueId)> {
    let root = if product {
        UnaryKind::Rsqrt
    } else {
        UnaryKind::Sqrt
    };
    let (_, _, shifted) = unary(cx, s, root)?;
    let (one, epsilon, mean) = unary(cx, shifted, UnaryKind::Affine)?;
    let (square, axes) = reduce(cx, mean, ReduceKind::Mean)?;
    let (_, _, base) = unary(cx, square, UnaryKind::Square)?;
    let axis = trailing(&axes, cx.ty(d).rank())?;
    if one != 1.0 || base != d {
        return None;
    }
    let norm = |rms| {
        LayerNorm {
            axis: axis as i32,
            epsilon,
            rms,
        }
        .into()
    };
    if let Some((x, m)) = binary(cx, d, BinaryKind::Sub)
        && reduce(cx, m, ReduceKind::Mean).is_some_and(|(v, over)| v == x && over == axes)
    {
        return Some((norm(false), x));
    }
    Some((norm(true), d))
}

/// `exp(z) / sum(exp(z))`; a maximum that was subtracted for safety goes.
fn softmax(cx: &Rewriter<'_>, e: ValueId, total: ValueId) -> Option<(Op, ValueId)> {
    let (_, _, z) = unary(cx, e, UnaryKind::Exp)?;
    let (summed, axes) = reduce(cx, total, ReduceKind::Sum)?;
    let [axis] = axes[..] else { return None };
    if summed != e {
        return None;
    }
    let op = Softmax {
        axis: axis as i32,
        kind: SoftmaxKind::Softmax,
    }
    .into();
    if let Some((x, m)) = binary(cx, z, BinaryKind::Sub)
        && reduce(cx, m, ReduceKind::Max).is_some_and(|(v, over)| v == x && over == axes)
    {
        return Some((op, x));
    }
    Some((op, z))
}

/// Takes a constant factor (operand 1) or summand (operand 2) into a normalisation that nobody else reads.
fn absorb(
    cx: &mut Rewriter<'_>,
    node: Node,
    operand: usize,
    p: ValueId,
    q: ValueId,
) -> Option<Node> {
    let y = node.outputs[0].expect("one output");
    for (x, c) in [(p, q), (q, p)] {
        let Some(Node {
            op: Op::LayerNorm(op),
            inputs,
            outputs,
            ..
        }) = cx.def(x)
        else {
            continue;
        };
        let axis = op.axis as usize;
        let free = (operand..3).all(|i| inputs.get(i).copied().flatten().is_none());
        if !free
            || outputs.len() != 1
            || !cx.only_here(x)
            || !cx.is_const(c)
            || cx.ty(x) != cx.ty(y)
        {
            continue;
        }
        // The constant must vary over the normalised axes only, and fully: kernels read one number for each element.
        let shape = cx.shape(x);
        let rank = shape.len();
        let mut own = vec![Dim::ONE; rank - cx.ty(c).rank().min(rank)];
        own.extend(cx.shape(c));
        if own[..axis].iter().any(|&d| d != Dim::ONE) || own[axis..] != shape[axis..] {
            continue;
        }
        let data = cx.graph.constant_f32(c)?;
        let tail: Vec<usize> = shape[axis..].iter().filter_map(|d| d.as_const()).collect();
        let c = if cx.ty(c).rank() == tail.len() {
            c
        } else {
            cx.constant(&tail, &data)
        };
        let mut norm = cx.take(x);
        norm.inputs
            .resize(operand.max(norm.inputs.len() - 1) + 1, None);
        norm.inputs[operand] = Some(c);
        norm.outputs = node.outputs;
        cx.changes += 1;
        return Some(norm);
    }
    Some(node)
}
