//! Whole integer programs (`make_models.py`), of which every step's results are compared.
use crate::Random;
use cygnet_runtime::format::OpCode;
use cygnet_runtime::{Config, Features, Program, RunError, Session};

/// Data at the alignment that programs and arenas have.
#[repr(align(64))]
pub struct Aligned<T: ?Sized>(pub T);

static MOBILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/mobile.cyg"));
static WIDE: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/wide.cyg"));
static DIGITS: &Aligned<[u8]> = &Aligned(*include_bytes!("../models/digits.cyg"));

/// Names and bytes.
pub const MODELS: &[(&str, &[u8])] = &[
    ("mobile", &MOBILE.0),
    ("wide", &WIDE.0),
    ("digits", &DIGITS.0),
];

/// Operators that occur in the models together, so that none is left out by a change of the compiler.
pub const OPERATORS: &[OpCode] = &[
    OpCode::QuantizeLinear,
    OpCode::QuantizedConv,
    OpCode::QuantizedDepthwise,
    OpCode::QuantizedAdd,
    OpCode::QuantizedMul,
    OpCode::QuantizedAveragePool,
    OpCode::Lookup,
    OpCode::DequantizeLinear,
    OpCode::Int16Conv,
    OpCode::Int16Depthwise,
    OpCode::Int16Add,
    OpCode::Int16Mul,
    OpCode::Int16Pool,
];

/// Bytes of the arena that every model fits.
pub const ARENA: usize = 48 * 1024;

/// Most steps of a model.
pub const STEPS: usize = 64;

/// What a run gave: for each step its operator and the digest of its results.
pub struct Trace {
    steps: [(Option<OpCode>, u64); STEPS],
    len: usize,
}

impl Trace {
    /// The steps in their order.
    pub fn steps(&self) -> impl Iterator<Item = (OpCode, u64)> + '_ {
        let steps = self.steps[..self.len].iter();
        steps.filter_map(|&(code, digest)| Some((code?, digest)))
    }
}

/// Runs a model on seeded noise. Steps whose arithmetic is defined to the last bit are digested: all but Softmax, whose
/// exponentials are each instruction set's own.
///
/// # Errors
/// What the engine says; [`STEPS`] is a backstop.
pub fn run(
    bytes: &[u8],
    features: Features,
    arena: &mut [u8],
    seed: u64,
) -> Result<Trace, RunError> {
    // Every program here was compiled: one that does not parse has to stop the tests.
    let program = Program::parse(bytes).expect("models are valid");
    let arena = &mut arena[..program.arena_bytes() as usize];
    arena.fill(0);
    let config = Config {
        features,
        ..Config::default()
    };
    let mut session = Session::new(&program, arena, config)?;
    let mut rng = Random::new(seed);
    let mut input = session.input_mut(0)?;
    for x in input.as_mut_slice::<f32>()? {
        // Halves between integers come often, and values beyond the range.
        *x = rng.within(-1024, 1024) as f32 / 256.0;
    }
    let mut trace = Trace {
        steps: [(None, 0); STEPS],
        len: 0,
    };
    session.run_observed(&mut |step, results| {
        if step.code == OpCode::Softmax {
            return;
        }
        let bytes = results.iter().flat_map(|t| t.bytes.iter().copied());
        if let Some(slot) = trace.steps.get_mut(trace.len) {
            *slot = (Some(step.code), crate::digest(bytes));
        }
        trace.len += 1;
    })?;
    assert!(trace.len <= STEPS, "a model has more than {STEPS} steps");
    Ok(trace)
}
