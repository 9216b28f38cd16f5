//! What convolutions and matrix products have in common for the passes that fuse into them.

use super::rewrite::Rewriter;
use crate::ir::{Node, Type, ValueId};
use cygnet_format::op::{Activation, ActivationKind};
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
