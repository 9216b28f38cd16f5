//! Applies the activation inside of the linear operator before it.

use super::linear::{activation, set_activation};
use super::rewrite::rewrite;
use crate::ir::Graph;
use cygnet_format::Op;
use cygnet_format::op::{Activation, ActivationKind, Unary, UnaryKind};

fn fused_kind(op: &Unary) -> Option<Activation> {
    let kind = match op.kind {
        UnaryKind::Relu => ActivationKind::Relu,
        UnaryKind::Clip => ActivationKind::Clip,
        UnaryKind::LeakyRelu => ActivationKind::LeakyRelu,
        UnaryKind::Sigmoid => ActivationKind::Sigmoid,
        UnaryKind::Tanh => ActivationKind::Tanh,
        UnaryKind::HardSwish => ActivationKind::HardSwish,
        UnaryKind::HardSigmoid => ActivationKind::HardSigmoid,
        UnaryKind::Swish if op.a == 1.0 => ActivationKind::Silu,
        UnaryKind::GeluErf => ActivationKind::GeluErf,
        UnaryKind::GeluTanh => ActivationKind::GeluTanh,
        _ => return None,
    };
    let (a, b) = if kind == ActivationKind::Silu {
        (0.0, 0.0)
    } else {
        (op.a, op.b)
    };
    Some(Activation { kind, a, b })
}

/// Fuses activations; gives their number.
pub fn fuse_activation(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| {
        let Op::Unary(unary) = node.op else {
            return Some(node);
        };
        let (Some(x), Some(act)) = (node.inputs[0], fused_kind(&unary)) else {
            return Some(node);
        };
        let open = cx
            .def(x)
            .and_then(|n| activation(&n.op))
            .is_some_and(|a| a.kind == ActivationKind::None);
        if !open || !cx.only_here(x) {
            return Some(node);
        }
        let mut fused = cx.take(x);
        set_activation(&mut fused.op, act);
        fused.outputs = node.outputs;
        cx.changes += 1;
        Some(fused)
    })
}
