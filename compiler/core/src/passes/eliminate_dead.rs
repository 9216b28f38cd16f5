//! Removes nodes whose results nobody reads.

use crate::ir::{Expr, Graph, MAIN, Node, SymbolKind};
use crate::plan::bodies;
use cygnet_format::{BlockId, Dim, Op};

/// True when the step gives a run-time dimension its value. Such steps stay: other shapes may depend on the value.
fn sets_dimension(graph: &Graph, node: &Node) -> bool {
    let runtime = |d: &Dim| {
        d.as_expr().is_some_and(|e| match graph.exprs[e as usize] {
            Expr::Symbol(s) => graph.symbols[s as usize].kind == SymbolKind::Runtime,
            _ => false,
        })
    };
    let sets = matches!(
        node.op,
        Op::Compress(_)
            | Op::NonZero(_)
            | Op::Unique(_)
            | Op::NonMaxSuppression(_)
            | Op::Range(_)
            | Op::Loop(_)
    );
    sets && node
        .outputs
        .iter()
        .flatten()
        .any(|&v| graph.ty(v).shape.iter().any(runtime))
}

fn mark(graph: &Graph, block: BlockId, used: &mut [bool], keep: &mut [Vec<bool>]) {
    let b = &graph.blocks[block.0 as usize];
    for v in b.inputs.iter().chain(&b.outputs) {
        used[v.0 as usize] = true;
    }
    for (i, node) in b.nodes.iter().enumerate().rev() {
        let wanted = node.outputs.iter().flatten().any(|v| used[v.0 as usize]);
        if !wanted && !sets_dimension(graph, node) {
            continue;
        }
        keep[block.0 as usize][i] = true;
        for v in node.inputs.iter().flatten() {
            used[v.0 as usize] = true;
        }
        for body in bodies(&node.op) {
            mark(graph, body, used, keep);
        }
    }
}

/// Removes nodes whose results nobody reads; gives their number.
pub fn eliminate_dead(graph: &mut Graph) -> usize {
    let mut used = vec![false; graph.values.len()];
    let mut keep: Vec<Vec<bool>> = graph
        .blocks
        .iter()
        .map(|b| vec![false; b.nodes.len()])
        .collect();
    for v in graph
        .outputs
        .iter()
        .map(|p| p.value)
        .chain(graph.states.iter().map(|s| s.next))
    {
        used[v.0 as usize] = true;
    }
    mark(graph, MAIN, &mut used, &mut keep);
    let mut removed = 0;
    for (block, keep) in graph.blocks.iter_mut().zip(keep) {
        let mut keep = keep.into_iter();
        let before = block.nodes.len();
        block.nodes.retain(|_| keep.next() == Some(true));
        removed += before - block.nodes.len();
    }
    removed
}
