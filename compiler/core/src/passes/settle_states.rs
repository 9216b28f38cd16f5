//! Keeps states as the steps around them have them: as integers, and channels-last.
//!
//! A state of a quantised model is quantised at the start of a run and was dequantised, with the same scale, at the end
//! of the run before; the integers carry over instead. So do elements in the order in which spatial operators read them.

use super::choose_layout::choose_layout;
use super::eliminate_dead::eliminate_dead;
use super::lower_quantised::Parameters;
use super::rewrite::{indices, inverse, moves_nothing, permuted};
use crate::ir::{Graph, MAIN, Node, Type, ValueId};
use cygnet_format::op::Transpose;
use cygnet_format::{DType, Op};
use std::sync::Arc;

/// Most rounds until the layout of a trial is settled.
const MAX_ROUNDS: usize = 24;

/// Moves what happens to states at both ends of a run into them; gives the number of changes.
pub fn settle_states(graph: &mut Graph) -> usize {
    if graph.states.is_empty() {
        return 0;
    }
    channels_last(graph) + absorb(graph)
}

/// Keeps the states of spatial operators channels-last, when fewer elements are transposed then.
fn channels_last(graph: &mut Graph) -> usize {
    let spatial: Vec<usize> = (0..graph.states.len())
        .filter(|&i| {
            let state = &graph.states[i];
            let (from, to) = (graph.ty(state.current), graph.ty(state.next));
            state.init.is_none() && from == to && (3..=5).contains(&from.rank())
        })
        .collect();
    if spatial.is_empty() || moved(graph) == 0 {
        return 0;
    }
    let mut before = graph.clone();
    settle(&mut before);
    let mut after = graph.clone();
    for &i in &spatial {
        transposed(&mut after, i);
    }
    settle(&mut after);
    if moved(&after) >= moved(&before) {
        return 0;
    }
    *graph = after;
    spatial.len()
}

fn settle(graph: &mut Graph) {
    for _ in 0..MAX_ROUNDS {
        if choose_layout(graph) + absorb(graph) == 0 {
            break;
        }
    }
    eliminate_dead(graph);
}

/// The elements that transpositions move in a run, at most.
fn moved(graph: &Graph) -> i64 {
    let nodes = graph.blocks.iter().flat_map(|b| &b.nodes);
    let elements = nodes.filter_map(|node| match (&node.op, node.inputs[0]) {
        (Op::Transpose(t), Some(x)) if !moves_nothing(&graph.ty(x).shape, &indices(&t.perm)) => {
            let bounds = graph.ty(x).shape.iter().map(|&d| graph.dim_bounds(d).1);
            Some(bounds.product::<i64>())
        }
        _ => None,
    });
    elements.sum()
}

/// Keeps a state channels-last, with transpositions at both ends of a run.
fn transposed(graph: &mut Graph, state: usize) {
    let (current, next) = (graph.states[state].current, graph.states[state].next);
    let ty = graph.ty(current).clone();
    let rank = ty.rank();
    let last: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let op = |perm: &[usize]| Transpose {
        perm: perm.iter().map(|&p| p as i32).collect(),
    };
    let inside = Type::new(ty.dtype, &permuted(&ty.shape, &last));
    let kept = graph.add_value("state_last", inside.clone());
    let head = Node {
        op: op(&inverse(&last)).into(),
        inputs: vec![Some(kept)],
        outputs: vec![Some(current)],
        source: String::new(),
    };
    graph.blocks[MAIN.0 as usize].nodes.insert(0, head);
    let next = graph.push(MAIN, "", op(&last), &[next], inside);
    (graph.states[state].current, graph.states[state].next) = (kept, next);
}

/// Takes into states what every reader does first and the inverse of which is done last; gives the number of changes.
fn absorb(graph: &mut Graph) -> usize {
    let mut changes = 0;
    for i in 0..graph.states.len() {
        while absorb_one(graph, i).is_some() {
            changes += 1;
        }
    }
    changes
}

/// What is taken into a state.
#[derive(PartialEq)]
enum Taken {
    Permutation(Vec<usize>),
    Integers(Parameters),
}

fn absorb_one(graph: &mut Graph, state: usize) -> Option<()> {
    let (current, next) = (graph.states[state].current, graph.states[state].next);
    let elsewhere = graph.outputs.iter().any(|p| p.value == current)
        || graph.states.iter().any(|s| s.next == current)
        || graph.blocks.iter().any(|b| b.outputs.contains(&current));
    let reads = |node: &&Node| node.inputs.contains(&Some(current));
    let inner = graph.blocks.iter().skip(1).flat_map(|b| &b.nodes);
    if elsewhere || inner.filter(reads).count() > 0 {
        return None;
    }
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let maker = nodes.iter().find(|n| n.outputs.contains(&Some(next)))?;
    let readers: Vec<&Node> = nodes.iter().filter(reads).collect();
    let taken = read(graph, readers.first()?)?;
    let same = readers
        .iter()
        .all(|n| read(graph, n).as_ref() == Some(&taken));
    if !same || written(graph, maker)? != taken {
        return None;
    }
    let init = first(graph, state, &taken).ok()?;
    let before = maker.inputs[0]?;
    let results: Vec<ValueId> = readers.iter().filter_map(|n| n.outputs[0]).collect();
    let ty = graph.ty(*results.first()?).clone();
    let kept = graph.add_value("state_kept", ty);
    let state = &mut graph.states[state];
    (state.current, state.next, state.init) = (kept, before, init);
    let replace = |v: &mut ValueId| {
        if results.contains(v) {
            *v = kept;
        }
    };
    graph.outputs.iter_mut().for_each(|p| replace(&mut p.value));
    graph.states.iter_mut().for_each(|s| replace(&mut s.next));
    for block in &mut graph.blocks {
        block.outputs.iter_mut().for_each(replace);
        let made = |n: &Node| n.outputs.iter().flatten().any(|v| results.contains(v));
        block.nodes.retain(|n| !made(n));
        let inputs = block.nodes.iter_mut().flat_map(|n| n.inputs.iter_mut());
        inputs.flatten().for_each(replace);
    }
    Some(())
}

/// What a reader does to a state.
fn read(graph: &Graph, node: &Node) -> Option<Taken> {
    match &node.op {
        Op::Transpose(t) => Some(Taken::Permutation(indices(&t.perm))),
        Op::QuantizeLinear(_) => {
            let dtype = graph.ty(node.outputs[0]?).dtype;
            Parameters::of(graph, node, dtype).map(Taken::Integers)
        }
        _ => None,
    }
}

/// The inverse of what makes the next content of a state.
fn written(graph: &Graph, node: &Node) -> Option<Taken> {
    match &node.op {
        Op::Transpose(t) => Some(Taken::Permutation(inverse(&indices(&t.perm)))),
        Op::DequantizeLinear(_) => {
            let dtype = graph.ty(node.inputs[0]?).dtype;
            Parameters::of(graph, node, dtype).map(Taken::Integers)
        }
        _ => None,
    }
}

/// What a state holds after a reset, once `taken` is in it; `Err` when that is not known.
fn first(graph: &Graph, state: usize, taken: &Taken) -> Result<Option<Arc<Vec<u8>>>, ()> {
    let state = &graph.states[state];
    let ty = graph.ty(state.current);
    match (taken, &state.init) {
        (Taken::Permutation(_), None) | (Taken::Integers(Parameters { zero: 0, .. }), None) => {
            Ok(None)
        }
        // Where it matters, elements would have to be moved.
        (Taken::Permutation(_), Some(_)) => Err(()),
        (Taken::Integers(to), init) => {
            let count = ty.fixed_len().ok_or(())?;
            let values = match init {
                Some(bytes) if ty.dtype == DType::F32 => {
                    let words = bytes.as_chunks::<4>().0;
                    words.iter().map(|w| f32::from_le_bytes(*w)).collect()
                }
                Some(_) => return Err(()),
                None => vec![0.0; count],
            };
            let integers = values.iter().map(|v| to.quantise(*v).unwrap_or(to.zero));
            let bytes = integers.flat_map(|q| q.to_le_bytes().into_iter().take(to.dtype.size()));
            Ok(Some(Arc::new(bytes.collect())))
        }
    }
}
