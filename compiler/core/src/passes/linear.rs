//! What convolutions and matrix products have in common for the passes that fuse into them.

use super::rewrite::Rewriter;
use crate::ir::{Node, Type, ValueId};
use cygnet_format::op::{Activation, ActivationKind, BinaryKind};
use cygnet_format::{Dim, Op};

/// The fused activation of an operator that can have one.
pub(super) fn activation(op: &Op) -> Option<Activation> {
    match op {
        Op::MatMul(o) => Some(o.act),
        Op::Conv(o) => Some(o.act),
        Op::DepthwiseConv(o) => Some(o.act),
        Op::ConvTranspose(o) => Some(o.act),
        _ => None,
    }
}

pub(super) fn set_activation(op: &mut Op, act: Activation) {
    match op {
        Op::MatMul(o) => o.act = act,
        Op::Conv(o) => o.act = act,
        Op::DepthwiseConv(o) => o.act = act,
        Op::ConvTranspose(o) => o.act = act,
        _ => {}
    }
}

/// True when `v` is made by a linear operator that nobody else reads, still without activation and residual, of the
/// type `ty`.
pub(super) fn open(cx: &Rewriter<'_>, v: ValueId, ty: &Type) -> bool {
    let Some(node) = cx.def(v) else { return false };
    let free = activation(&node.op).is_some_and(|a| a.kind == ActivationKind::None);
    free && cx.only_here(v) && node.inputs.get(3).copied().flatten().is_none() && cx.ty(v) == *ty
}

/// A constant operand that is one number for each of the `n` columns of the last axis, spelled out.
pub(super) fn columns(cx: &Rewriter<'_>, v: ValueId, n: usize) -> Option<Vec<f32>> {
    let shape = cx.graph.ty(v).fixed_shape()?;
    let data = cx.graph.constant_f32(v)?;
    match data.len() {
        1 => Some(vec![data[0]; n]),
        len if len == n && shape.last() == Some(&n) => Some(data),
        _ => None,
    }
}

/// A step that combines every column of its operand with a constant.
pub(super) struct Columnwise {
    /// The operand.
    pub x: ValueId,
    /// The constant of every column.
    pub values: Vec<f32>,
    /// True for Sub and Div.
    pub opposite: bool,
}

/// The column-wise step that `node` is: `direct` (Add or Mul, constant on either side) or `opposite` (Sub or Div, constant
/// on the right).
pub(super) fn columnwise(
    cx: &Rewriter<'_>,
    node: &Node,
    direct: BinaryKind,
    opposite: BinaryKind,
) -> Option<Columnwise> {
    let Op::Binary(op) = node.op else { return None };
    if op.kind != direct && op.kind != opposite {
        return None;
    }
    let (x, z) = (node.inputs[0]?, node.inputs[1]?);
    let n = width(cx.graph.ty(node.outputs[0]?))?;
    let swap = cx.is_const(x) && op.kind == direct;
    let (x, c) = if swap { (z, x) } else { (x, z) };
    Some(Columnwise {
        x,
        values: columns(cx, c, n)?,
        opposite: op.kind == opposite,
    })
}

/// The weights of a linear node before they are packed, and the packing.
pub(super) fn unpacked(cx: &Rewriter<'_>, w: ValueId) -> Option<(ValueId, Option<Op>)> {
    match cx.def(w) {
        Some(Node {
            op: op @ Op::PackB(_),
            inputs,
            ..
        }) => Some((inputs[0]?, Some(*op))),
        _ => Some((w, None)),
    }
}

/// Constant weights, packed as those that they replace.
pub(super) fn repacked(
    cx: &mut Rewriter<'_>,
    node: &Node,
    weights: ValueId,
    packing: Option<Op>,
) -> Option<ValueId> {
    let Some(op) = packing else {
        return Some(weights);
    };
    let ty = cx.ty(node.inputs[1]?);
    Some(cx.emit(&node.source, op, vec![Some(weights)], ty))
}

/// The number of columns of a value.
pub(super) fn width(ty: &Type) -> Option<usize> {
    ty.shape
        .last()
        .copied()
        .and_then(Dim::as_const)
        .filter(|&n| n > 0)
}

/// The bias of a linear node, zeros when it has none; `None` when it is not constant.
pub(super) fn bias(cx: &Rewriter<'_>, node: &Node, n: usize) -> Option<Vec<f32>> {
    match node.inputs.get(2).copied().flatten() {
        None => Some(vec![0.0; n]),
        Some(b) => columns(cx, b, n),
    }
}

pub(super) fn set_bias(cx: &mut Rewriter<'_>, node: &mut Node, bias: &[f32]) {
    while node.inputs.len() < 3 {
        node.inputs.push(None);
    }
    node.inputs[2] = bias
        .iter()
        .any(|&b| b != 0.0)
        .then(|| cx.constant(&[bias.len()], bias));
}
