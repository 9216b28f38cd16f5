//! The intermediate representation: an SSA graph over the operators of `cygnet-format`.
//!
//! Nodes carry the very operators that the engine runs, so a graph is close to a program: what is missing is
//! memory. Values live in one table for all blocks; a body of `If`, `Loop` or `Scan` is a further block that may read
//! the values of the blocks around it. Nodes of a block are in execution order.

mod check;
mod dims;
mod flow;
pub mod text;

pub use check::verify;
pub use dims::{Expr, Symbol, SymbolKind};
pub(crate) use flow::Flow;

use cygnet_format::{BlockId, DType, Dim, Dims, MAX_RANK, Op};
use std::sync::Arc;

/// Index of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Dims,
}

impl Type {
    /// A type of this shape.
    ///
    /// # Panics
    /// When the rank is above [`MAX_RANK`]; importers refuse such tensors beforehand.
    pub fn new(dtype: DType, shape: &[Dim]) -> Type {
        Type {
            dtype,
            shape: Dims::new(shape).unwrap_or_else(|| panic!("rank above {MAX_RANK}")),
        }
    }

    /// A type of constant shape.
    pub fn fixed(dtype: DType, shape: &[usize]) -> Type {
        Type {
            dtype,
            shape: shape.iter().map(|&d| Dim(d as i32)).collect(),
        }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The shape when every dimension is constant.
    pub fn fixed_shape(&self) -> Option<Vec<usize>> {
        self.shape.iter().map(|d| d.as_const()).collect()
    }

    /// The element count when every dimension is constant.
    pub fn fixed_len(&self) -> Option<usize> {
        self.fixed_shape().map(|s| s.iter().product())
    }
}

/// Where a value comes from in the imported model, for `verify` and for messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The tensor's name in the model.
    pub name: String,
    /// `this.shape[i] = model.shape[perm[i]]`; empty when the layout is the model's.
    pub perm: Vec<usize>,
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Unique name in dumps.
    pub name: String,
    /// Element type and shape.
    pub ty: Type,
    /// The bytes of a constant, row-major little-endian; `None` for everything computed or fed.
    pub data: Option<Arc<Vec<u8>>>,
    /// The model's tensor this value equals, if any.
    pub origin: Option<Origin>,
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Node {
    /// Operator and attributes.
    pub op: Op,
    /// Operands; `None` where an optional one is absent.
    pub inputs: Vec<Option<ValueId>>,
    /// Results; `None` where an optional one is not wanted.
    pub outputs: Vec<Option<ValueId>>,
    /// The model's node this comes from, such as `Conv conv_1`: for messages and profiles.
    pub source: String,
}

/// A sequence of nodes.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Values given from outside (bodies of `Loop` and `Scan`). Empty for the main block.
    pub inputs: Vec<ValueId>,
    /// Nodes in execution order.
    pub nodes: Vec<Node>,
    /// Values handed out. Empty for the main block, whose results are [`Graph::outputs`].
    pub outputs: Vec<ValueId>,
}

/// A named input or output of the model.
#[derive(Clone, Debug)]
pub struct Port {
    /// The name users see.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// A tensor that lives across runs.
#[derive(Clone, Debug)]
pub struct State {
    /// The name users see.
    pub name: String,
    /// The value at the start of a run.
    pub current: ValueId,
    /// The value that becomes `current` at the end of a run.
    pub next: ValueId,
    /// Bytes after a reset; `None` means zeros.
    pub init: Option<Arc<Vec<u8>>>,
    /// Its type in the model, which passes may leave for other integers and another layout.
    pub declared: Type,
}

/// A model.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Symbolic dimensions.
    pub symbols: Vec<Symbol>,
    /// Interned dimension expressions; `Dim::expr(i)` is `exprs[i]`.
    pub exprs: Vec<Expr>,
    /// Every value of every block.
    pub values: Vec<Value>,
    /// Block 0 is the main program.
    pub blocks: Vec<Block>,
    /// Model inputs.
    pub inputs: Vec<Port>,
    /// Model outputs.
    pub outputs: Vec<Port>,
    /// Tensors that live across runs.
    pub states: Vec<State>,
    /// Free key-value pairs that go to the manifest (such as the model's own metadata).
    pub metadata: Vec<(String, String)>,
}

impl Default for Graph {
    fn default() -> Self {
        Graph {
            symbols: Vec::new(),
            exprs: Vec::new(),
            values: Vec::new(),
            blocks: vec![Block::default()],
            inputs: Vec::new(),
            outputs: Vec::new(),
            states: Vec::new(),
            metadata: Vec::new(),
        }
    }
}

/// The main block.
pub const MAIN: BlockId = BlockId(0);

impl Graph {
    /// Adds a value that something else produces (an input, a body input, a node output).
    pub fn add_value(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        self.values.push(Value {
            name: name.into(),
            ty,
            data: None,
            origin: None,
        });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Adds a constant of these little-endian bytes.
    ///
    /// # Panics
    /// When the byte count does not fit the type.
    pub fn add_constant(&mut self, name: impl Into<String>, ty: Type, data: Vec<u8>) -> ValueId {
        let len = ty.fixed_len().expect("constants have constant shapes");
        assert_eq!(data.len(), len * ty.dtype.size(), "bytes of a constant");
        self.values.push(Value {
            name: name.into(),
            ty,
            data: Some(Arc::new(data)),
            origin: None,
        });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Adds an f32 constant.
    pub fn add_f32(&mut self, name: impl Into<String>, shape: &[usize], data: &[f32]) -> ValueId {
        let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.add_constant(name, Type::fixed(DType::F32, shape), bytes)
    }

    /// Adds an i64 constant.
    pub fn add_i64(&mut self, name: impl Into<String>, shape: &[usize], data: &[i64]) -> ValueId {
        let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.add_constant(name, Type::fixed(DType::I64, shape), bytes)
    }

    /// Appends a node with one output of type `ty` and gives that output.
    pub fn push(
        &mut self,
        block: BlockId,
        source: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
        ty: Type,
    ) -> ValueId {
        let inputs: Vec<_> = inputs.iter().map(|&v| Some(v)).collect();
        self.push_node(block, source, op, inputs, vec![Some(ty)])[0].expect("asked for")
    }

    /// Appends a node; outputs are made for every `Some` type.
    pub fn push_node(
        &mut self,
        block: BlockId,
        source: &str,
        op: impl Into<Op>,
        inputs: Vec<Option<ValueId>>,
        types: Vec<Option<Type>>,
    ) -> Vec<Option<ValueId>> {
        let op = op.into();
        let outputs: Vec<_> = types
            .into_iter()
            .map(|ty| {
                ty.map(|ty| {
                    let name = format!("{}_{}", op.code().name(), self.values.len());
                    self.add_value(name, ty)
                })
            })
            .collect();
        let node = Node {
            op,
            inputs,
            outputs: outputs.clone(),
            source: source.to_owned(),
        };
        self.blocks[block.0 as usize].nodes.push(node);
        outputs
    }

    /// Adds an empty block.
    pub fn add_block(&mut self) -> BlockId {
        self.blocks.push(Block::default());
        BlockId(self.blocks.len() as u32 - 1)
    }

    /// The value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// The value, to change.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0 as usize]
    }

    /// The value's type.
    pub fn ty(&self, id: ValueId) -> &Type {
        &self.value(id).ty
    }

    /// The f32 elements of a constant.
    pub fn constant_f32(&self, id: ValueId) -> Option<Vec<f32>> {
        let value = self.value(id);
        let data = value
            .data
            .as_ref()
            .filter(|_| value.ty.dtype == DType::F32)?;
        Some(
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|c| f32::from_le_bytes(*c))
                .collect(),
        )
    }

    /// The elements of an i64 or i32 constant.
    pub fn constant_i64(&self, id: ValueId) -> Option<Vec<i64>> {
        let value = self.value(id);
        let data = value.data.as_ref()?;
        match value.ty.dtype {
            DType::I64 => Some(
                data.as_chunks::<8>()
                    .0
                    .iter()
                    .map(|c| i64::from_le_bytes(*c))
                    .collect(),
            ),
            DType::I32 => Some(
                data.as_chunks::<4>()
                    .0
                    .iter()
                    .map(|c| i32::from_le_bytes(*c) as i64)
                    .collect(),
            ),
            _ => None,
        }
    }
}
