//! Joins runs of elementwise steps into one pass over memory.

use super::rewrite::{Rewriter, rewrite};
use crate::ir::{Graph, Node, ValueId};
use cygnet_format::op::{BinaryKind, Chain, Micro, MicroKind};
use cygnet_format::{DType, Op};

/// Most micro-steps of a chain.
const LENGTH: usize = 16;
/// Most operands of a chain.
const OPERANDS: usize = 8;

/// Joins elementwise steps; gives the number of joints.
pub fn fuse_chain(graph: &mut Graph) -> usize {
    rewrite(graph, &mut rule)
}

fn arithmetic(kind: BinaryKind) -> bool {
    use BinaryKind::*;
    matches!(kind, Add | Sub | Mul | Div | Pow | Min | Max | Prelu)
}

/// A node as a chain: main operand first, and its steps.
fn as_chain(cx: &Rewriter<'_>, node: &Node) -> Option<(Vec<ValueId>, Vec<Micro>)> {
    let y = node.outputs[0]?;
    let ty = cx.ty(y);
    let inputs: Option<Vec<ValueId>> = node.inputs.iter().copied().collect();
    let inputs = inputs?;
    if ty.dtype != DType::F32 || inputs.iter().any(|&v| cx.ty(v).dtype != DType::F32) {
        return None;
    }
    match node.op {
        Op::Chain(c) => Some((inputs, c.steps.to_vec())),
        Op::Unary(u) => Some((
            inputs,
            vec![Micro {
                kind: MicroKind::Unary,
                code: u.kind as u32,
                operand: 0,
                a: u.a,
                b: u.b,
            }],
        )),
        Op::Binary(b) if arithmetic(b.kind) => {
            // The main operand has the shape of the result.
            let micro = |kind| {
                vec![Micro {
                    kind,
                    code: b.kind as u32,
                    operand: 1,
                    a: 0.0,
                    b: 0.0,
                }]
            };
            let (p, q) = (inputs[0], inputs[1]);
            if cx.ty(p) == ty && (cx.ty(q) != ty || joins(cx, p) || !joins(cx, q)) {
                Some((vec![p, q], micro(MicroKind::Binary)))
            } else if cx.ty(q) == ty {
                Some((vec![q, p], micro(MicroKind::BinarySwapped)))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// True when the producer of `v` can be joined to the node at hand.
fn joins(cx: &Rewriter<'_>, v: ValueId) -> bool {
    let elementwise = match cx.def(v).map(|n| n.op) {
        Some(Op::Unary(_) | Op::Chain(_)) => true,
        Some(Op::Binary(b)) => arithmetic(b.kind),
        _ => false,
    };
    elementwise && cx.only_here(v)
}

fn rule(cx: &mut Rewriter<'_>, node: Node) -> Option<Node> {
    let Some((operands, steps)) = as_chain(cx, &node) else {
        return Some(node);
    };
    let main = operands[0];
    let y = node.outputs[0].expect("one output");
    if !joins(cx, main) || cx.ty(main) != cx.ty(y) || operands[1..].contains(&main) {
        return Some(node);
    }
    let below = cx.def(main).expect("joins").clone();
    let Some((mut inputs, mut joined)) = as_chain(cx, &below) else {
        return Some(node);
    };
    if cx.ty(inputs[0]) != cx.ty(y) || joined.len() + steps.len() > LENGTH {
        return Some(node);
    }
    for mut step in steps {
        if step.kind != MicroKind::Unary {
            let v = operands[step.operand as usize];
            let at = inputs[1..]
                .iter()
                .position(|&w| w == v)
                .map_or(inputs.len(), |i| i + 1);
            if at == inputs.len() {
                inputs.push(v);
            }
            step.operand = at as u32;
        }
        joined.push(step);
    }
    if inputs.len() > OPERANDS {
        return Some(node);
    }
    cx.take(main);
    cx.changes += 1;
    let op = Chain {
        steps: joined.into_iter().collect(),
    }
    .into();
    Some(Node {
        op,
        inputs: inputs.into_iter().map(Some).collect(),
        ..node
    })
}
