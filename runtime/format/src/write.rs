//! The only producer of program bytes. Equal descriptions give equal bytes.

use crate::attr::Attr;
use crate::dim::{BlockId, Dim, MAX_RANK};
use crate::dtype::DType;
use crate::expr::ExprOp;
pub use crate::golden::GoldenWriter;
use crate::op::Op;
use crate::program::layout::*;
use crate::program::{ParseError, Program};
pub use crate::program::{SymbolKind, TensorId};
use alloc::{collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};
use core::fmt;

/// A program, described for writing.
#[derive(Clone, Debug, Default)]
pub struct ProgramDesc {
    /// Bounded symbols.
    pub symbols: Vec<SymbolDesc>,
    /// Expressions over symbols; a [`Dim`] refers to them by index.
    pub exprs: Vec<ExprDesc>,
    /// Tensors of all blocks.
    pub tensors: Vec<TensorDesc>,
    /// The program's inputs, each placed in the arena.
    pub inputs: Vec<TensorId>,
    /// The program's outputs.
    pub outputs: Vec<TensorId>,
    /// States.
    pub states: Vec<StateDesc>,
    /// Blocks; block 0 is the main program and has no inputs or outputs of its own (they are the program's). A body's
    /// id is larger than that of the block whose step runs it, and all steps that run it are in one block.
    pub blocks: Vec<BlockDesc>,
    /// Bytes of states, inputs, outputs and intermediates: the largest end of a placed tensor.
    pub arena_bytes: u64,
    /// Bytes at the start of the arena that hold the states.
    pub state_bytes: u64,
    /// Key and value pairs.
    pub metadata: Vec<(String, String)>,
}

/// A bounded symbol.
#[derive(Clone, Debug)]
pub struct SymbolDesc {
    /// Name.
    pub name: String,
    /// Smallest value, not negative.
    pub lo: i64,
    /// Largest value, at most `i32::MAX`.
    pub hi: i64,
    /// Who binds it.
    pub kind: SymbolKind,
}

/// A postfix expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprDesc {
    /// Operations; at most [`crate::expr::MAX_EXPR_STACK`] values on the stack.
    pub ops: Vec<ExprOp>,
}

/// A tensor.
#[derive(Clone, Debug)]
pub struct TensorDesc {
    /// Name; may be empty.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// At most [`MAX_RANK`] dimensions.
    pub dims: Vec<Dim>,
    /// Where the bytes are.
    pub place: PlaceDesc,
    /// Most bytes the tensor ever has.
    pub bytes_bound: u64,
}

/// Where a tensor's bytes are.
#[derive(Clone, Debug)]
pub enum PlaceDesc {
    /// In the constant section. Data shared by one `Arc` is stored once.
    Const {
        /// The elements, little-endian.
        data: Arc<[u8]>,
    },
    /// In the arena, behind the states.
    Arena {
        /// Offset from the start of the arena, a multiple of 64.
        offset: u64,
    },
    /// Among the states.
    State {
        /// Offset from the start of the arena, a multiple of 64.
        offset: u64,
    },
}

/// A state.
#[derive(Clone, Debug)]
pub struct StateDesc {
    /// Tensor placed among the states.
    pub tensor: TensorId,
    /// Tensor whose value becomes the state after a run. Not placed among the states, unless at the same place.
    pub next: TensorId,
    /// First bytes after a reset; zeros when absent.
    pub init: Option<Vec<u8>>,
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct BlockDesc {
    /// Tensors the caller fills (bodies only).
    pub inputs: Vec<TensorId>,
    /// Steps in order.
    pub steps: Vec<StepDesc>,
    /// Tensors that hold the results (bodies only).
    pub outputs: Vec<TensorId>,
}

/// A step.
#[derive(Clone, Debug)]
pub struct StepDesc {
    /// Operator with attributes.
    pub op: Op,
    /// Input operands.
    pub inputs: Vec<Option<TensorId>>,
    /// Output operands.
    pub outputs: Vec<Option<TensorId>>,
    /// Name of the source node.
    pub name: String,
}

/// Why a description cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// A table or a string is too large for its field.
    TooLarge,
    /// Two steps of different blocks run the same body, or block ids are not in nesting order.
    Blocks,
    /// The written bytes do not validate; the description breaks this rule.
    Invalid(ParseError),
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::TooLarge => f.write_str("the program is too large for the format"),
            WriteError::Blocks => f.write_str("control-flow bodies are not in nesting order"),
            WriteError::Invalid(e) => write!(f, "the program description is invalid: {e}"),
        }
    }
}

impl core::error::Error for WriteError {}

impl From<ParseError> for WriteError {
    fn from(e: ParseError) -> Self {
        WriteError::Invalid(e)
    }
}

/// Writes a [`ProgramDesc`].
pub struct ProgramWriter<'a> {
    desc: &'a ProgramDesc,
    sections: [Vec<u8>; SECTIONS],
    texts: BTreeMap<&'a str, u32>,
}

/// Bytes of `desc`; see [`ProgramWriter::write`].
pub fn write_program(desc: &ProgramDesc) -> Result<Vec<u8>, WriteError> {
    ProgramWriter::new(desc).write()
}

fn small(n: usize) -> Result<u32, WriteError> {
    u32::try_from(n).map_err(|_| WriteError::TooLarge)
}

impl<'a> ProgramWriter<'a> {
    /// A writer of `desc`.
    pub fn new(desc: &'a ProgramDesc) -> Self {
        ProgramWriter {
            desc,
            sections: Default::default(),
            texts: BTreeMap::new(),
        }
    }

    fn put(&mut self, section: Section, words: &[u32]) {
        for w in words {
            self.sections[section as usize].extend_from_slice(&w.to_le_bytes());
        }
    }

    fn put64(&mut self, section: Section, value: u64) {
        self.sections[section as usize].extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, text: &'a str) -> Result<[u32; 2], WriteError> {
        let strings = &mut self.sections[Section::Strings as usize];
        let len = small(text.len())?;
        if text.is_empty() {
            return Ok([0, 0]);
        }
        if let Some(&first) = self.texts.get(text) {
            return Ok([first, len]);
        }
        let first = small(strings.len())?;
        strings.extend_from_slice(text.as_bytes());
        self.texts.insert(text, first);
        Ok([first, len])
    }

    fn constant(&mut self, data: &[u8]) -> u64 {
        let constants = &mut self.sections[Section::Constants as usize];
        let first = constants.len().div_ceil(ALIGN as usize) * ALIGN as usize;
        constants.resize(first, 0);
        constants.extend_from_slice(data);
        first as u64
    }

    /// The program's bytes, validated by [`Program::parse`].
    ///
    /// # Errors
    /// When the description does not fit the format or is not a valid program.
    pub fn write(mut self) -> Result<Vec<u8>, WriteError> {
        let desc = self.desc;
        for s in &desc.symbols {
            let [first, len] = self.text(&s.name)?;
            self.put(
                Section::Symbols,
                &[first, len, (s.kind == SymbolKind::Runtime) as u32, 0],
            );
            self.put64(Section::Symbols, s.lo as u64);
            self.put64(Section::Symbols, s.hi as u64);
        }
        for e in &desc.exprs {
            let first = self.sections[Section::ExprOps as usize].len() / EXPR_OP_BYTES;
            self.put(Section::Exprs, &[small(first)?, small(e.ops.len())?]);
            for &op in &e.ops {
                let (symbol, value) = match op {
                    ExprOp::Const(v) => (0, v),
                    ExprOp::Symbol(s) => (s, 0),
                    _ => (0, 0),
                };
                self.put(Section::ExprOps, &[op.code(), symbol]);
                self.put64(Section::ExprOps, value as u64);
            }
        }
        self.tensors()?;
        for &id in &desc.inputs {
            self.put(Section::Inputs, &[id.0]);
        }
        for &id in &desc.outputs {
            self.put(Section::Outputs, &[id.0]);
        }
        for s in &desc.states {
            let init = s.init.as_deref().unwrap_or(&[]);
            let first = if init.is_empty() {
                0
            } else {
                self.constant(init)
            };
            self.put(Section::States, &[s.tensor.0, s.next.0]);
            self.put64(Section::States, first);
            self.put64(Section::States, init.len() as u64);
        }
        self.blocks()?;
        for (key, value) in &desc.metadata {
            let (key, value) = (self.text(key)?, self.text(value)?);
            self.put(Section::Metadata, &[key[0], key[1], value[0], value[1]]);
        }
        let bytes = self.finish()?;
        Program::parse(&bytes)?;
        Ok(bytes)
    }

    fn tensors(&mut self) -> Result<(), WriteError> {
        let mut stored: BTreeMap<(usize, usize), u64> = BTreeMap::new();
        for t in &self.desc.tensors {
            if t.dims.len() > MAX_RANK {
                return Err(WriteError::TooLarge);
            }
            let [name, name_len] = self.text(&t.name)?;
            let dims = small(self.sections[Section::Dims as usize].len() / 4)?;
            for d in &t.dims {
                self.put(Section::Dims, &[d.0 as u32]);
            }
            let (place, offset) = match &t.place {
                PlaceDesc::Const { data } => {
                    let key = (data.as_ptr() as usize, data.len());
                    let offset = match stored.get(&key) {
                        Some(&o) => o,
                        None => {
                            let o = self.constant(data);
                            stored.insert(key, o);
                            o
                        }
                    };
                    (PLACE_CONST, offset)
                }
                PlaceDesc::Arena { offset } => (PLACE_ARENA, *offset),
                PlaceDesc::State { offset } => (PLACE_STATE, *offset),
            };
            let kinds = u32::from_le_bytes([t.dtype.code(), t.dims.len() as u8, place, 0]);
            self.put(Section::Tensors, &[name, name_len, kinds, dims]);
            self.put64(Section::Tensors, offset);
            self.put64(Section::Tensors, t.bytes_bound);
        }
        Ok(())
    }

    fn blocks(&mut self) -> Result<(), WriteError> {
        let blocks = &self.desc.blocks;
        let mut parents: Vec<Option<(u32, u32)>> = vec![None; blocks.len()];
        if let Some(main) = parents.first_mut() {
            *main = Some((0, 0));
        }
        for (b, block) in blocks.iter().enumerate() {
            let Some((_, depth)) = parents[b] else {
                return Err(WriteError::Blocks);
            };
            for step in &block.steps {
                let bodies: [Option<BlockId>; 2] = match &step.op {
                    Op::If(op) => [Some(op.then_block), Some(op.else_block)],
                    Op::Loop(op) => [Some(op.body), None],
                    Op::Scan(op) => [Some(op.body), None],
                    _ => [None, None],
                };
                for body in bodies.into_iter().flatten() {
                    let parent = parents.get_mut(body.0 as usize).ok_or(WriteError::Blocks)?;
                    let value = (b as u32, depth + 1);
                    if body.0 as usize <= b || parent.is_some_and(|p| p != value) {
                        return Err(WriteError::Blocks);
                    }
                    *parent = Some(value);
                }
            }
        }
        let mut first_step = 0u32;
        for (b, block) in blocks.iter().enumerate() {
            let (parent, depth) = parents[b].unwrap_or_default();
            let ids = small(self.sections[Section::Ids as usize].len() / 4)?;
            let (inputs, outputs) = (small(block.inputs.len())?, small(block.outputs.len())?);
            let steps = small(block.steps.len())?;
            self.put(
                Section::Blocks,
                &[
                    parent,
                    depth,
                    ids,
                    inputs,
                    ids + inputs,
                    outputs,
                    first_step,
                    steps,
                ],
            );
            first_step = first_step.checked_add(steps).ok_or(WriteError::TooLarge)?;
            for id in block.inputs.iter().chain(&block.outputs) {
                self.put(Section::Ids, &[id.0]);
            }
        }
        for step in blocks.iter().flat_map(|b| &b.steps) {
            let ids = small(self.sections[Section::Ids as usize].len() / 4)?;
            let attributes = self.sections[Section::Attributes as usize].len();
            let words = &mut self.sections[Section::Attributes as usize];
            step.op
                .encode(&mut |w| words.extend_from_slice(&w.to_le_bytes()));
            let len = (words.len() - attributes) / 4;
            let counts = [step.inputs.len(), step.outputs.len()].map(u16::try_from);
            let [Ok(inputs), Ok(outputs)] = counts else {
                return Err(WriteError::TooLarge);
            };
            let [name, name_len] = self.text(&step.name)?;
            let counts = inputs as u32 | (outputs as u32) << 16;
            let record = [
                step.op.code() as u32,
                counts,
                ids,
                small(attributes / 4)?,
                small(len)?,
                name,
                name_len,
                0,
            ];
            self.put(Section::Steps, &record);
            for id in step.inputs.iter().chain(&step.outputs) {
                self.put(Section::Ids, &[id.map_or(NONE, |id| id.0)]);
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, WriteError> {
        let align = ALIGN as usize;
        let mut table = Vec::new();
        let mut at = TABLE_END.div_ceil(align) * align;
        for (i, section) in self.sections.iter().enumerate() {
            table.extend_from_slice(&(i as u32 + 1).to_le_bytes());
            table.extend_from_slice(&0u32.to_le_bytes());
            table.extend_from_slice(&(at as u64).to_le_bytes());
            table.extend_from_slice(&(section.len() as u64).to_le_bytes());
            at = (at + section.len()).div_ceil(align) * align;
        }
        let mut bytes = Vec::with_capacity(at);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(SECTIONS as u32).to_le_bytes());
        bytes.extend_from_slice(&(at as u64).to_le_bytes());
        for size in [self.desc.arena_bytes, self.desc.state_bytes] {
            bytes.extend_from_slice(&align_up(size).ok_or(WriteError::TooLarge)?.to_le_bytes());
        }
        WEIGHT_LAYOUT.encode(&mut |w| bytes.extend_from_slice(&w.to_le_bytes()));
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend_from_slice(&table);
        for section in &self.sections {
            bytes.resize(bytes.len().div_ceil(align) * align, 0);
            bytes.extend_from_slice(section);
        }
        bytes.resize(at, 0);
        Ok(bytes)
    }
}
