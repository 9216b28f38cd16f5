//! Lowers float operators between DequantizeLinear and QuantizeLinear to integer arithmetic.
//!
//! Two rules meet in the middle. A product of dequantised operands becomes an integer product whose 32-bit sums are
//! dequantised ([`linear`]); a QuantizeLinear of such sums becomes a Requantize, with Relu and Clip in its bounds
//! ([`quantise`]). Sums and means of 8-bit operands have operators of their own, and what only moves elements moves
//! the integers ([`operand`]). Where activations have 16 bits, a product and its QuantizeLinear become one operator
//! ([`wide`]). What is left between the two stays float.

mod linear;
mod operand;
mod quantise;
mod table;
#[cfg(test)]
mod tests;
mod weights;
mod wide;

pub(super) use operand::{Parameters, integers};
pub(crate) use table::{broadcasts_inside, is_pointwise};

use super::rewrite::rewrite;
use crate::ir::Graph;
use cygnet_format::Op;

/// Lowers quantised operators; gives their number. Dequantised weights must not be folded before.
pub fn lower_quantised(graph: &mut Graph) -> usize {
    rewrite(graph, &mut |cx, node| match node.op {
        Op::MatMul(_) | Op::Conv(_) | Op::DepthwiseConv(_) => {
            linear::lower(cx, &node).or(Some(node))
        }
        Op::QuantizeLinear(_) => quantise::lower(cx, node),
        _ => Some(node),
    })
}

/// True when the graph dequantises anything.
pub fn is_quantised(graph: &Graph) -> bool {
    let nodes = graph.blocks.iter().flat_map(|b| &b.nodes);
    nodes
        .into_iter()
        .any(|n| matches!(n.op, Op::DequantizeLinear(_)))
}
