//! From a graph to the bytes of a program.

use crate::ir::{Expr, Graph, MAIN, Node, Origin, SymbolKind, ValueId};
use crate::plan::{self, Plan, PlanError, bodies};
use cygnet_format::op::Reshape;
use cygnet_format::write::{
    self, BlockDesc, ExprDesc, PlaceDesc, ProgramDesc, StateDesc, StepDesc, SymbolDesc, TensorDesc,
};
use cygnet_format::write::{TensorId, WriteError, write_program};
use cygnet_format::{BlockId, Dim, ExprOp, Op};
use std::collections::HashMap;
use std::sync::Arc;

/// Longest postfix expression; shared parts are written out, so length is bounded here.
const MAX_EXPR_OPS: usize = 4096;

/// What goes into the program besides what runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EmitOptions {
    /// Keep the names of intermediate tensors and of steps (profiles and `verify` show them). Inputs, outputs and
    /// states keep theirs always.
    pub names: bool,
}

impl Default for EmitOptions {
    fn default() -> Self {
        EmitOptions { names: true }
    }
}

/// A program with what is known about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Emitted {
    /// The program.
    pub bytes: Vec<u8>,
    /// Bytes of the planned arena: states, inputs, outputs, intermediates.
    pub arena_bytes: u64,
    /// No plan of the same step order needs less.
    pub lower_bound_bytes: u64,
    /// Bytes of states, part of the arena.
    pub state_bytes: u64,
    /// Bytes of distinct constants.
    pub const_bytes: u64,
    /// The node at which the most bytes are live.
    pub peak_node: Option<String>,
    /// Steps that write onto one of their inputs.
    pub in_place_steps: usize,
    /// The model's tensor that each tensor of the program equals, by tensor id.
    pub origins: Vec<Option<Origin>>,
    /// The graph's value that each tensor of the program is, by tensor id; copies that the emitter adds come after the
    /// graph's values.
    pub values: Vec<ValueId>,
}

/// Why a graph cannot become a program.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// Memory cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The bytes would not be a valid program.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// A dimension is too complicated for the format.
    #[error(
        "a dimension is an expression of more than {MAX_EXPR_OPS} operations; fix more input dimensions"
    )]
    Expression,
}

/// Plans the memory of a graph and writes it as a program.
///
/// # Errors
/// See [`EmitError`].
pub fn program(graph: &Graph, options: &EmitOptions) -> Result<Emitted, EmitError> {
    let mut graph = graph.clone();
    separate_copies(&mut graph);
    let plan = plan::plan(&graph)?;
    let mut emitter = Emitter::new(&graph, &plan, options);
    let desc = emitter.describe()?;
    let const_bytes = emitter.data.values().map(|d| d.len() as u64).sum();
    let origins = emitter
        .order
        .iter()
        .map(|&v| graph.value(v).origin.clone())
        .collect();
    let peak_node = plan
        .peak
        .map(|(b, n)| graph.blocks[b.0 as usize].nodes[n].source.clone());
    let bytes = write_program(&desc)?;
    Ok(Emitted {
        bytes,
        arena_bytes: plan.arena_bytes,
        lower_bound_bytes: plan.lower_bound_bytes,
        state_bytes: plan.state_bytes,
        const_bytes,
        peak_node,
        in_place_steps: plan.in_place_steps,
        origins,
        values: emitter.order,
    })
}

/// Adds a copy of `v` at the end of `block`.
fn copy(graph: &mut Graph, block: BlockId, v: ValueId) -> ValueId {
    let ty = graph.ty(v).clone();
    let y = graph.push(block, "copy", Reshape {}, &[v], ty);
    graph.value_mut(y).origin = graph.value(v).origin.clone();
    y
}

/// Gives values of their own to results that are something else as well, where the engine's copies at the end of a
/// run or of an iteration would read what another copy has overwritten.
fn separate_copies(graph: &mut Graph) {
    for b in 1..graph.blocks.len() {
        let block = &graph.blocks[b];
        let moved: Vec<usize> = (0..block.outputs.len())
            .filter(|&i| {
                let v = block.outputs[i];
                block.inputs.contains(&v) || block.outputs[..i].contains(&v)
            })
            .collect();
        for i in moved {
            let y = copy(graph, BlockId(b as u32), graph.blocks[b].outputs[i]);
            graph.blocks[b].outputs[i] = y;
        }
    }
    for i in 0..graph.states.len() {
        let next = graph.states[i].next;
        let other = graph
            .states
            .iter()
            .enumerate()
            .any(|(j, s)| j != i && s.current == next);
        if other {
            graph.states[i].next = copy(graph, MAIN, next);
        }
    }
    for i in 0..graph.outputs.len() {
        let v = graph.outputs[i].value;
        let state = graph.states.iter().any(|s| s.current == v);
        let input = graph.inputs.iter().any(|p| p.value == v);
        let twice = graph.outputs[..i].iter().any(|p| p.value == v);
        if state || input || twice {
            graph.outputs[i].value = copy(graph, MAIN, v);
        }
    }
}

struct Emitter<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    options: &'a EmitOptions,
    tensors: Vec<TensorDesc>,
    /// The value of every tensor.
    order: Vec<ValueId>,
    of_value: HashMap<ValueId, TensorId>,
    /// Constants by content.
    data: HashMap<Arc<Vec<u8>>, Arc<[u8]>>,
    exprs: Vec<ExprDesc>,
    of_expr: HashMap<u32, Dim>,
    symbols: Vec<SymbolDesc>,
    of_symbol: HashMap<u32, u32>,
    of_block: HashMap<BlockId, BlockId>,
    block_order: Vec<BlockId>,
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph, plan: &'a Plan, options: &'a EmitOptions) -> Self {
        Emitter {
            graph,
            plan,
            options,
            tensors: Vec::new(),
            order: Vec::new(),
            of_value: HashMap::new(),
            data: HashMap::new(),
            exprs: Vec::new(),
            of_expr: HashMap::new(),
            symbols: Vec::new(),
            of_symbol: HashMap::new(),
            of_block: HashMap::new(),
            block_order: Vec::new(),
        }
    }

    fn describe(&mut self) -> Result<ProgramDesc, EmitError> {
        let graph = self.graph;
        self.number_blocks(MAIN);
        let mut desc = ProgramDesc::default();
        for port in &graph.inputs {
            let id = self.tensor(port.value)?;
            self.tensors[id.0 as usize].name.clone_from(&port.name);
            desc.inputs.push(id);
        }
        for port in &graph.outputs {
            let id = self.tensor(port.value)?;
            self.tensors[id.0 as usize].name.clone_from(&port.name);
            desc.outputs.push(id);
        }
        for state in &graph.states {
            let (tensor, next) = (self.tensor(state.current)?, self.tensor(state.next)?);
            self.tensors[tensor.0 as usize].name.clone_from(&state.name);
            desc.states.push(StateDesc {
                tensor,
                next,
                init: state.init.as_ref().map(|d| d.to_vec()),
            });
        }
        for block in self.block_order.clone() {
            let b = &graph.blocks[block.0 as usize];
            let mut steps = Vec::with_capacity(b.nodes.len());
            for node in &b.nodes {
                steps.push(self.step(node)?);
            }
            let main = block == MAIN;
            let inputs = if main {
                Vec::new()
            } else {
                self.ids(&b.inputs)?
            };
            let outputs = if main {
                Vec::new()
            } else {
                self.ids(&b.outputs)?
            };
            desc.blocks.push(BlockDesc {
                inputs,
                steps,
                outputs,
            });
        }
        desc.tensors = std::mem::take(&mut self.tensors);
        desc.exprs = std::mem::take(&mut self.exprs);
        desc.symbols = std::mem::take(&mut self.symbols);
        desc.arena_bytes = self.plan.arena_bytes;
        desc.state_bytes = self.plan.state_bytes;
        desc.metadata.clone_from(&graph.metadata);
        Ok(desc)
    }

    /// Numbers the blocks that are reached, parents first.
    fn number_blocks(&mut self, block: BlockId) {
        self.of_block
            .insert(block, BlockId(self.block_order.len() as u32));
        self.block_order.push(block);
        for node in &self.graph.blocks[block.0 as usize].nodes {
            for body in bodies(&node.op) {
                self.number_blocks(body);
            }
        }
    }

    fn ids(&mut self, values: &[ValueId]) -> Result<Vec<TensorId>, EmitError> {
        values.iter().map(|&v| self.tensor(v)).collect()
    }

    fn step(&mut self, node: &Node) -> Result<StepDesc, EmitError> {
        let mut op = node.op;
        match &mut op {
            Op::Slice(o) => o.starts = self.dims(&o.starts)?.into_iter().collect(),
            Op::Pad(o) => o.before = self.dims(&o.before)?.into_iter().collect(),
            Op::DimValues(o) => o.values = self.dims(&o.values)?.into_iter().collect(),
            Op::If(o) => {
                o.then_block = self.of_block[&o.then_block];
                o.else_block = self.of_block[&o.else_block];
            }
            Op::Loop(o) => o.body = self.of_block[&o.body],
            Op::Scan(o) => o.body = self.of_block[&o.body],
            _ => {}
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for v in &node.inputs {
            inputs.push(v.map(|v| self.tensor(v)).transpose()?);
        }
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for v in &node.outputs {
            outputs.push(v.map(|v| self.tensor(v)).transpose()?);
        }
        let arity = op.code().arity();
        while inputs.len() > arity.required_inputs
            && inputs.last() == Some(&None)
            && !matches!(op, Op::Loop(_))
        {
            inputs.pop();
        }
        let name = if self.options.names {
            node.source.clone()
        } else {
            String::new()
        };
        Ok(StepDesc {
            op,
            inputs,
            outputs,
            name,
        })
    }

    fn tensor(&mut self, v: ValueId) -> Result<TensorId, EmitError> {
        if let Some(&id) = self.of_value.get(&v) {
            return Ok(id);
        }
        let value = self.graph.value(v);
        let place = match (&value.data, self.plan.offsets[v.0 as usize]) {
            (Some(data), _) => {
                let shared = self
                    .data
                    .entry(data.clone())
                    .or_insert_with(|| Arc::from(data.as_slice()));
                PlaceDesc::Const {
                    data: shared.clone(),
                }
            }
            (None, Some(offset)) if self.graph.states.iter().any(|s| s.current == v) => {
                PlaceDesc::State { offset }
            }
            (None, Some(offset)) => PlaceDesc::Arena { offset },
            (None, None) => return Err(PlanError::Undefined(value.name.clone()).into()),
        };
        let bytes_bound = plan::bytes_bound(self.graph, v)
            .ok_or_else(|| PlanError::TooLarge(value.name.clone()))?;
        let dims = self.dims(&value.ty.shape)?;
        let named = self.options.names && value.data.is_none();
        let name = if named {
            value.name.clone()
        } else {
            String::new()
        };
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(TensorDesc {
            name,
            dtype: value.ty.dtype,
            dims,
            place,
            bytes_bound,
        });
        self.order.push(v);
        self.of_value.insert(v, id);
        Ok(id)
    }

    fn dims(&mut self, dims: &[Dim]) -> Result<Vec<Dim>, EmitError> {
        dims.iter().map(|&d| self.dim(d)).collect()
    }

    fn dim(&mut self, dim: Dim) -> Result<Dim, EmitError> {
        let Some(e) = dim.as_expr() else {
            return Ok(dim);
        };
        if let Some(&d) = self.of_expr.get(&e) {
            return Ok(d);
        }
        let mut ops = Vec::new();
        self.postfix(dim, &mut ops)?;
        let d = Dim::expr(self.exprs.len() as u32);
        self.exprs.push(ExprDesc { ops });
        self.of_expr.insert(e, d);
        Ok(d)
    }

    /// Values on the stack that a postfix form needs, deeper operand first where the operation commutes.
    fn depth(&self, dim: Dim) -> usize {
        let Some(e) = dim.as_expr() else { return 1 };
        match self.graph.exprs[e as usize] {
            Expr::Symbol(_) | Expr::Const(_) => 1,
            Expr::Add(a, b) | Expr::Mul(a, b) | Expr::Min(a, b) | Expr::Max(a, b) => {
                let (a, b) = (self.depth(a), self.depth(b));
                if a == b { a + 1 } else { a.max(b) }
            }
            Expr::Sub(a, b) | Expr::FloorDiv(a, b) | Expr::CeilDiv(a, b) | Expr::Mod(a, b) => {
                self.depth(a).max(self.depth(b) + 1)
            }
        }
    }

    fn postfix(&mut self, dim: Dim, ops: &mut Vec<ExprOp>) -> Result<(), EmitError> {
        if ops.len() > MAX_EXPR_OPS {
            return Err(EmitError::Expression);
        }
        let Some(e) = dim.as_expr() else {
            ops.push(ExprOp::Const(dim.0 as i64));
            return Ok(());
        };
        let (a, b, op) = match self.graph.exprs[e as usize] {
            Expr::Symbol(s) => {
                let s = self.symbol(s);
                ops.push(ExprOp::Symbol(s));
                return Ok(());
            }
            Expr::Const(v) => {
                ops.push(ExprOp::Const(v));
                return Ok(());
            }
            Expr::Add(a, b) => (a, b, ExprOp::Add),
            Expr::Sub(a, b) => (a, b, ExprOp::Sub),
            Expr::Mul(a, b) => (a, b, ExprOp::Mul),
            Expr::FloorDiv(a, b) => (a, b, ExprOp::FloorDiv),
            Expr::CeilDiv(a, b) => (a, b, ExprOp::CeilDiv),
            Expr::Mod(a, b) => (a, b, ExprOp::Mod),
            Expr::Min(a, b) => (a, b, ExprOp::Min),
            Expr::Max(a, b) => (a, b, ExprOp::Max),
        };
        let commutes = matches!(op, ExprOp::Add | ExprOp::Mul | ExprOp::Min | ExprOp::Max);
        let (a, b) = if commutes && self.depth(b) > self.depth(a) {
            (b, a)
        } else {
            (a, b)
        };
        self.postfix(a, ops)?;
        self.postfix(b, ops)?;
        ops.push(op);
        Ok(())
    }

    fn symbol(&mut self, s: u32) -> u32 {
        if let Some(&i) = self.of_symbol.get(&s) {
            return i;
        }
        let symbol = &self.graph.symbols[s as usize];
        let kind = match symbol.kind {
            SymbolKind::Input => write::SymbolKind::Input,
            SymbolKind::Runtime => write::SymbolKind::Runtime,
        };
        self.symbols.push(SymbolDesc {
            name: symbol.name.clone(),
            lo: symbol.lo,
            hi: symbol.hi,
            kind,
        });
        self.of_symbol.insert(s, self.symbols.len() as u32 - 1);
        self.symbols.len() as u32 - 1
    }
}
