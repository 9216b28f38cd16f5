//! Who makes and who reads the values of a graph.

use super::{Graph, MAIN, ValueId};

/// Who makes and who reads the values of the main block.
pub(crate) struct Flow {
    /// The node that makes a value.
    pub maker: Vec<Option<usize>>,
    /// The nodes that read a value.
    pub readers: Vec<Vec<usize>>,
    /// Values that something else reads: outputs, states, bodies.
    elsewhere: Vec<bool>,
}

impl Flow {
    pub fn of(graph: &Graph) -> Flow {
        let n = graph.values.len();
        let mut flow = Flow {
            maker: vec![None; n],
            readers: vec![Vec::new(); n],
            elsewhere: vec![false; n],
        };
        for (i, node) in graph.blocks[MAIN.0 as usize].nodes.iter().enumerate() {
            for v in node.outputs.iter().flatten() {
                flow.maker[v.0 as usize] = Some(i);
            }
            for v in node.inputs.iter().flatten() {
                flow.readers[v.0 as usize].push(i);
            }
        }
        let outputs = graph.outputs.iter().map(|p| p.value);
        let next = graph.states.iter().map(|s| s.next);
        let bodies = graph.blocks.iter().skip(1);
        let inside = bodies.flat_map(|b| {
            let read = b.nodes.iter().flat_map(|n| n.inputs.iter().flatten());
            read.chain(&b.outputs).copied()
        });
        for v in outputs.chain(next).chain(inside) {
            flow.elsewhere[v.0 as usize] = true;
        }
        flow
    }

    /// True when outputs, states or bodies read a value.
    pub fn is_read_elsewhere(&self, v: ValueId) -> bool {
        self.elsewhere[v.0 as usize]
    }

    /// The only reader of a value.
    pub fn only_reader(&self, v: ValueId) -> Option<usize> {
        match self.readers[v.0 as usize][..] {
            [one] if !self.elsewhere[v.0 as usize] => Some(one),
            _ => None,
        }
    }
}
