//! Recognises attention: matrix product, scale, mask, softmax, matrix product.

use super::rewrite::{Rewriter, permuted, rewrite};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::Op;
use cygnet_format::op::{
    ActivationKind, Attention, BinaryKind, MatMul, SoftmaxKind, Transpose, UnaryKind,
};

/// Recognises attention; gives its number.
pub fn recognise_attention(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| match node.op {
        Op::MatMul(op) => attention(cx, &node, &op).or(Some(node)),
        _ => Some(node),
    })
}

/// A plain matrix product: operands, whether the second is transposed, and the factor.
fn product(
    cx: &Rewriter<'_>,
    op: &MatMul,
    inputs: &[Option<ValueId>],
) -> Option<(ValueId, ValueId, bool, f32)> {
    if op.act.kind != ActivationKind::None || inputs.iter().skip(2).any(Option::is_some) {
        return None;
    }
    let (a, w) = (inputs[0]?, inputs[1]?);
    let Some(Node {
        op: Op::PackB(pack),
        inputs,
        ..
    }) = cx.def(w)
    else {
        return None;
    };
    Some((a, inputs[0]?, pack.trans, op.alpha))
}

fn scaled(cx: &Rewriter<'_>, v: ValueId) -> (ValueId, f32) {
    match cx.def(v) {
        Some(Node {
            op: Op::Unary(u),
            inputs,
            ..
        }) if u.kind == UnaryKind::Affine && u.b == 0.0 => (inputs[0].expect("one operand"), u.a),
        _ => (v, 1.0),
    }
}

fn attention(cx: &mut Rewriter<'_>, node: &Node, op: &MatMul) -> Option<Node> {
    let y = node.outputs[0]?;
    let (weights, v, trans, alpha) = product(cx, op, &node.inputs)?;
    if trans || alpha != 1.0 || !cx.only_here(weights) {
        return None;
    }
    let Some(Node {
        op: Op::Softmax(soft),
        inputs,
        ..
    }) = cx.def(weights)
    else {
        return None;
    };
    let rank = cx.ty(weights).rank();
    if soft.axis as usize != rank - 1 || soft.kind != SoftmaxKind::Softmax || rank < 3 {
        return None;
    }
    let scores = inputs[0]?;
    let below = cx.def(scores)?;
    let (scores, mask) = match below.op {
        Op::Binary(b) if b.kind == BinaryKind::Add => {
            let (p, q) = (below.inputs[0]?, below.inputs[1]?);
            let is_product =
                |v| matches!(cx.def(scaled(cx, v).0).map(|n| n.op), Some(Op::MatMul(_)));
            match (is_product(p), is_product(q)) {
                (true, _) if cx.ty(p) == cx.ty(scores) => (p, Some(q)),
                (_, true) if cx.ty(q) == cx.ty(scores) => (q, Some(p)),
                _ => return None,
            }
        }
        _ => (scores, None),
    };
    let (scores, outer) = scaled(cx, scores);
    let first = cx.def(scores)?;
    let Op::MatMul(inner) = first.op else {
        return None;
    };
    let (q, k, k_is_plain, alpha) = product(cx, &inner, &first.inputs)?;
    if cx.readers(scores) > 1 {
        return None;
    }
    let (q, q_scale) = scaled(cx, q);
    let (k, k_scale) = scaled(cx, k);
    let scale = alpha * outer * q_scale * k_scale;
    let (tq, tk, tv) = (cx.ty(q), cx.ty(k), cx.ty(v));
    let lead = rank - 2;
    if tq.rank() != rank || tk.rank() != rank || tv.rank() != rank {
        return None;
    }
    if tq.shape[..lead] != tk.shape[..lead] || tq.shape[..lead] != tv.shape[..lead] {
        return None;
    }
    let source = node.source.clone();
    let k = if k_is_plain {
        k
    } else {
        let mut perm: Vec<usize> = (0..rank).collect();
        perm.swap(rank - 2, rank - 1);
        let ty = Type::new(tk.dtype, &permuted(&tk.shape, &perm));
        let op = Transpose {
            perm: perm.iter().map(|&p| p as i32).collect(),
        };
        cx.emit(&source, op, vec![Some(k)], ty)
    };
    let mut inputs = vec![Some(q), Some(k), Some(v)];
    inputs.extend(mask.map(Some));
    cx.changes += 1;
    let op = Attention {
        scale,
        causal: false,
        softcap: 0.0,
    }
    .into();
    Some(Node {
        op,
        inputs,
        outputs: vec![Some(y)],
        source,
    })
}
