//! Merges nodes that compute the same from the same operands.

use super::rewrite::rewrite;
use crate::ir::{Graph, ValueId};
use crate::plan::bodies;
use cygnet_format::OpCode;
use std::collections::HashMap;

/// Merges equal nodes of a block, and equal constants; gives the number of values merged.
pub fn merge_equal(graph: &mut Graph) -> usize {
    type Key = (OpCode, Vec<u32>, Vec<Option<ValueId>>);
    let mut seen: HashMap<Key, Vec<Option<ValueId>>> = HashMap::new();
    rewrite(graph, &mut |cx, node| {
        if !bodies(&node.op).is_empty() {
            return Some(node);
        }
        let mut words = Vec::new();
        node.op.encode(&mut |w| words.push(w));
        let key = (node.op.code(), words, node.inputs.clone());
        let Some(known) = seen.get(&key) else {
            seen.insert(key, node.outputs.clone());
            return Some(node);
        };
        // The other node may be of another block, or ask for other outputs or another shape.
        let visible = known.iter().flatten().all(|&v| cx.def(v).is_some());
        let same = known.len() == node.outputs.len()
            && known.iter().zip(&node.outputs).all(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => cx.ty(*a) == cx.ty(*b),
                (a, b) => a == b,
            });
        if !visible || !same {
            seen.insert(key, node.outputs.clone());
            return Some(node);
        }
        let pairs: Vec<_> = known
            .iter()
            .zip(&node.outputs)
            .filter_map(|(a, b)| Some(((*b)?, (*a)?)))
            .collect();
        for (old, new) in pairs {
            cx.replace(old, new);
        }
        None
    })
}
