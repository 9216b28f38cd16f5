//! Multiplies scales that follow a linear operator into its weights: batch normalisation disappears.

use super::linear::{bias, columnwise, open, repacked, set_bias, unpacked, width};
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::Op;
use cygnet_format::op::{BinaryKind, UnaryKind};

/// Folds scales into weights; gives their number.
pub fn fold_scale(graph: &mut Graph) -> usize {
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
    let (x, factors, offset) = match node.op {
        Op::Unary(op) if op.kind == UnaryKind::Affine && op.a != 1.0 => match node.inputs[0] {
            Some(x) => (x, vec![op.a; n], op.b),
            None => return Some(node),
        },
        _ => match columnwise(cx, &node, BinaryKind::Mul, BinaryKind::Div) {
            Some(c) if c.opposite => (c.x, c.values.iter().map(|v| 1.0 / v).collect(), 0.0),
            Some(c) => (c.x, c.values, 0.0),
            None => return Some(node),
        },
    };
    if !factors.iter().all(|f| f.is_finite()) || !open(cx, x, &ty) {
        return Some(node);
    }
    let below = cx.def(x).expect("open").clone();
    let Some(mut b) = bias(cx, &below, n) else {
        return Some(node);
    };
    let mut op = below.op;
    let weights = match &mut op {
        // A product of two computed operands takes a common factor.
        Op::MatMul(m)
            if !constant_weights(cx, &below) && factors.windows(2).all(|w| w[0] == w[1]) =>
        {
            m.alpha *= factors[0];
            below.inputs[1]
        }
        _ => scaled(cx, &below, &factors),
    };
    let Some(weights) = weights else {
        return Some(node);
    };
    b.iter_mut()
        .zip(&factors)
        .for_each(|(b, f)| *b = *b * f + offset);
    let mut fused = cx.take(x);
    fused.op = op;
    fused.inputs[1] = Some(weights);
    set_bias(cx, &mut fused, &b);
    fused.outputs = node.outputs;
    cx.changes += 1;
    Some(fused)
}

fn constant_weights(cx: &Rewriter<'_>, node: &Node) -> bool {
    node.inputs[1]
        .and_then(|w| unpacked(cx, w))
        .is_some_and(|(source, _)| cx.is_const(source))
}

/// The weights of a linear node with every output column multiplied by its factor.
fn scaled(cx: &mut Rewriter<'_>, node: &Node, factors: &[f32]) -> Option<ValueId> {
    let (source, packing) = unpacked(cx, node.inputs[1]?)?;
    let shape = cx.graph.ty(source).fixed_shape()?;
    let mut data = cx.graph.constant_f32(source)?;
    let n = factors.len();
    let rank = shape.len();
    match (&node.op, packing) {
        (Op::MatMul(_), Some(Op::PackB(pack))) => {
            let (rows, cols) = (shape[rank - 2], shape[rank - 1]);
            if (if pack.trans { rows } else { cols }) != n {
                return None;
            }
            for (i, v) in data.iter_mut().enumerate() {
                *v *= factors[if pack.trans {
                    i / cols % rows
                } else {
                    i % cols
                }];
            }
        }
        // `[G, K, O/G]`: the factor of group g and column o is that of output g*O/G + o.
        (Op::Conv(_), Some(Op::PackB(pack)))
            if !pack.trans && rank == 3 && shape[0] * shape[2] == n =>
        {
            let (k, o) = (shape[1], shape[2]);
            for (i, v) in data.iter_mut().enumerate() {
                *v *= factors[i / (k * o) * o + i % o];
            }
        }
        (Op::DepthwiseConv(_), None) if shape.last() == Some(&n) => {
            data.iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v *= factors[i % n]);
        }
        (Op::ConvTranspose(_), None) if rank == 4 && shape[0] * shape[3] == n => {
            let (inner, o) = (shape[1] * shape[2] * shape[3], shape[3]);
            for (i, v) in data.iter_mut().enumerate() {
                *v *= factors[i / inner * o + i % o];
            }
        }
        _ => return None,
    }
    let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    let ty: Type = cx.ty(source);
    let c = cx.constant_bytes(ty, bytes);
    repacked(cx, node, c, packing)
}
