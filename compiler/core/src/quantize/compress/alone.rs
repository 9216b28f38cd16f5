//! What compressed weights alone do to the results of their layers.

use crate::ir::{Graph, MAIN, Node, ValueId};
use crate::quantize::calibrate::observe;
use crate::quantize::record::finite_db;
use crate::quantize::{QuantizeError, Sample};
use cygnet_format::DType;
use std::collections::HashMap;

/// Sums over the elements of a result.
#[derive(Clone, Copy, Default)]
struct Sums {
    signal: f64,
    noise: f64,
}

/// Signal to noise in decibels of the result of each layer that differs in `small`, by the name of its node: the layer of
/// `small` is computed beside that of `float`, from the same input. Layers in bodies are left out.
pub(super) fn alone(
    float: &Graph,
    small: &Graph,
    samples: &[Sample],
) -> Result<HashMap<String, f64>, QuantizeError> {
    let (twin, pairs) = beside(float, small);
    let place = |of: fn(&(ValueId, ValueId, String)) -> ValueId| -> HashMap<ValueId, usize> {
        pairs.iter().enumerate().map(|(k, p)| (of(p), k)).collect()
    };
    let (exact, rounded) = (place(|p| p.0), place(|p| p.1));
    let wanted: Vec<ValueId> = pairs.iter().flat_map(|p| [p.0, p.1]).collect();
    let mut sums = vec![Sums::default(); pairs.len()];
    // The exact result is seen just before the other.
    let mut last: Option<(usize, Vec<f32>)> = None;
    observe(&twin, &wanted, samples, &mut |_, v, values| {
        if let Some(&k) = exact.get(&v) {
            last = Some((k, values.to_vec()));
        } else if let Some(&k) = rounded.get(&v)
            && let Some((_, exact)) = last.take_if(|(of, _)| *of == k)
        {
            for (e, r) in exact.iter().zip(values) {
                sums[k].signal += f64::from(*e).powi(2);
                sums[k].noise += f64::from(r - e).powi(2);
            }
        }
        Ok(())
    })?;
    let named = pairs.into_iter().zip(sums).filter(|(_, s)| s.signal > 0.0);
    let db = |s: Sums| finite_db(10.0 * (s.signal / s.noise).log10());
    Ok(named.map(|((_, _, name), s)| (name, db(s))).collect())
}

/// The graph `small` in which all is computed as in `float`, with each node that differs beside its float one. Gives the
/// pairs of results, exact and rounded, and the node's name.
fn beside(float: &Graph, small: &Graph) -> (Graph, Vec<(ValueId, ValueId, String)>) {
    let first = |n: &Node| n.outputs.first().copied().flatten();
    let nodes = &float.blocks[MAIN.0 as usize].nodes;
    let made: HashMap<ValueId, &Node> = nodes.iter().filter_map(|n| Some((first(n)?, n))).collect();
    let mut twin = small.clone();
    let mut pairs = Vec::new();
    for mut node in std::mem::take(&mut twin.blocks[MAIN.0 as usize].nodes) {
        let exact = first(&node).and_then(|y| made.get(&y).map(|exact| (y, *exact)));
        let exact = exact.filter(|(_, exact)| exact.op != node.op || exact.inputs != node.inputs);
        if let Some((y, exact)) = exact {
            twin.blocks[MAIN.0 as usize].nodes.push(exact.clone());
            for output in node.outputs.iter_mut() {
                // Scratch that the float node does not have is its own already.
                if let Some(v) = *output
                    && exact.outputs.contains(output)
                {
                    *output = Some(twin.add_value("compressed", twin.ty(v).clone()));
                }
            }
            if let Some(rounded) = first(&node)
                && twin.ty(y).dtype == DType::F32
            {
                pairs.push((y, rounded, node.source.clone()));
            }
        }
        twin.blocks[MAIN.0 as usize].nodes.push(node);
    }
    (twin, pairs)
}
