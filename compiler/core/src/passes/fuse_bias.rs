//! Adds constants that follow a linear operator to its bias.

use super::linear::{bias, columnwise, open, set_bias, width};
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node};
use cygnet_format::Op;
use cygnet_format::op::{BinaryKind, UnaryKind};

/// Fuses added constants; gives their number.
pub fn fuse_bias(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Some(y) = node.outputs.first().copied().flatten() else {
        return Some(node);
    };
    let ty = cx.ty(y);
    let Some(n) = width(&ty) else {
        return Some(node);
    };
    let (x, added) = match node.op {
        Op::Unary(op) if op.kind == UnaryKind::Affine && op.a == 1.0 => match node.inputs[0] {
            Some(x) => (x, vec![op.b; n]),
            None => return Some(node),
        },
        _ => match columnwise(cx, &node, BinaryKind::Add, BinaryKind::Sub) {
            Some(c) if c.opposite => (c.x, c.values.iter().map(|v| -v).collect()),
            Some(c) => (c.x, c.values),
            None => return Some(node),
        },
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
