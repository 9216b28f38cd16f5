//! The self-test: a bundle's golden examples on this very device.

use crate::bundle::Bundle;
use crate::error::{RunError, RunErrorKind};
use crate::session::Session;
use crate::tensor::Tensor;
use core::fmt;
use cygnet_format::DType;
use cygnet_format::golden::{Golden, GoldenTensor, Role};

/// Why a self-test failed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum SelfTestError {
    /// The bundle has no golden examples: nothing would be proved.
    NoExamples,
    /// An example is malformed or does not fit the program.
    Malformed {
        /// Number of the example.
        example: u32,
    },
    /// The program failed on an example.
    Run {
        /// Number of the example.
        example: u32,
        /// What failed.
        error: RunError,
    },
    /// An output differs.
    Differs {
        /// Number of the example.
        example: u32,
        /// Index of the output.
        output: u32,
        /// Position of the first differing element.
        element: usize,
        /// The value found.
        got: f64,
        /// The value expected.
        want: f64,
    },
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SelfTestError::NoExamples => f.write_str("the bundle has no golden examples"),
            SelfTestError::Malformed { example } => {
                write!(f, "golden example {example} does not fit the program")
            }
            SelfTestError::Run { example, error } => write!(f, "golden example {example}: {error}"),
            SelfTestError::Differs {
                example,
                output,
                element,
                got,
                want,
            } => {
                write!(
                    f,
                    "golden example {example}: output {output} differs at element {element}: {got}, expected {want}"
                )
            }
        }
    }
}

impl core::error::Error for SelfTestError {}

/// Runs every golden example of `bundle` (numbered from 0) and compares the outputs. Returns how many ran. States are
/// as the last example left them: reset them before other use.
///
/// # Errors
/// At the first example that fails.
pub fn self_test(bundle: &Bundle<'_>, session: &mut Session<'_>) -> Result<u32, SelfTestError> {
    let mut example = 0;
    while let Some(bytes) = bundle.golden(example) {
        let golden = Golden::parse(bytes).ok_or(SelfTestError::Malformed { example })?;
        run_example(&golden, example, session)?;
        example += 1;
    }
    if example == 0 {
        Err(SelfTestError::NoExamples)
    } else {
        Ok(example)
    }
}

fn run_example(
    golden: &Golden<'_>,
    example: u32,
    session: &mut Session<'_>,
) -> Result<(), SelfTestError> {
    let run = |error| SelfTestError::Run { example, error };
    let tensors = |role| {
        (0..golden.len())
            .filter_map(|i| golden.tensor(i))
            .filter(move |t| t.role == role)
    };
    if golden.reset {
        session.reset_state();
    }
    for t in tensors(Role::Input) {
        set_shape(session, &t).map_err(run)?;
    }
    for t in tensors(Role::Input) {
        let input = session.input_mut(t.index as usize).map_err(run)?;
        if input.dtype != t.dtype || input.bytes.len() != t.bytes.len() {
            return Err(SelfTestError::Malformed { example });
        }
        input.bytes.copy_from_slice(t.bytes);
    }
    session.run().map_err(run)?;
    for t in tensors(Role::Output) {
        let got = session.output(t.index as usize).map_err(run)?;
        let same_shape = got
            .shape
            .iter()
            .copied()
            .eq(t.dims().iter().map(|&d| d as usize));
        if got.dtype != t.dtype || !same_shape || got.bytes.len() != t.bytes.len() {
            return Err(SelfTestError::Malformed { example });
        }
        if let Some((element, got, want)) = difference(&got, &t, golden) {
            return Err(SelfTestError::Differs {
                example,
                output: t.index,
                element,
                got,
                want,
            });
        }
    }
    Ok(())
}

fn set_shape(session: &mut Session<'_>, t: &GoldenTensor<'_>) -> Result<(), RunError> {
    let mut shape = [0usize; cygnet_format::MAX_RANK];
    let dims = t.dims();
    for (to, &from) in shape.iter_mut().zip(dims) {
        *to = from as usize;
    }
    session.set_input_shape(
        t.index as usize,
        shape.get(..dims.len()).ok_or(RunErrorKind::Rank)?,
    )
}

/// The first element outside the tolerance. NaN matches NaN, an infinity matches itself.
fn difference(
    got: &Tensor<'_>,
    want: &GoldenTensor<'_>,
    golden: &Golden<'_>,
) -> Option<(usize, f64, f64)> {
    let size = got.dtype.size();
    let pairs = got
        .bytes
        .chunks_exact(size)
        .zip(want.bytes.chunks_exact(size))
        .enumerate();
    for (i, (a, b)) in pairs {
        if a == b {
            continue;
        }
        let (x, y) = (value(got.dtype, a), value(got.dtype, b));
        let close = match got.dtype {
            DType::F32 | DType::F16 | DType::BF16 | DType::F64 => {
                let limit = golden.atol as f64 + golden.rtol as f64 * y.abs();
                (x - y).abs() <= limit || x == y || (x.is_nan() && y.is_nan())
            }
            _ => false,
        };
        if !close {
            return Some((i, x, y));
        }
    }
    None
}

fn value(dtype: DType, b: &[u8]) -> f64 {
    let mut raw = [0u8; 8];
    for (to, &from) in raw.iter_mut().zip(b) {
        *to = from;
    }
    let bits = u64::from_le_bytes(raw);
    match dtype {
        DType::F32 => f32::from_bits(bits as u32) as f64,
        DType::F64 => f64::from_bits(bits),
        DType::F16 => half::f16::from_bits(bits as u16).to_f64(),
        DType::BF16 => half::bf16::from_bits(bits as u16).to_f64(),
        DType::I8 | DType::I4 | DType::I2 => bits as i8 as f64,
        DType::I16 => bits as i16 as f64,
        DType::I32 => bits as i32 as f64,
        DType::I64 => bits as i64 as f64,
        _ => bits as f64,
    }
}
