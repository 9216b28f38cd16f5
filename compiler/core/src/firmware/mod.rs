//! A program as source text: a Rust crate without interpreter and parser, whose `run` calls the kernels one after the
//! other, with the weights in read-only memory and the arena as a value.
//!
//! What a step gives its kernel is found by the engine ([`cygnet_runtime::prepare`]), so both run the same arithmetic.

mod c;
mod interpreted;
mod literal;
mod package;
mod step;

pub use c::{CHeader, CPUS, Cpu, c_files, c_header, entry_points, static_library};
pub use interpreted::interpreted_files;
pub use package::{Names, crate_files, identifier};

use cygnet_format::program::{Place, StepInfo, TensorId};
use cygnet_format::{BlockId, DType, OpCode, Program};
use cygnet_kernels::quantized::{GROUP, NARROW};
use cygnet_runtime::{Shape, TensorType};
use std::collections::BTreeMap;
use std::fmt;

/// A program that can be written as source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Inputs, in order.
    pub inputs: Vec<Port>,
    /// Outputs, in order.
    pub outputs: Vec<Port>,
    /// Every step in order; those that do nothing are left out.
    pub steps: Vec<Step>,
    /// Whether the inputs of all 8-bit convolutions are signed.
    pub signed: bool,
    /// Parameters of 8-bit convolutions that several steps share: associated constants of `Layer`.
    pub shared: Vec<String>,
    /// Constants that steps read, each at a multiple of 8.
    pub weights: Vec<u8>,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Bytes at its start that live across runs.
    pub state_bytes: u64,
    /// Bytes of the states after a reset, by their place; all others are zero.
    pub state_init: Vec<(u64, Vec<u8>)>,
    /// What becomes of the states after a run: from, to, bytes.
    pub state_moves: Vec<(u64, u64, u64)>,
}

/// An input or an output.
#[derive(Clone, Debug)]
pub struct Port {
    /// The model's name for it.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// The element type in Rust.
    pub element: &'static str,
    /// Shape.
    pub shape: Vec<usize>,
    /// Place in the arena.
    pub offset: u64,
}

impl Port {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True when a dimension is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A step of the source.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// Position in the program.
    pub index: u32,
    /// The operator's name.
    pub operator: &'static str,
    /// The model's node; may be empty.
    pub node: String,
    /// Shapes in words: `i8 1x49x10x1 -> i8 1x25x5x64`.
    pub shapes: String,
    /// The statements, indented for a method of the model.
    pub body: String,
    /// Associated constants of the `Layer` that the statements name `L`, until they are part of the statements.
    layer: Option<String>,
    /// What the statements name from `cygnet_kernels`.
    pub uses: Vec<&'static str>,
    /// Whether the statements end in a result that may be an error.
    pub fallible: bool,
}

/// Why a program cannot be written as source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The step, or `None` when it is the program as a whole.
    pub step: Option<u32>,
    /// The operator's name.
    pub operator: String,
    /// The model's node.
    pub node: String,
    /// What is in the way, and what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Some(step) => write!(
                f,
                "step {step} ({} {:?}): {}",
                self.operator, self.node, self.reason
            ),
            None => f.write_str(&self.reason),
        }
    }
}

/// Everything that keeps a program from becoming source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if i > 0 { "\n  " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A name of the model as comments in Rust and C may hold it: models are untrusted, and a line break or the end of a comment
/// would make code of what follows.
fn in_comment(name: &str) -> String {
    let line: String = name
        .chars()
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    line.replace("*/", "* /").replace("/*", "/ *")
}

/// An element type in Rust; kernels of 8-bit integers take their bytes.
fn rust_type(dtype: DType, bytes: bool) -> Result<&'static str, String> {
    Ok(match dtype {
        DType::I8 if !bytes => "i8",
        DType::I8 | DType::U8 | DType::Bool => "u8",
        DType::I16 => "i16",
        DType::U16 => "u16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I64 => "i64",
        DType::U64 => "u64",
        DType::F32 => "f32",
        DType::F64 => "f64",
        other => {
            return Err(format!(
                "elements of type {} have no source form",
                other.name()
            ));
        }
    })
}

/// Where an operand is: in the arena, or in the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Arena(u64),
    Weights(u64),
}

/// An operand of a step.
#[derive(Clone, Copy, Debug)]
struct Operand {
    kind: TensorType,
    at: At,
}

impl Operand {
    fn len(&self) -> usize {
        self.kind.shape.count()
    }

    fn bytes(&self) -> u64 {
        (self.len() * self.kind.dtype.size()) as u64
    }

    /// The same memory as bytes.
    fn as_bytes(&self) -> Operand {
        let mut kind = TensorType {
            dtype: DType::U8,
            shape: self.kind.shape,
        };
        // One axis fits whatever several did.
        if let Ok(shape) = Shape::new(&[self.bytes() as usize]) {
            kind.shape = shape;
        }
        Operand { kind, at: self.at }
    }
}

/// Collects the constants that steps read.
struct Weights<'a> {
    program: Program<'a>,
    /// Whether the inputs of all 8-bit convolutions are signed.
    signed: bool,
    /// Place in the source by what is taken of the program: place, bytes in the source, whether in narrow panels.
    places: BTreeMap<(u64, u64, bool), u64>,
    bytes: Vec<u8>,
}

impl Weights<'_> {
    fn place(&mut self, offset: u64, len: u64) -> u64 {
        let key = (offset, len, false);
        if let Some(&place) = self.places.get(&key) {
            return place;
        }
        let constants = self.program.constants();
        let bytes = &constants[offset as usize..][..len as usize];
        self.append(key, bytes)
    }

    /// 8-bit weights of a dense convolution, from panels of 16 columns `[groups][panels][window][16][4]` to panels of two
    /// `[groups][columns / 2][window][8]` in the order [`NARROW`]: place and length.
    fn narrow(&mut self, offset: u64, groups: usize, columns: usize, window: usize) -> (u64, u64) {
        const WIDE: usize = 16;
        const PAIR: usize = 2;
        let pairs = columns.div_ceil(PAIR);
        let len = groups * pairs * window * PAIR * GROUP;
        let key = (offset, len as u64, true);
        if let Some(&place) = self.places.get(&key) {
            return (place, len as u64);
        }
        let constants = &self.program.constants()[offset as usize..];
        let mut out = Vec::with_capacity(len);
        for group in 0..groups {
            for pair in 0..pairs {
                let column = pair * PAIR;
                let panel = group * columns.div_ceil(WIDE) + column / WIDE;
                for at in 0..window {
                    let first = (panel * window + at) * WIDE + column % WIDE;
                    let groups = &constants[first * GROUP..][..PAIR * GROUP];
                    out.extend(NARROW.map(|at| groups[at]));
                }
            }
        }
        (self.append(key, &out), len as u64)
    }

    fn append(&mut self, key: (u64, u64, bool), bytes: &[u8]) -> u64 {
        // No instruction set of generated code asks for more.
        let first = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(first, 0);
        self.bytes.extend_from_slice(bytes);
        self.places.insert(key, first as u64);
        first as u64
    }
}

/// Type and shape of a tensor whose dimensions are constants.
fn kind(program: &Program<'_>, id: TensorId) -> Option<TensorType> {
    let t = program.tensor(id);
    let dims: Option<Vec<usize>> = t
        .dims
        .iter()
        .map(|d| d.as_expr().is_none().then_some(d.0 as usize))
        .collect();
    Some(TensorType {
        dtype: t.dtype,
        shape: Shape::new(&dims?).ok()?,
    })
}

/// The steps of the main block, with their positions in the program.
fn steps_of<'a>(program: &Program<'a>) -> impl Iterator<Item = (u32, StepInfo<'a>)> {
    let block = program.block(BlockId(0));
    let program = *program;
    (block.first_step..block.first_step + block.steps)
        .filter_map(move |i| Some((i, program.step(i)?)))
}

/// Puts the parameters of layers before the statements that use them; gives those that several steps share, as bands of one
/// layer do, so that the compiler makes one function of them.
fn name_layers(steps: &mut [Step]) -> Vec<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for layer in steps.iter().filter_map(|s| s.layer.as_ref()) {
        *times.entry(layer.clone()).or_default() += 1;
    }
    let mut shared: Vec<String> = Vec::new();
    for step in steps {
        let Some(layer) = step.layer.take() else {
            continue;
        };
        let head = if times[&layer] > 1 {
            let known = shared.iter().position(|s| *s == layer);
            let i = known.unwrap_or_else(|| {
                shared.push(layer);
                shared.len() - 1
            });
            format!("        type L = Shared{i};\n")
        } else {
            let lines: String = layer.lines().map(|l| format!("        {l}\n")).collect();
            format!("        struct L;\n        impl Layer for L {{\n{lines}        }}\n")
        };
        step.body.insert_str(0, &head);
    }
    shared
}

/// Turns a program into source.
///
/// # Errors
/// Every step that has no source form, and free dimensions.
pub fn source(program: &Program<'_>) -> Result<Source, Problems> {
    let whole = |reason: &str| {
        Problems(vec![Problem {
            step: None,
            operator: String::new(),
            node: String::new(),
            reason: reason.into(),
        }])
    };
    if program.symbols() > 0 || program.exprs() > 0 {
        return Err(whole(
            "the model has free dimensions; compile it with fixed ones (--input NAME=SHAPE), or package the interpreter (--interpreter)",
        ));
    }
    let signed = steps_of(program).all(|(_, info)| {
        let reads = |id| program.tensor(id).dtype == DType::I8;
        !matches!(
            info.code,
            OpCode::QuantizedConv | OpCode::QuantizedDepthwise
        ) || info.inputs.get(0).is_some_and(reads)
    });
    let mut weights = Weights {
        program: *program,
        signed,
        places: BTreeMap::new(),
        bytes: Vec::new(),
    };
    let (mut steps, mut problems) = (Vec::new(), Vec::new());
    for (index, info) in steps_of(program) {
        match step::step(program, &info, &mut weights) {
            Ok(None) => {}
            Ok(Some(written)) => steps.push(Step {
                index,
                operator: info.code.name(),
                node: in_comment(info.name),
                ..written
            }),
            Err(reason) => problems.push(Problem {
                step: Some(index),
                operator: info.code.name().into(),
                node: info.name.into(),
                reason,
            }),
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let port = |id: Option<TensorId>| -> Result<Port, Problems> {
        let place = id.and_then(|id| Some((kind(program, id)?, program.tensor(id))));
        let Some((kind, t)) = place else {
            return Err(whole(
                "an input or output of the model has a free dimension",
            ));
        };
        let offset = t.arena_offset();
        Ok(Port {
            name: in_comment(t.name),
            dtype: t.dtype,
            element: rust_type(t.dtype, false).map_err(|reason| whole(&reason))?,
            shape: kind.shape.to_vec(),
            offset: offset.ok_or_else(|| whole("an input or output of the model is a constant"))?,
        })
    };
    let ports = |operands: cygnet_format::program::Operands<'_>| -> Result<Vec<Port>, Problems> {
        operands.iter().map(port).collect()
    };
    let (mut state_init, mut state_moves) = (Vec::new(), Vec::new());
    for state in (0..program.states()).filter_map(|i| program.state(i)) {
        let (to, from) = (program.tensor(state.tensor), program.tensor(state.next));
        let bytes = kind(program, state.tensor)
            .map(|k| (k.shape.count() * k.dtype.size()) as u64)
            .ok_or_else(|| whole("a state of the model has a free dimension"))?;
        let (Some(place), Place::Arena(next) | Place::State(next)) =
            (to.arena_offset(), from.place)
        else {
            return Err(whole(
                "the next value of a state is a constant; package the interpreter (--interpreter)",
            ));
        };
        if state.init.iter().any(|&b| b != 0) {
            state_init.push((place, state.init.to_vec()));
        }
        if place != next {
            state_moves.push((next, place, bytes));
        }
    }
    let shared = name_layers(&mut steps);
    Ok(Source {
        shared,
        inputs: ports(program.inputs())?,
        outputs: ports(program.outputs())?,
        steps,
        signed,
        weights: weights.bytes,
        arena_bytes: program.planned_bytes(),
        state_bytes: program.state_bytes(),
        state_init,
        state_moves,
    })
}

#[cfg(test)]
mod tests {
    use super::in_comment;

    #[test]
    fn names_stay_in_their_comments() {
        assert_eq!(in_comment("conv/Relu:0"), "conv/Relu:0");
        assert_eq!(in_comment("a\npub fn b() {}"), "a pub fn b() {}");
        assert_eq!(in_comment("*/ int x; /*\r\u{2028}"), "* / int x; / *  ");
        assert!(!in_comment("**//").contains("*/"));
    }
}
