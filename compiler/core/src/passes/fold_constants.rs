//! Computes nodes whose operands are all constants.

use super::rewrite::rewrite;
use crate::ir::Graph;
use cygnet_format::Op;
use std::sync::Arc;

/// Largest growth that folding may cause, in bytes beyond twice the operands.
const MAX_GROWTH: usize = 1 << 20;

/// What may be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Neither dequantised constants, which integer arithmetic takes as they are, nor packed ones.
    Quantised,
    /// No packed constants: scales and biases fold into unpacked ones.
    Unpacked,
    /// Everything.
    All,
}

/// Folds; gives the number of nodes computed.
pub fn fold_constants(graph: &mut Graph, fold: Fold) -> usize {
    rewrite(graph, &mut |cx, node| {
        let ready = node.inputs.iter().flatten().all(|&v| cx.is_const(v))
            && node.inputs.iter().any(Option::is_some);
        let kept = match node.op {
            Op::PackB(_) => fold != Fold::All,
            Op::DequantizeLinear(_) => fold == Fold::Quantised,
            _ => false,
        };
        if !ready || kept {
            return Some(node);
        }
        let bytes = |v| {
            cx.graph
                .ty(v)
                .fixed_len()
                .map(|n| n * cx.graph.ty(v).dtype.size())
        };
        let read: usize = node.inputs.iter().flatten().filter_map(|&v| bytes(v)).sum();
        let Some(made) = node
            .outputs
            .iter()
            .flatten()
            .map(|&v| bytes(v))
            .sum::<Option<usize>>()
        else {
            return Some(node);
        };
        if made > 2 * read + MAX_GROWTH && !matches!(node.op, Op::PackB(_)) {
            return Some(node);
        }
        let Some(results) = crate::fold::evaluate(cx.graph, &node) else {
            return Some(node);
        };
        for (v, data) in node.outputs.iter().zip(results) {
            if let (Some(v), Some(data)) = (v, data) {
                cx.graph.value_mut(*v).data = Some(Arc::new(data));
            }
        }
        cx.changes += 1;
        None
    })
}
