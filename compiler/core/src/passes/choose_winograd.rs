//! Turns 3 x 3 convolutions into `winograd_conv` where that is faster.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, Type};
use cygnet_format::op::{Conv, WinogradConv};
use cygnet_format::{DType, Op};
use cygnet_kernels::{Conv as Shape, Winograd};

/// Tiles of a block: the transform of the weights, as long as the products of some four tiles, is worth little then.
const TILES: usize = 64;

/// Bytes of transformed inputs that a block should not exceed.
const INPUTS: usize = 1280 << 10;

/// Threads that find scratch for such blocks; more share it, with smaller blocks.
const THREADS: usize = 2;

/// Input channels whose weights are transformed at a time: two panels of them take 288 KiB, a part of a second-level
/// cache.
const DEPTH: usize = 64;

/// Channels, of input and output, below which the transforms cost what the products save.
const CHANNELS: usize = 16;

/// Pixels of the result below which it is the weights that cost.
const PIXELS: usize = 49;

/// Chooses Winograd's algorithm; gives the number of convolutions.
pub fn choose_winograd(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Op::Conv(op) = node.op else {
        return Some(node);
    };
    let Some((depth, scratch)) = plan(cx, &node, &op) else {
        return Some(node);
    };
    cx.changes += 1;
    let name = format!("scratch_{}", cx.graph.values.len());
    let ty = Type::fixed(DType::F32, &[scratch.next_multiple_of(16)]);
    let scratch = cx.graph.add_value(name, ty);
    let op = WinogradConv {
        pads: op.pads,
        depth: depth as u32,
        act: op.act,
    };
    Some(Node {
        op: op.into(),
        outputs: vec![node.outputs[0], Some(scratch)],
        ..node
    })
}

/// Depth and elements of scratch where the algorithm is faster.
fn plan(cx: &Rewriter<'_>, node: &Node, op: &Conv) -> Option<(usize, usize)> {
    let ones = |values: &[i32]| values.iter().all(|&v| v == 1);
    if op.kernel[..] != [3, 3] || !ones(&op.strides) || !ones(&op.dilations) || op.group != 1 {
        return None;
    }
    let shape = |v: Option<_>| -> Option<[usize; 4]> {
        let ty = cx.ty(v?);
        let shape = (ty.dtype == DType::F32)
            .then(|| ty.fixed_shape())
            .flatten()?;
        shape.try_into().ok()
    };
    let x = shape(*node.inputs.first()?)?;
    let y = shape(*node.outputs.first()?)?;
    let mut conv = Shape::new_2d(x[0], [x[1], x[2]], x[3], y[3], [3, 3]);
    conv.output = [1, y[1], y[2]];
    if x[3] < CHANNELS || y[3] < CHANNELS || y[0] * y[1] * y[2] < PIXELS {
        return None;
    }
    let depth = x[3].div_ceil(x[3].div_ceil(DEPTH)).next_multiple_of(16);
    let p = Winograd { conv, depth };
    let room = (INPUTS / (36 * 4 * x[3])).clamp(1, TILES);
    let tiles = p.tiles().div_ceil(p.tiles().div_ceil(room));
    Some((depth, p.scratch(tiles, THREADS).ok()?))
}
