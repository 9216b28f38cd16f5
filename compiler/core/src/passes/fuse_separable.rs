//! Runs expansion, depthwise convolution and projection by bands of rows, where what lies between them is large.
//!
//! Layer by layer, the expanded tensor of an inverted residual is the peak of memory, and larger than the caches that it
//! is written through and read back from. A band of it is neither. Small tensors stay layer by layer: they fit the cache,
//! and the weights would be read once a band.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, Type, ValueId};
use cygnet_format::op::{Activation, Conv, DepthwiseConv, SeparableConv};
use cygnet_format::{DType, Op};

/// Bytes from which a tensor between two convolutions is worth a band: half of a second-level cache of today's phones and
/// desktops does not hold it.
const LARGE: usize = 512 << 10;

/// Bytes of scratch a worker should take.
const BAND: usize = 192 << 10;

/// Bands at work at a time; more threads than this do not help a separable convolution.
const WORKERS: usize = 4;

/// Fuses separable convolutions; gives their number.
pub fn fuse_separable(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    match node.op {
        Op::DepthwiseConv(op) => expansion(cx, node, &op),
        Op::Conv(op) if pointwise(&op) => projection(cx, node, &op),
        _ => Some(node),
    }
}

fn pointwise(op: &Conv) -> bool {
    op.group == 1
        && op.kernel.len() == 2
        && op.kernel.iter().all(|&k| k == 1)
        && op.strides.iter().all(|&s| s == 1)
        && op.pads.iter().all(|&p| p == 0)
}

/// Bytes of a rank-4 f32 tensor of constant shape.
fn size(cx: &Rewriter<'_>, v: ValueId) -> Option<usize> {
    let ty = cx.ty(v);
    let known = ty.rank() == 4 && ty.dtype == DType::F32;
    known.then(|| ty.fixed_len()).flatten().map(|n| n * 4)
}

fn operand(node: &Node, i: usize) -> Option<ValueId> {
    node.inputs.get(i).copied().flatten()
}

/// Whether a depthwise convolution can run by bands.
fn plain(cx: &Rewriter<'_>, node: &Node, op: &DepthwiseConv) -> bool {
    let (Some(x), Some(y)) = (operand(node, 0), node.outputs[0]) else {
        return false;
    };
    let pads_small = op
        .pads
        .iter()
        .zip(op.kernel.iter().cycle())
        .all(|(&p, &k)| p < k);
    op.kernel.len() == 2
        && op.dilations.iter().all(|&d| d == 1)
        && pads_small
        && operand(node, 3).is_none()
        && size(cx, x).is_some()
        && size(cx, y).is_some()
}

/// `depthwise(expand(x))`.
fn expansion(cx: &mut Rewriter<'_>, node: Node, op: &DepthwiseConv) -> Option<Node> {
    let Some(x) = operand(&node, 0) else {
        return Some(node);
    };
    let wide = plain(cx, &node, op) && size(cx, x).is_some_and(|n| n >= LARGE) && cx.only_here(x);
    let act = match cx.def(x) {
        Some(n) if wide && operand(n, 3).is_none() => match n.op {
            Op::Conv(op) if pointwise(&op) => op.act,
            _ => return Some(node),
        },
        _ => return Some(node),
    };
    let expand = cx.take(x);
    let inputs = [
        operand(&expand, 0),
        operand(&expand, 1),
        operand(&expand, 2),
        operand(&node, 1),
        operand(&node, 2),
    ];
    cx.changes += 1;
    Some(separable(
        cx,
        node.outputs[0],
        inputs.to_vec(),
        op,
        (act, Activation::default()),
        &node.source,
    ))
}

/// `project(depthwise(x))`, with or without an expansion.
fn projection(cx: &mut Rewriter<'_>, node: Node, op: &Conv) -> Option<Node> {
    let (Some(x), Some(y)) = (operand(&node, 0), node.outputs[0]) else {
        return Some(node);
    };
    let worth = size(cx, x).is_some_and(|n| n >= LARGE / 2) && size(cx, y).is_some();
    if !worth || !cx.only_here(x) {
        return Some(node);
    }
    let (inner, expand) = match cx.def(x) {
        Some(n) => match n.op {
            Op::DepthwiseConv(d) if plain(cx, n, &d) && size(cx, x).is_some_and(|n| n >= LARGE) => {
                (d, Activation::default())
            }
            Op::SeparableConv(s) if operand(n, 5).is_none() => (
                DepthwiseConv {
                    kernel: s.kernel,
                    strides: s.strides,
                    pads: s.pads,
                    act: s.depthwise,
                    ..DepthwiseConv::default()
                },
                s.expand,
            ),
            _ => return Some(node),
        },
        None => return Some(node),
    };
    let before = cx.take(x);
    let mut inputs = match before.op {
        Op::SeparableConv(_) => before.inputs,
        _ => vec![
            operand(&before, 0),
            None,
            None,
            operand(&before, 1),
            operand(&before, 2),
        ],
    };
    inputs.resize(5, None);
    inputs.extend([operand(&node, 1), operand(&node, 2), operand(&node, 3)]);
    cx.changes += 1;
    Some(separable(
        cx,
        Some(y),
        inputs,
        &inner,
        (expand, op.act),
        &node.source,
    ))
}

fn separable(
    cx: &mut Rewriter<'_>,
    y: Option<ValueId>,
    mut inputs: Vec<Option<ValueId>>,
    op: &DepthwiseConv,
    (expand, project): (Activation, Activation),
    source: &str,
) -> Node {
    inputs.resize(8, None);
    let shape = |v: Option<ValueId>| v.and_then(|v| cx.ty(v).fixed_shape()).unwrap_or_default();
    let (x, out, w) = (shape(inputs[0]), shape(y), shape(inputs[3]));
    let mut fused = SeparableConv {
        kernel: op.kernel,
        strides: op.strides,
        pads: op.pads,
        expand,
        depthwise: op.act,
        project,
        band: 1,
    };
    let (expands, projects) = (inputs[1].is_some(), inputs[5].is_some());
    let floats = |op: &SeparableConv| {
        op.scratch([x[1], x[2]], [out[1], out[2]], w[1], expands, projects)
            .expect("a part of the tensors it replaces")
    };
    // The longest band that fits, or a single row.
    for band in (1..=out[1] as u32).rev() {
        fused.band = band;
        if floats(&fused) * 4 <= BAND {
            break;
        }
    }
    let name = format!("scratch_{}", cx.graph.values.len());
    let ty = Type::fixed(DType::F32, &[WORKERS, floats(&fused).next_multiple_of(16)]);
    let scratch = cx.graph.add_value(name, ty);
    Node {
        op: fused.into(),
        inputs,
        outputs: vec![y, Some(scratch)],
        source: source.to_owned(),
    }
}
