//! Lets convolutions and pools pad by themselves.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node};
use cygnet_format::op::{PadMode, PoolKind};
use cygnet_format::{Axes, Dim, Op};

/// Fuses paddings; gives their number.
pub fn fuse_pad(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, mut node| {
        let Some(Some(x)) = node.inputs.first().copied() else {
            return Some(node);
        };
        let (pads, value) = match &node.op {
            Op::Conv(o) => (o.pads, 0.0),
            Op::DepthwiseConv(o) => (o.pads, 0.0),
            Op::Pool(o) if o.kind == PoolKind::Max && node.outputs.len() == 1 => {
                (o.pads, f32::NEG_INFINITY)
            }
            _ => return Some(node),
        };
        let Some((before, pads)) = padding(cx, cx.def(x), &pads, value) else {
            return Some(node);
        };
        match &mut node.op {
            Op::Conv(o) => o.pads = pads,
            Op::DepthwiseConv(o) => o.pads = pads,
            Op::Pool(o) => o.pads = pads,
            _ => {}
        }
        node.inputs[0] = Some(before);
        cx.changes += 1;
        Some(node)
    })
}

/// The operand of a padding that `pads` can take over, and the sum of both.
fn padding(
    cx: &Rewriter<'_>,
    pad: Option<&Node>,
    pads: &Axes,
    value: f32,
) -> Option<(crate::ir::ValueId, Axes)> {
    let pad = pad?;
    let Op::Pad(op) = pad.op else { return None };
    let fill = match pad.inputs.get(1).copied().flatten() {
        None => 0.0,
        Some(v) => cx.scalar(v)?,
    };
    if op.mode != PadMode::Constant || fill != value {
        return None;
    }
    let (x, y) = (pad.inputs[0]?, pad.outputs[0]?);
    let (from, to) = (cx.shape(x), cx.shape(y));
    let rank = from.len();
    let n = rank - 2;
    let mut sum = pads.to_vec();
    for axis in 0..rank {
        let before = op.before[axis].as_const()? as i32;
        let after = if from[axis] == to[axis] && op.before[axis] == Dim(0) {
            0
        } else {
            to[axis].as_const()? as i32 - from[axis].as_const()? as i32 - before
        };
        if axis == 0 || axis == rank - 1 {
            if (before, after) != (0, 0) {
                return None;
            }
        } else if before < 0 || after < 0 {
            return None;
        } else {
            sum[axis - 1] += before;
            sum[axis - 1 + n] += after;
        }
    }
    Some((x, Axes::new(&sum)?))
}
