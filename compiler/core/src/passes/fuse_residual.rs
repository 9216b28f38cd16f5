//! Adds the other branch inside of the linear operator that ends one branch.

use super::linear::open;
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node};
use cygnet_format::Op;
use cygnet_format::op::BinaryKind;

/// Fuses residual additions; gives their number.
pub fn fuse_residual(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Op::Binary(op) = node.op else {
        return Some(node);
    };
    let (Some(p), Some(q), Some(y)) = (node.inputs[0], node.inputs[1], node.outputs[0]) else {
        return Some(node);
    };
    let ty = cx.ty(y);
    if op.kind != BinaryKind::Add || p == q || cx.ty(p) != ty || cx.ty(q) != ty {
        return Some(node);
    }
    let takes =
        |v| open(cx, v, &ty) && !matches!(cx.def(v).map(|n| n.op), Some(Op::ConvTranspose(_)));
    // Of two candidates the later one: the earlier result must be there anyway.
    let (x, r) = match (takes(p), takes(q)) {
        (false, false) => return Some(node),
        (true, false) => (p, q),
        (false, true) => (q, p),
        (true, true) if cx.position(p) > cx.position(q) => (p, q),
        (true, true) => (q, p),
    };
    let mut fused = cx.take(x);
    fused.inputs.resize(4, None);
    fused.inputs[3] = Some(r);
    fused.outputs = node.outputs;
    cx.changes += 1;
    Some(fused)
}
