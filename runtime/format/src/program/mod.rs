//! A validated program over borrowed bytes.

mod error;
pub mod layout;
mod parse;
#[cfg(test)]
mod tests;

pub use error::{ParseError, ParseErrorKind};

use crate::attr::Words;
use crate::dim::{BlockId, Dim, MAX_RANK};
use crate::dtype::DType;
use crate::expr::{self, ExprOp};
use crate::op::{Op, OpCode};
use layout::*;

/// Index of a tensor in a program's tensor table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// A program whose every record was validated by [`Program::parse`]; accessors cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    strings: &'a str,
    sections: [&'a [u8]; SECTIONS],
    arena: u64,
    state: u64,
}

/// How a symbol gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    /// Bound by the shape of an input.
    Input,
    /// Set by a step whose output shape depends on data.
    Runtime,
}

/// A bounded symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolInfo<'a> {
    /// Name, such as `width`.
    pub name: &'a str,
    /// Smallest value, not negative.
    pub lo: i64,
    /// Largest value.
    pub hi: i64,
    /// Who binds it.
    pub kind: SymbolKind,
}

/// Where a tensor's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an offset of the constant section.
    Const(u64),
    /// At an offset of the arena, behind the state bytes.
    Arena(u64),
    /// At an offset of the arena, inside the state bytes, which live across runs.
    State(u64),
}

/// A tensor's static description.
#[derive(Clone, Copy, Debug)]
pub struct TensorInfo<'a> {
    /// Name; may be empty.
    pub name: &'a str,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub dims: DimsView<'a>,
    /// Where the bytes are.
    pub place: Place,
    /// Most bytes the tensor ever has; reserved at its place.
    pub bytes_bound: u64,
}

impl TensorInfo<'_> {
    /// Offset from the start of the arena; `None` for constants.
    pub const fn arena_offset(&self) -> Option<u64> {
        match self.place {
            Place::Const(_) => None,
            Place::Arena(o) | Place::State(o) => Some(o),
        }
    }
}

/// The dimensions of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct DimsView<'a> {
    bytes: &'a [u8],
}

impl<'a> DimsView<'a> {
    /// Number of dimensions, at most [`MAX_RANK`].
    pub const fn len(&self) -> usize {
        self.bytes.len() / 4
    }
    /// True for a scalar.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// Dimension `axis`.
    pub fn get(&self, axis: usize) -> Option<Dim> {
        (axis < self.len()).then(|| Dim(u32_at(self.bytes, axis * 4) as i32))
    }
    /// All dimensions.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Dim> + 'a {
        self.bytes.chunks_exact(4).map(|b| Dim(u32_at(b, 0) as i32))
    }
}

/// A list of optional tensor ids.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    bytes: &'a [u8],
}

impl<'a> Operands<'a> {
    /// Number of operands, absent ones counted.
    pub const fn len(&self) -> usize {
        self.bytes.len() / 4
    }
    /// True when there are none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// Operand `i`; `None` when absent or out of range.
    pub fn get(&self, i: usize) -> Option<TensorId> {
        match self.bytes.get(i.checked_mul(4)?..)?.first_chunk::<4>() {
            Some(b) => Some(u32::from_le_bytes(*b))
                .filter(|&id| id != NONE)
                .map(TensorId),
            None => None,
        }
    }
    /// All operands.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<TensorId>> + 'a {
        self.bytes
            .chunks_exact(4)
            .map(|b| Some(u32_at(b, 0)).filter(|&id| id != NONE).map(TensorId))
    }
}

/// A state: its tensor, and the tensor whose value becomes the state after a run.
#[derive(Clone, Copy, Debug)]
pub struct StateInfo<'a> {
    /// The tensor that holds the state while the program runs.
    pub tensor: TensorId,
    /// The next value, copied after the main block.
    pub next: TensorId,
    /// First bytes after a reset; the rest is zero.
    pub init: &'a [u8],
}

/// A block: body inputs, steps, body outputs. Block 0 is the main program.
#[derive(Clone, Copy, Debug)]
pub struct BlockInfo<'a> {
    /// Tensors that the caller fills (bodies only).
    pub inputs: Operands<'a>,
    /// Tensors that hold the results (bodies only).
    pub outputs: Operands<'a>,
    /// First step in the step table.
    pub first_step: u32,
    /// Number of steps.
    pub steps: u32,
}

/// A step of a block.
#[derive(Clone, Copy, Debug)]
pub struct StepInfo<'a> {
    /// The operator's code.
    pub code: OpCode,
    /// Input operands.
    pub inputs: Operands<'a>,
    /// Output operands.
    pub outputs: Operands<'a>,
    /// Name of the source node; may be empty.
    pub name: &'a str,
    attributes: &'a [u8],
}

impl StepInfo<'_> {
    /// The operator with its attributes; `None` cannot happen in a parsed program.
    pub fn op(&self) -> Option<Op> {
        Op::decode(self.code, &mut Words::new(self.attributes))
    }
}

fn range(bytes: &[u8], first: usize, len: usize) -> &[u8] {
    first
        .checked_add(len)
        .and_then(|end| bytes.get(first..end))
        .unwrap_or(&[])
}

impl<'a> Program<'a> {
    fn section(&self, s: Section) -> &'a [u8] {
        self.sections[s as usize]
    }

    fn count(&self, s: Section) -> usize {
        self.section(s).len() / Section::record_bytes(s as usize)
    }

    /// Record `i`; empty when out of range.
    fn record(&self, s: Section, i: usize) -> &'a [u8] {
        let size = Section::record_bytes(s as usize);
        i.checked_mul(size)
            .map_or(&[], |first| range(self.section(s), first, size))
    }

    fn words(&self, s: Section, first: u32, len: u32) -> &'a [u8] {
        match (
            (first as usize).checked_mul(4),
            (len as usize).checked_mul(4),
        ) {
            (Some(first), Some(len)) => range(self.section(s), first, len),
            _ => &[],
        }
    }

    fn text(&self, first: u32, len: u32) -> &'a str {
        (first as usize)
            .checked_add(len as usize)
            .and_then(|end| self.strings.get(first as usize..end))
            .unwrap_or("")
    }

    /// Bytes a session needs: the planned arena plus the table of symbol and expression values behind it. A multiple
    /// of 64.
    pub fn arena_bytes(&self) -> u64 {
        self.arena + self.values_bytes()
    }

    /// Bytes of the arena as planned: states, inputs, outputs and intermediates.
    pub const fn planned_bytes(&self) -> u64 {
        self.arena
    }

    /// Bytes at the start of the arena that live across runs.
    pub const fn state_bytes(&self) -> u64 {
        self.state
    }

    /// Bytes of the value table behind the planned arena: one `i64` a symbol, then one an expression, rounded up to 64.
    pub fn values_bytes(&self) -> u64 {
        ((self.symbols() + self.exprs()) as u64 * 8).div_ceil(ALIGN) * ALIGN
    }

    /// The constant section.
    pub fn constants(&self) -> &'a [u8] {
        self.section(Section::Constants)
    }

    /// Number of symbols.
    pub fn symbols(&self) -> usize {
        self.count(Section::Symbols)
    }

    /// Symbol `i`; a symbol without name in `0..=0` when out of range.
    pub fn symbol(&self, i: u32) -> SymbolInfo<'a> {
        let r = self.record(Section::Symbols, i as usize);
        SymbolInfo {
            name: self.text(u32_at(r, 0), u32_at(r, 4)),
            kind: if u32_at(r, 8) == 0 {
                SymbolKind::Input
            } else {
                SymbolKind::Runtime
            },
            lo: u64_at(r, 16) as i64,
            hi: u64_at(r, 24) as i64,
        }
    }

    /// Number of expressions.
    pub fn exprs(&self) -> usize {
        self.count(Section::Exprs)
    }

    /// The postfix operations of expression `i`.
    pub fn expr(&self, i: u32) -> impl Iterator<Item = ExprOp> + 'a {
        let r = self.record(Section::Exprs, i as usize);
        let first = (u32_at(r, 0) as usize).saturating_mul(EXPR_OP_BYTES);
        let len = (u32_at(r, 4) as usize).saturating_mul(EXPR_OP_BYTES);
        range(self.section(Section::ExprOps), first, len)
            .chunks_exact(EXPR_OP_BYTES)
            .filter_map(|r| ExprOp::from_parts(u32_at(r, 0), u32_at(r, 4), u64_at(r, 8) as i64))
    }

    /// The symbol that expression `i` is exactly, if it is one.
    pub fn expr_symbol(&self, i: u32) -> Option<u32> {
        let mut ops = self.expr(i);
        match (ops.next(), ops.next()) {
            (Some(ExprOp::Symbol(s)), None) => Some(s),
            _ => None,
        }
    }

    /// Value of expression `i` under these symbol values; see [`expr::evaluate`].
    pub fn evaluate(&self, i: u32, symbol: impl Fn(u32) -> i64) -> Option<i64> {
        expr::evaluate(self.expr(i), symbol)
    }

    /// Number of tensors.
    pub fn tensors(&self) -> usize {
        self.count(Section::Tensors)
    }

    /// Tensor `id`.
    ///
    /// # Panics
    /// When `id` is not of this program. Ids that the program itself holds are always valid.
    pub fn tensor(&self, id: TensorId) -> TensorInfo<'a> {
        self.tensor_checked(id)
            .expect("the tensor id belongs to the program")
    }

    fn tensor_checked(&self, id: TensorId) -> Option<TensorInfo<'a>> {
        let r: &[u8; TENSOR_BYTES] = self.record(Section::Tensors, id.0 as usize).first_chunk()?;
        let rank = (r[9] as usize).min(MAX_RANK);
        let offset = u64_at(r, 16);
        Some(TensorInfo {
            name: self.text(u32_at(r, 0), u32_at(r, 4)),
            dtype: DType::from_code(r[8])?,
            dims: DimsView {
                bytes: self.words(Section::Dims, u32_at(r, 12), rank as u32),
            },
            place: match r[10] {
                PLACE_CONST => Place::Const(offset),
                PLACE_ARENA => Place::Arena(offset),
                _ => Place::State(offset),
            },
            bytes_bound: u64_at(r, 24),
        })
    }

    /// The program's inputs.
    pub fn inputs(&self) -> Operands<'a> {
        Operands {
            bytes: self.section(Section::Inputs),
        }
    }

    /// The program's outputs.
    pub fn outputs(&self) -> Operands<'a> {
        Operands {
            bytes: self.section(Section::Outputs),
        }
    }

    /// Number of states.
    pub fn states(&self) -> usize {
        self.count(Section::States)
    }

    /// State `i`; `None` when out of range.
    pub fn state(&self, i: usize) -> Option<StateInfo<'a>> {
        let r: &[u8; STATE_BYTES] = self.record(Section::States, i).first_chunk()?;
        Some(StateInfo {
            tensor: TensorId(u32_at(r, 0)),
            next: TensorId(u32_at(r, 4)),
            init: range(
                self.constants(),
                usize::try_from(u64_at(r, 8)).ok()?,
                usize::try_from(u64_at(r, 16)).ok()?,
            ),
        })
    }

    /// Number of blocks, at least one.
    pub fn blocks(&self) -> usize {
        self.count(Section::Blocks)
    }

    /// Block `id`; an empty block when out of range.
    pub fn block(&self, id: BlockId) -> BlockInfo<'a> {
        let r = self.record(Section::Blocks, id.0 as usize);
        BlockInfo {
            inputs: Operands {
                bytes: self.words(Section::Ids, u32_at(r, 8), u32_at(r, 12)),
            },
            outputs: Operands {
                bytes: self.words(Section::Ids, u32_at(r, 16), u32_at(r, 20)),
            },
            first_step: u32_at(r, 24),
            steps: u32_at(r, 28),
        }
    }

    /// Number of steps of all blocks.
    pub fn steps(&self) -> usize {
        self.count(Section::Steps)
    }

    /// Step `i` of the step table; `None` when out of range.
    pub fn step(&self, i: u32) -> Option<StepInfo<'a>> {
        let r: &[u8; STEP_BYTES] = self.record(Section::Steps, i as usize).first_chunk()?;
        let (inputs, outputs) = (u16_at(r, 4) as u32, u16_at(r, 6) as u32);
        let first = u32_at(r, 8);
        Some(StepInfo {
            code: OpCode::from_code(u16_at(r, 0))?,
            inputs: Operands {
                bytes: self.words(Section::Ids, first, inputs),
            },
            outputs: Operands {
                bytes: self.words(Section::Ids, first.checked_add(inputs)?, outputs),
            },
            attributes: self.words(Section::Attributes, u32_at(r, 12), u32_at(r, 16)),
            name: self.text(u32_at(r, 20), u32_at(r, 24)),
        })
    }

    /// Key and value pairs.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        let program = *self;
        self.section(Section::Metadata)
            .chunks_exact(METADATA_BYTES)
            .map(move |r| {
                (
                    program.text(u32_at(r, 0), u32_at(r, 4)),
                    program.text(u32_at(r, 8), u32_at(r, 12)),
                )
            })
    }
}
