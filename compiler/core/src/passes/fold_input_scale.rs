//! Multiplies scales that precede a linear operator into its weights, and offsets into its bias.

use super::linear::{bias, columnwise, repacked, set_bias, unpacked, width};
use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::Op;
use cygnet_format::op::{BinaryKind, UnaryKind};

/// Folds scales and offsets of inputs into weights and biases; gives their number.
pub fn fold_input_scale(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| {
        let (Some(Some(x)), Some(Some(y))) =
            (node.inputs.first().copied(), node.outputs.first().copied())
        else {
            return Some(node);
        };
        // A padded border is zero, not the offset.
        let padded = match &node.op {
            Op::Conv(o) => o.pads.iter().any(|&p| p != 0),
            Op::DepthwiseConv(o) => o.pads.iter().any(|&p| p != 0),
            Op::MatMul(o) if o.alpha == 1.0 => false,
            _ => return Some(node),
        };
        let Some(before) = affine(cx, x).filter(|_| cx.only_here(x)) else {
            return Some(node);
        };
        let offsets = before.offset.iter().any(|&b| b != 0.0);
        let Some(n) = width(cx.graph.ty(y)).filter(|_| !(padded && offsets)) else {
            return Some(node);
        };
        fold(cx, &node, &before, n).or(Some(node))
    })
}

/// `v * factor + offset`, a pair a channel.
struct Affine {
    v: ValueId,
    factor: Vec<f32>,
    offset: Vec<f32>,
}

/// The scale or offset that gives `x`.
fn affine(cx: &Rewriter<'_>, x: ValueId) -> Option<Affine> {
    let n = width(cx.graph.ty(x))?;
    let node = cx.def(x)?;
    let made = |v, factor, offset| Affine { v, factor, offset };
    if let Op::Unary(u) = node.op {
        return (u.kind == UnaryKind::Affine)
            .then(|| Some(made(node.inputs[0]?, vec![u.a; n], vec![u.b; n])))?;
    }
    let (ones, zeros) = (vec![1.0; n], vec![0.0; n]);
    let signed = |c: super::linear::Columnwise, f: fn(f32) -> f32| {
        let values = if c.opposite {
            c.values.into_iter().map(f).collect()
        } else {
            c.values
        };
        (c.x, values)
    };
    let found = if let Some(c) = columnwise(cx, node, BinaryKind::Mul, BinaryKind::Div) {
        let (v, factor) = signed(c, |f| 1.0 / f);
        made(v, factor, zeros)
    } else {
        let c = columnwise(cx, node, BinaryKind::Add, BinaryKind::Sub)?;
        let (v, offset) = signed(c, |b| -b);
        made(v, ones, offset)
    };
    // An operand that is broadcast has not the shape that the linear operator takes.
    (cx.graph.ty(found.v) == cx.graph.ty(x)).then_some(found)
}

/// Input channel and output column of an element of the weights.
type Place = Box<dyn Fn(usize) -> (usize, usize)>;

fn fold(cx: &mut Rewriter<'_>, node: &Node, before: &Affine, n: usize) -> Option<Node> {
    let mut added = bias(cx, node, n)?;
    let (source, packing) = unpacked(cx, node.inputs[1]?)?;
    let shape = cx.graph.ty(source).fixed_shape()?;
    let mut data = cx.graph.constant_f32(source)?;
    let (rank, channels) = (shape.len(), before.factor.len());
    let place: Place = match (&node.op, packing) {
        // `[G, taps*C/G, O/G]`, taps outermost.
        (Op::Conv(_), Some(Op::PackB(p)))
            if !p.trans
                && rank == 3
                && shape[0] * shape[2] == n
                && channels.is_multiple_of(shape[0])
                && shape[1].is_multiple_of(channels / shape[0]) =>
        {
            let (k, o, c) = (shape[1], shape[2], channels / shape[0]);
            Box::new(move |i| {
                let group = i / (k * o);
                (group * c + i / o % k % c, group * o + i % o)
            })
        }
        (Op::MatMul(_), Some(Op::PackB(p))) if rank == 2 => {
            let (rows, cols, trans) = (shape[0], shape[1], p.trans);
            let (depth, columns) = if trans { (cols, rows) } else { (rows, cols) };
            if columns != n || depth != channels {
                return None;
            }
            Box::new(move |i| {
                let (row, col) = (i / cols, i % cols);
                if trans { (col, row) } else { (row, col) }
            })
        }
        (Op::DepthwiseConv(_), None) if shape.last() == Some(&n) && channels == n => {
            Box::new(move |i| (i % n, i % n))
        }
        _ => return None,
    };
    let mut sums = vec![0.0f64; n];
    for (i, w) in data.iter_mut().enumerate() {
        let (channel, column) = place(i);
        sums[column] += f64::from(*w) * f64::from(before.offset[channel]);
        *w *= before.factor[channel];
    }
    added
        .iter_mut()
        .zip(&sums)
        .for_each(|(v, s)| *v += *s as f32);
    if data.iter().chain(&added).any(|v| !v.is_finite()) {
        return None;
    }
    let weights = cx.constant(&shape, &data);
    let mut fused = node.clone();
    fused.inputs[0] = Some(before.v);
    fused.inputs[1] = Some(repacked(cx, node, weights, packing)?);
    set_bias(cx, &mut fused, &added);
    cx.changes += 1;
    Some(fused)
}
