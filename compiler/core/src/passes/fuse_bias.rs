//! Adds constants that follow a linear operator to its bias.

use super::linear::{bias, columns, open, set_bias, width};
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node};
use cygnet_format::Op;
use cygnet_format::op::{BinaryKind, UnaryKind};

/// Fuses added constants; gives their number.
pub fn fuse_bias(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Some((x, y)) = node
        .inputs
        .first()
        .copied()
        .flatten()
        .zip(node.outputs.first().copied().flatten())
    else {
        return Some(node);
    };
    let ty = cx.ty(y);
    let Some(n) = width(&ty) else {
        return Some(node);
    };
    let (x, added) = match node.op {
        Op::Unary(op) if op.kind == UnaryKind::Affine && op.a == 1.0 => (x, vec![op.b; n]),
        Op::Binary(op) if matches!(op.kind, BinaryKind::Add | BinaryKind::Sub) => {
            let Some(z) = node.inputs[1] else {
                return Some(node);
            };
            let swap = cx.is_const(x) && op.kind == BinaryKind::Add;
            let (x, c) = if swap { (z, x) } else { (x, z) };
            let Some(mut added) = columns(cx, c, n) else {
                return Some(node);
            };
            if op.kind == BinaryKind::Sub {
                added.iter_mut().for_each(|v| *v = -*v);
            }
            (x, added)
        }
        _ => return Some(node),
    };
    if !open(cx, x, &ty) {
        return Some(node);
    }
    let Some(mut b) = bias(cx, cx.def(x).expect("open"), n) else {
        return Some(node);
    };
    b.iter_mut().zip(&added).for_each(|(b, v)| *b += v);
    let mut fused = cx.take(x);
    set_bias(cx, &mut fused, &b);
    fused.outputs = node.outputs;
    cx.changes += 1;
    Some(fused)
}
