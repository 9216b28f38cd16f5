//! What may differ between integer arithmetic and an oracle that computes in floats.
//!
//! A value that lies between two integers is rounded up by one and down by the other, and what follows amplifies the
//! difference: a deep network may end several steps away in most elements and still be right. What a wrong lowering
//! gives is noise as loud as the signal.

use super::Difference;
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::{DType, Op};
use std::collections::HashMap;

/// Signal to noise, in decibels, that an integer result has at least.
const LEAST_SNR_DB: f64 = 20.0;

/// How a graph quantises; by default not at all.
#[derive(Clone, Debug, Default)]
pub struct Quantisation {
    /// True when some step rounds to few bits.
    pub rounds: bool,
    /// True when floats are computed with, so that instruction sets may differ in the last bits before they round.
    pub floats: bool,
    /// True when rows are quantised by a range that they have at run time.
    pub dynamic: bool,
    /// The quantisation step of every output, where it has one.
    pub steps: Vec<Option<f32>>,
}

impl Quantisation {
    /// Of a graph as emitted.
    pub fn of(graph: &Graph) -> Quantisation {
        let nodes = || graph.blocks.iter().flat_map(|b| &b.nodes);
        let mut definitions = HashMap::new();
        for node in nodes() {
            for v in node.outputs.iter().flatten() {
                definitions.insert(*v, node);
            }
        }
        let computes = |n: &Node| {
            let float = n
                .outputs
                .iter()
                .flatten()
                .any(|&v| graph.ty(v).dtype.is_float());
            float && !matches!(n.op, Op::DequantizeLinear(_)) && !moves(&n.op)
        };
        Quantisation {
            rounds: nodes().any(|n| {
                matches!(
                    n.op,
                    Op::QuantizeLinear(_)
                        | Op::DynamicQuantizeLinear(_)
                        | Op::DynamicMatMul(_)
                        | Op::Requantize(_)
                        | Op::QuantizedConv(_)
                        | Op::QuantizedDepthwise(_)
                        | Op::QuantizedAdd(_)
                        | Op::QuantizedMul(_)
                        | Op::Int16Conv(_)
                        | Op::Int16Depthwise(_)
                        | Op::Int16Add(_)
                        | Op::Int16Mul(_)
                        | Op::Int16Pool(_)
                        | Op::Lookup(_)
                        | Op::QuantizedAveragePool(_)
                )
            }),
            floats: nodes().any(computes),
            dynamic: nodes().any(|n| matches!(n.op, Op::DynamicMatMul(_))),
            steps: graph
                .outputs
                .iter()
                .map(|p| step(graph, &definitions, p.value))
                .collect(),
        }
    }

    /// True when output `i`, so far from the oracle's, is right all the same.
    pub fn tolerates(&self, i: usize, d: &Difference) -> bool {
        let near = |step: f32| d.max_abs <= 1.001 * f64::from(step);
        self.rounds
            && (self.steps.get(i).copied().flatten().is_some_and(near) || d.snr_db >= LEAST_SNR_DB)
    }
}

fn moves(op: &Op) -> bool {
    matches!(
        op,
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice(_) | Op::Concat(_) | Op::Expand(_)
    )
}

/// The step between two neighbouring values of `v`.
fn step(graph: &Graph, definitions: &HashMap<ValueId, &Node>, v: ValueId) -> Option<f32> {
    if matches!(graph.ty(v).dtype, DType::I8 | DType::U8) {
        return Some(1.0);
    }
    let mut v = v;
    loop {
        let node = definitions.get(&v)?;
        match node.op {
            Op::DequantizeLinear(_) => {
                let narrow = graph.ty(node.inputs[0]?).dtype.size() == 1;
                let scales = graph.constant_f32(node.inputs[1]?)?;
                return scales.into_iter().reduce(f32::max).filter(|_| narrow);
            }
            Op::Reshape(_) | Op::Transpose(_) => v = node.inputs[0]?,
            _ => return None,
        }
    }
}
