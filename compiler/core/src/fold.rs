//! Computes nodes at compile time with the runtime's own scalar kernels: one definition of every operator.

use crate::emit::{self, EmitOptions};
use crate::ir::{Graph, MAIN, Node, Port, ValueId};
use crate::plan::bodies;
use cygnet_format::{Dims, Op};
use cygnet_runtime::{Config, Features, Program, Session};

/// Steps that a folded node may take (bodies are not folded, so this is a backstop).
const STEP_LIMIT: u64 = 1000;

/// Computes a node whose operands are all constants: the bytes of every output, `None` for outputs that are not
/// wanted. `None` altogether when an operand is not constant, a shape is not, or the operator refuses.
pub fn evaluate(graph: &Graph, node: &Node) -> Option<Vec<Option<Vec<u8>>>> {
    if !bodies(&node.op).is_empty() {
        return None;
    }
    let mut alone = Graph::default();
    // Those over symbols have no value here, and the run is refused.
    if names_expressions(&node.op) {
        alone.symbols.clone_from(&graph.symbols);
        alone.exprs.clone_from(&graph.exprs);
    }
    let mut take = |v: ValueId, constant: bool| -> Option<ValueId> {
        let value = graph.value(v);
        value.ty.fixed_shape()?;
        let copy = alone.add_value(value.name.clone(), value.ty.clone());
        if constant {
            alone.value_mut(copy).data = Some(value.data.clone()?);
        }
        Some(copy)
    };
    let mut inputs = Vec::new();
    for v in &node.inputs {
        inputs.push(match v {
            None => None,
            Some(v) => Some(take(*v, true)?),
        });
    }
    let mut outputs = Vec::new();
    for v in &node.outputs {
        outputs.push(match v {
            None => None,
            Some(v) => Some(take(*v, false)?),
        });
    }
    alone.outputs = outputs
        .iter()
        .flatten()
        .map(|&value| Port {
            name: String::new(),
            value,
        })
        .collect();
    alone.blocks[MAIN.0 as usize].nodes.push(Node {
        op: node.op,
        inputs,
        outputs,
        source: String::new(),
    });
    let mut results = run(&alone)?.into_iter();
    node.outputs
        .iter()
        .map(|v| v.map_or(Some(None), |_| results.next().map(Some)))
        .collect()
}

/// True when attributes of the operator name dimension expressions; operands have constant shapes here.
fn names_expressions(op: &Op) -> bool {
    let symbolic = |dims: &Dims| dims.iter().any(|d| d.as_expr().is_some());
    match op {
        Op::Slice(o) => symbolic(&o.starts),
        Op::Pad(o) => symbolic(&o.before),
        Op::DimValues(o) => symbolic(&o.values),
        _ => false,
    }
}

/// The outputs of a graph without inputs.
fn run(graph: &Graph) -> Option<Vec<Vec<u8>>> {
    let program = emit::program(graph, &EmitOptions::default()).ok()?.bytes;
    let mut space = Aligned::new(program.len());
    space.bytes().copy_from_slice(&program);
    drop(program);
    let program = Program::parse(space.bytes()).ok()?;
    let mut arena = Aligned::new(usize::try_from(program.arena_bytes()).ok()?);
    let config = Config {
        features: Features::NONE,
        step_limit: STEP_LIMIT,
        ..Config::default()
    };
    let mut session = Session::new(&program, arena.bytes(), config).ok()?;
    session.run().ok()?;
    (0..graph.outputs.len())
        .map(|i| Some(session.output(i).ok()?.bytes.to_vec()))
        .collect()
}

/// Bytes on a 64-byte boundary.
struct Aligned {
    space: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let space = vec![0; len + 64];
        let start = space.as_ptr().align_offset(64);
        Aligned { space, start, len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.space[self.start..self.start + self.len]
    }
}
