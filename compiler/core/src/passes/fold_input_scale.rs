//! Multiplies a scalar scale that precedes a linear operator into its weights, and the offset into its bias.

use super::linear::{bias, set_bias, width};
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::Op;
use cygnet_format::op::UnaryKind;

/// Folds scales of inputs into weights; gives their number.
pub fn fold_input_scale(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| {
        let (Some(Some(x)), Some(Some(y))) =
            (node.inputs.first().copied(), node.outputs.first().copied())
        else {
            return Some(node);
        };
        let below = match cx.def(x) {
            Some(Node {
                op: Op::Unary(u),
                inputs,
                ..
            }) if u.kind == UnaryKind::Affine => inputs[0].map(|v| (u.a, u.b, v)),
            _ => None,
        };
        let Some((a, b, v)) = below.filter(|_| cx.only_here(x)) else {
            return Some(node);
        };
        // A padded border is zero, not the offset.
        let padded = match &node.op {
            Op::Conv(o) => o.pads.iter().any(|&p| p != 0),
            Op::DepthwiseConv(o) => o.pads.iter().any(|&p| p != 0),
            Op::MatMul(o) if o.alpha == 1.0 => false,
            _ => return Some(node),
        };
        let Some(n) = width(cx.graph.ty(y)).filter(|_| !(padded && b != 0.0)) else {
            return Some(node);
        };
        fold(cx, &node, v, a, b, n).or(Some(node))
    })
}

fn fold(cx: &mut Rewriter<'_>, node: &Node, x: ValueId, a: f32, b: f32, n: usize) -> Option<Node> {
    let mut added = bias(cx, node, n)?;
    let w = node.inputs[1]?;
    let (source, packing) = match cx.def(w) {
        Some(Node {
            op: op @ Op::PackB(_),
            inputs,
            ..
        }) => (inputs[0]?, Some(*op)),
        _ => (w, None),
    };
    let shape = cx.graph.ty(source).fixed_shape()?;
    let mut data = cx.graph.constant_f32(source)?;
    let rank = shape.len();
    // The output column that element `i` of the weights belongs to.
    let column: Box<dyn Fn(usize) -> usize> = match (&node.op, packing) {
        (Op::Conv(_), Some(Op::PackB(p))) if !p.trans && rank == 3 && shape[0] * shape[2] == n => {
            let (k, o) = (shape[1], shape[2]);
            Box::new(move |i| i / (k * o) * o + i % o)
        }
        (Op::MatMul(_), Some(Op::PackB(p))) if rank == 2 => {
            let (rows, cols, trans) = (shape[0], shape[1], p.trans);
            if (if trans { rows } else { cols }) != n {
                return None;
            }
            Box::new(move |i| if trans { i / cols } else { i % cols })
        }
        (Op::DepthwiseConv(_), None) if shape.last() == Some(&n) => Box::new(move |i| i % n),
        _ => return None,
    };
    let mut sums = vec![0.0f64; n];
    for (i, v) in data.iter_mut().enumerate() {
        sums[column(i)] += *v as f64;
        *v *= a;
    }
    added
        .iter_mut()
        .zip(&sums)
        .for_each(|(v, s)| *v += (b as f64 * s) as f32);
    if data.iter().chain(&added).any(|v| !v.is_finite()) {
        return None;
    }
    let mut weights = cx.constant(&shape, &data);
    if let Some(op) = packing {
        let ty = cx.ty(w);
        weights = cx.emit(&node.source, op, vec![Some(weights)], ty);
    }
    let mut fused = node.clone();
    fused.inputs[0] = Some(x);
    fused.inputs[1] = Some(weights);
    set_bias(cx, &mut fused, &added);
    cx.changes += 1;
    Some(fused)
}
