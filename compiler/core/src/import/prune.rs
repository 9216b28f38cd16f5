//! Drops what no output needs: shape arithmetic that resolved, weights that were transposed.

use crate::ir::{Graph, ValueId};
use cygnet_format::{BlockId, Op};
use std::collections::HashMap;

/// Blocks that an operator runs.
fn bodies(op: &Op) -> Vec<BlockId> {
    match op {
        Op::If(o) => vec![o.then_block, o.else_block],
        Op::Loop(o) => vec![o.body],
        Op::Scan(o) => vec![o.body],
        _ => Vec::new(),
    }
}

/// Marks the values of a block backwards from its outputs; gives which nodes are needed.
fn mark(graph: &Graph, block: BlockId, used: &mut [bool], kept: &mut [Vec<bool>]) {
    let b = &graph.blocks[block.0 as usize];
    for &v in b.inputs.iter().chain(&b.outputs) {
        used[v.0 as usize] = true;
    }
    for (i, node) in b.nodes.iter().enumerate().rev() {
        if !node.outputs.iter().flatten().any(|v| used[v.0 as usize]) {
            continue;
        }
        kept[block.0 as usize][i] = true;
        for v in node.inputs.iter().chain(&node.outputs).flatten() {
            used[v.0 as usize] = true;
        }
        for body in bodies(&node.op) {
            mark(graph, body, used, kept);
        }
    }
}

/// Removes nodes, values and blocks that nothing needs. Steps that set run-time dimensions stay while their outputs
/// or values shaped by them are used.
pub(super) fn prune(graph: &mut Graph) {
    let mut used = vec![false; graph.values.len()];
    let mut kept: Vec<Vec<bool>> = graph
        .blocks
        .iter()
        .map(|b| vec![false; b.nodes.len()])
        .collect();
    for port in graph.inputs.iter().chain(&graph.outputs) {
        used[port.value.0 as usize] = true;
    }
    for state in &graph.states {
        used[state.current.0 as usize] = true;
        used[state.next.0 as usize] = true;
    }
    // Keeping every producer of a run-time symbol is simple and costs nothing: such steps are rare.
    for block in &graph.blocks {
        for v in block.nodes.iter().flat_map(|n| n.outputs.iter().flatten()) {
            let runtime = graph.ty(*v).shape.iter().any(|d| {
                d.as_expr().is_some_and(|e| match graph.exprs[e as usize] {
                    crate::ir::Expr::Symbol(s) => {
                        graph.symbols[s as usize].kind == crate::ir::SymbolKind::Runtime
                    }
                    _ => false,
                })
            });
            used[v.0 as usize] |= runtime;
        }
    }
    mark(graph, crate::ir::MAIN, &mut used, &mut kept);
    let mut reached = vec![false; graph.blocks.len()];
    reached[0] = true;
    let mut stack = vec![crate::ir::MAIN];
    while let Some(block) = stack.pop() {
        for (i, node) in graph.blocks[block.0 as usize].nodes.iter().enumerate() {
            if kept[block.0 as usize][i] {
                for body in bodies(&node.op) {
                    reached[body.0 as usize] = true;
                    stack.push(body);
                }
            }
        }
    }
    let mut block_map = vec![BlockId(0); graph.blocks.len()];
    for (count, (i, _)) in reached.iter().enumerate().filter(|(_, r)| **r).enumerate() {
        block_map[i] = BlockId(count as u32);
    }
    let mut values = HashMap::new();
    let mut wanted = Vec::new();
    for (i, value) in std::mem::take(&mut graph.values).into_iter().enumerate() {
        if used[i] {
            values.insert(ValueId(i as u32), ValueId(wanted.len() as u32));
            wanted.push(value);
        }
    }
    // A run-time symbol's producer in a block that is not reached is marked but unused; its value has no node then.
    graph.values = wanted;
    let mut blocks = Vec::new();
    for (i, mut block) in std::mem::take(&mut graph.blocks).into_iter().enumerate() {
        if !reached[i] {
            continue;
        }
        let mut keep = kept[i].iter();
        block
            .nodes
            .retain(|_| *keep.next().expect("one flag a node"));
        for node in &mut block.nodes {
            node.inputs
                .iter_mut()
                .flatten()
                .for_each(|v| *v = values[v]);
            node.outputs
                .iter_mut()
                .for_each(|v| *v = v.and_then(|v| values.get(&v).copied()));
            match &mut node.op {
                Op::If(o) => {
                    o.then_block = block_map[o.then_block.0 as usize];
                    o.else_block = block_map[o.else_block.0 as usize];
                }
                Op::Loop(o) => o.body = block_map[o.body.0 as usize],
                Op::Scan(o) => o.body = block_map[o.body.0 as usize],
                _ => {}
            }
        }
        block
            .inputs
            .iter_mut()
            .chain(&mut block.outputs)
            .for_each(|v| *v = values[v]);
        blocks.push(block);
    }
    graph.blocks = blocks;
    for port in graph.inputs.iter_mut().chain(&mut graph.outputs) {
        port.value = values[&port.value];
    }
    for state in &mut graph.states {
        state.current = values[&state.current];
        state.next = values[&state.next];
    }
}
