//! Local rules that make graphs smaller and give patterns one spelling.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::op::{BinaryKind, Unary, UnaryKind};
use cygnet_format::{DType, Dim, Op};

/// Simplifies; gives the number of changes.
pub fn simplify(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn unary(kind: UnaryKind, a: f32, b: f32) -> Op {
    Unary { kind, a, b }.into()
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let (Some(Some(x)), [Some(y)]) = (node.inputs.first().copied(), &node.outputs[..]) else {
        return Some(node);
    };
    let y = *y;
    let (tx, ty) = (cx.ty(x), cx.ty(y));
    let same = tx == ty;
    match node.op {
        Op::Reshape(_) | Op::Expand(_) | Op::Tile(_) | Op::Cast(_) if same => {
            return nothing(cx, x, y);
        }
        Op::Slice(op) if same && op.steps.iter().all(|&s| s == 1) => return nothing(cx, x, y),
        Op::Pad(op) if same && op.before.iter().all(|&d| d == Dim(0)) => return nothing(cx, x, y),
        Op::Concat(_) if node.inputs.len() == 1 && same => return nothing(cx, x, y),
        Op::Concat(_) => return drop_empty(cx, node),
        Op::Reshape(_) => {
            // The last of several reshapes decides.
            if let Some(Node {
                op: Op::Reshape(_),
                inputs,
                ..
            }) = cx.def(x)
            {
                let inputs = inputs.clone();
                cx.changes += 1;
                return Some(Node { inputs, ..node });
            }
        }
        Op::Reduce(op) if op.axes.is_empty() && same && !squares(op.kind) => {
            return nothing(cx, x, y);
        }
        Op::Unary(op) if ty.dtype == DType::F32 => return simplify_unary(cx, node, op, x, y),
        Op::Binary(op) if ty.dtype == DType::F32 && tx.dtype == DType::F32 => {
            return simplify_binary(cx, node, op.kind, y);
        }
        _ => {}
    }
    Some(node)
}

fn squares(kind: cygnet_format::op::ReduceKind) -> bool {
    use cygnet_format::op::ReduceKind::*;
    !matches!(kind, Sum | Mean | Max | Min | Prod)
}

fn nothing(cx: &mut Rewriter<'_>, x: ValueId, y: ValueId) -> Option<Node> {
    cx.replace(y, x);
    None
}

/// Operands without elements add nothing to a concatenation.
fn drop_empty(cx: &mut Rewriter<'_>, mut node: Node) -> Option<Node> {
    let Op::Concat(op) = node.op else {
        return Some(node);
    };
    let full: Vec<_> = node
        .inputs
        .iter()
        .copied()
        .filter(|v| cx.shape(v.expect("all present"))[op.axis as usize] != Dim(0))
        .collect();
    if full.len() < node.inputs.len() && !full.is_empty() {
        node.inputs = full;
        cx.changes += 1;
    }
    Some(node)
}

fn simplify_unary(
    cx: &mut Rewriter<'_>,
    mut node: Node,
    op: Unary,
    x: ValueId,
    y: ValueId,
) -> Option<Node> {
    use UnaryKind::*;
    let below = match cx.def(x) {
        Some(Node {
            op: Op::Unary(b),
            inputs,
            ..
        }) => inputs[0].map(|v| (*b, v)),
        _ => None,
    };
    let change = match (op.kind, below) {
        (Affine, _) if op.a == 1.0 && op.b == 0.0 => return nothing(cx, x, y),
        (Clip, _) if op.a == f32::NEG_INFINITY && op.b == f32::INFINITY => {
            return nothing(cx, x, y);
        }
        (Clip, _) if op.a == 0.0 && op.b == f32::INFINITY => Some((unary(Relu, 0.0, 0.0), x)),
        (LeakyRelu, _) if op.a == 0.0 => Some((unary(Relu, 0.0, 0.0), x)),
        (Neg, _) => Some((unary(Affine, -1.0, 0.0), x)),
        (Affine, Some((b, v))) if b.kind == Affine => {
            Some((unary(Affine, b.a * op.a, b.b * op.a + op.b), v))
        }
        (Reciprocal, Some((b, v))) if b.kind == Sqrt && cx.only_here(x) => {
            Some((unary(Rsqrt, 0.0, 0.0), v))
        }
        (Relu, Some((b, _))) if b.kind == Relu => return nothing(cx, x, y),
        (Clip, Some((b, v))) if b.kind == Clip && op.a <= op.b => Some((
            unary(Clip, b.a.max(op.a).min(op.b), b.b.max(op.a).min(op.b)),
            v,
        )),
        (Clip, Some((b, v))) if b.kind == Relu && op.b >= 0.0 => {
            Some((unary(Clip, op.a.max(0.0), op.b), v))
        }
        (Relu, Some((b, v))) if b.kind == Clip && b.b >= 0.0 => {
            Some((unary(Clip, b.a.max(0.0), b.b), v))
        }
        _ => None,
    };
    if let Some((op, v)) = change {
        node.op = op;
        node.inputs = vec![Some(v)];
        cx.changes += 1;
    }
    Some(node)
}

/// True when dividing by `c` and multiplying by its inverse differ by no more than the last bit.
fn invertible(c: f32) -> bool {
    c.is_normal() && (1.0 / c).is_normal()
}

fn simplify_binary(
    cx: &mut Rewriter<'_>,
    mut node: Node,
    kind: BinaryKind,
    y: ValueId,
) -> Option<Node> {
    use BinaryKind::*;
    let (Some(p), Some(q)) = (node.inputs[0], node.inputs[1]) else {
        return Some(node);
    };
    let shape = cx.shape(y);
    let right = cx
        .scalar(q)
        .filter(|_| cx.shape(p) == shape && !cx.is_const(p));
    let left = cx
        .scalar(p)
        .filter(|_| cx.shape(q) == shape && !cx.is_const(q));
    let affine = |a: f32, b: f32| unary(UnaryKind::Affine, a, b);
    let change = match (kind, left, right) {
        (Add, None, Some(c)) => Some((affine(1.0, c), p)),
        (Add, Some(c), None) => Some((affine(1.0, c), q)),
        (Sub, None, Some(c)) => Some((affine(1.0, -c), p)),
        (Sub, Some(c), None) => Some((affine(-1.0, c), q)),
        (Mul, None, Some(c)) => Some((affine(c, 0.0), p)),
        (Mul, Some(c), None) => Some((affine(c, 0.0), q)),
        (Div, None, Some(c)) if invertible(c) => Some((affine(1.0 / c, 0.0), p)),
        (Div, Some(1.0), None) => Some((unary(UnaryKind::Reciprocal, 0.0, 0.0), q)),
        (Max, None, Some(c)) if !c.is_nan() => Some((unary(UnaryKind::Clip, c, f32::INFINITY), p)),
        (Max, Some(c), None) if !c.is_nan() => Some((unary(UnaryKind::Clip, c, f32::INFINITY), q)),
        (Min, None, Some(c)) if !c.is_nan() => {
            Some((unary(UnaryKind::Clip, f32::NEG_INFINITY, c), p))
        }
        (Min, Some(c), None) if !c.is_nan() => {
            Some((unary(UnaryKind::Clip, f32::NEG_INFINITY, c), q))
        }
        (Pow, None, Some(2.0)) => Some((unary(UnaryKind::Square, 0.0, 0.0), p)),
        (Pow, None, Some(0.5)) => Some((unary(UnaryKind::Sqrt, 0.0, 0.0), p)),
        (Pow, None, Some(-0.5)) => Some((unary(UnaryKind::Rsqrt, 0.0, 0.0), p)),
        (Pow, None, Some(1.0)) => Some((affine(1.0, 0.0), p)),
        (Mul, None, None) if p == q => Some((unary(UnaryKind::Square, 0.0, 0.0), p)),
        _ => None,
    };
    if let Some((op, v)) = change {
        node.op = op;
        node.inputs = vec![Some(v)];
        cx.changes += 1;
        return Some(node);
    }
    // x / sqrt(v) is x * rsqrt(v): a square root and a division less for every row that v is broadcast over.
    if kind == Div
        && cx.ty(q).fixed_len() != cx.ty(p).fixed_len()
        && cx.only_here(q)
        && let Some(Node {
            op: Op::Unary(u),
            inputs,
            ..
        }) = cx.def(q)
        && u.kind == UnaryKind::Sqrt
        && p != q
    {
        let (v, ty, source) = (inputs.clone(), cx.ty(q), node.source.clone());
        let r = cx.emit(&source, unary(UnaryKind::Rsqrt, 0.0, 0.0), v, ty);
        node.op = cygnet_format::op::Binary { kind: Mul }.into();
        node.inputs = vec![Some(p), Some(r)];
        cx.changes += 1;
    }
    Some(node)
}
