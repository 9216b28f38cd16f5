//! Puts a compiled program and everything that belongs to it into the bytes of a bundle.

use super::{
    Array, BundleError, Golden as GoldenInfo, MANIFEST_VERSION, Manifest, Memory, Postprocess,
    Preprocess, Provenance, Trace, memory_map, pipeline, sha256_hex, to_bytes,
};
use crate::import::ConstantInput;
use crate::ir::{Expr, Graph, Port, SymbolKind};
use crate::quantize::Record;
use crate::verify::{
    ORACLE_NAME, Oracle, Quantisation, Runner, RunnerError, RunnerOptions, compare, sample_input,
};
use cygnet_format::Dim;
use cygnet_format::golden::{GoldenWriter, Role};
use cygnet_format::pipeline::write_pipeline;
use cygnet_format::program::{ParseError, Program};
use std::collections::HashMap;

/// Relative tolerance of golden outputs, element by element.
const GOLDEN_RTOL: f32 = 1e-3;
/// Absolute tolerance of golden outputs as a part of the output's largest magnitude.
const GOLDEN_ATOL: f32 = 1e-4;
/// Floats closer than this agree whatever their magnitude: a saturated sigmoid has no more digits.
const GOLDEN_FLOOR: f32 = 1e-6;
/// No second example when the first is larger than this.
const GOLDEN_BYTES: usize = 2 << 20;

/// What a bundle is made from.
pub struct BundleInput<'a> {
    /// The model's bytes, ONNX or TFLite.
    pub onnx: &'a [u8],
    /// The model's file name without folders.
    pub source: &'a str,
    /// The model's name.
    pub name: &'a str,
    /// The graph that was emitted.
    pub graph: &'a Graph,
    /// The emitted program.
    pub program: &'a [u8],
    /// Which program tensors equal which model tensors.
    pub trace: Vec<Trace>,
    /// Inputs that were frozen: the oracle needs them.
    pub constants: &'a [ConstantInput],
    /// State pairs `(input, output)` in the order of the program's states.
    pub states: &'a [(String, String)],
    /// Options in words, for the manifest.
    pub options: Vec<String>,
    /// How media become the first input.
    pub preprocess: Option<Preprocess>,
    /// How outputs become an answer; `vocab` is filled here.
    pub postprocess: Option<Postprocess>,
    /// Class names, one a line.
    pub labels: Option<String>,
    /// Vocabulary, one entry a line.
    pub vocab: Option<String>,
    /// Further entries.
    pub extra: Vec<(String, Vec<u8>)>,
    /// Whether to make golden examples.
    pub golden: bool,
    /// Set when the program was quantised here. Then the oracle judges the float program, which the integer program was
    /// made from; golden examples hold what the integer program gives.
    pub quantized: Option<QuantizedInput<'a>>,
}

/// What is known of a quantisation.
#[derive(Clone, Copy)]
pub struct QuantizedInput<'a> {
    /// The float program with the same inputs and outputs.
    pub float_program: &'a [u8],
    /// What was done.
    pub record: &'a Record,
}

/// A bundle and what was learnt while it was made.
pub struct BuiltBundle {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its manifest.
    pub manifest: Manifest,
    /// How the program's outputs differ from the oracle's beyond the tolerance, in words; empty when they agree.
    pub mismatches: Vec<String>,
}

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The container.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The emitted program does not validate.
    #[error(
        "the compiled program does not validate ({0}): this is a defect of Cygnet, please report it with the model"
    )]
    Program(ParseError),
    /// The program does not run on the golden inputs.
    #[error("the compiled program fails on a golden example: {0}")]
    Run(#[from] RunnerError),
    /// What was said of pictures, sounds or answers does not fit the model.
    #[error("{0}")]
    Pipeline(String),
    /// An input is too large to make up.
    #[error(
        "input `{0}` is too large for a golden example: compile with smaller bounds or without golden examples"
    )]
    TooLarge(String),
}

/// Makes the bundle.
///
/// # Errors
/// When the program does not validate or does not run.
pub fn build(input: BundleInput<'_>) -> Result<BuiltBundle, BuildError> {
    let program = Program::parse(input.program).map_err(BuildError::Program)?;
    let map = memory_map(&program);
    let mut manifest = Manifest {
        manifest_version: MANIFEST_VERSION,
        name: input.name.to_owned(),
        compiler: concat!("cygnet ", env!("CARGO_PKG_VERSION")).to_owned(),
        memory: Memory {
            arena_bytes: program.arena_bytes(),
            state_bytes: program.state_bytes(),
            lower_bound_bytes: map.peak_bytes(),
            constant_bytes: program.constants().len() as u64,
            program_bytes: input.program.len() as u64,
        },
        preprocess: input.preprocess.clone(),
        postprocess: input.postprocess.clone(),
        ..Default::default()
    };
    manifest.describe(input.graph);
    manifest.provenance = Provenance {
        source: input.source.to_owned(),
        source_sha256: sha256_hex(input.onnx),
        source_bytes: input.onnx.len() as u64,
        options: input.options.clone(),
        ..manifest.provenance
    };
    let mut entries = vec![("program.cyg".to_owned(), input.program.to_vec())];
    let mut mismatches = Vec::new();
    if input.golden {
        let made = golden_examples(&input)?;
        mismatches = made.mismatches;
        for (i, bytes) in made.examples.into_iter().enumerate() {
            entries.push((format!("golden/{i}.cygt"), bytes));
        }
        manifest.golden = Some(made.info);
    }
    if let Some(quantized) = &input.quantized {
        manifest.quantization = Some(quantized.record.summary());
        let text = serde_json::to_vec(quantized.record).map_err(BundleError::from)?;
        entries.push(("quantization.json".to_owned(), text));
    }
    if !input.trace.is_empty() {
        let text = serde_json::to_vec(&input.trace).map_err(BundleError::from)?;
        entries.push(("trace.json".to_owned(), text));
    }
    if let Some(labels) = &input.labels {
        entries.push(("labels.txt".to_owned(), labels.clone().into_bytes()));
    }
    if let Some(vocab) = &input.vocab {
        entries.push(("vocab.txt".to_owned(), vocab.clone().into_bytes()));
        if let Some(post) = &mut manifest.postprocess {
            post.vocab = Some("vocab.txt".to_owned());
        }
        // The vocabulary would be in the file twice.
        manifest
            .provenance
            .metadata
            .retain(|_, v| v.trim_end() != vocab.trim_end());
    }
    let records = pipeline(&manifest).map_err(BuildError::Pipeline)?;
    if !records.is_empty() {
        let bytes = write_pipeline(&records).ok_or_else(|| {
            BuildError::Pipeline("scale, mean, std and thresholds are finite numbers".to_owned())
        })?;
        entries.push(("pipeline.cygp".to_owned(), bytes));
    }
    entries.extend(input.extra.iter().cloned());
    let bytes = to_bytes(manifest.clone(), &entries)?;
    Ok(BuiltBundle {
        bytes,
        manifest,
        mismatches,
    })
}

struct Examples {
    examples: Vec<Vec<u8>>,
    info: GoldenInfo,
    mismatches: Vec<String>,
}

/// Values for every input symbol: small, but not the smallest in the second example.
fn symbol_values(graph: &Graph, example: usize) -> HashMap<u32, i64> {
    graph
        .symbols
        .iter()
        .enumerate()
        .filter(|(_, s)| s.kind == SymbolKind::Input)
        .map(|(i, s)| {
            let value = if example == 0 {
                s.lo.max(1)
            } else {
                // Multiples of the lower bound: free sizes often come in steps of it.
                let step = s.lo.max(1);
                (step * (16 / step).max(2)).min(s.hi / step * step)
            };
            (i as u32, value.clamp(s.lo, s.hi))
        })
        .collect()
}

/// A dimension under these symbol values; symbols without one count as 1.
fn value_at(graph: &Graph, dim: Dim, symbols: &HashMap<u32, i64>) -> i64 {
    let Some(e) = dim.as_expr() else {
        return dim.0 as i64;
    };
    let at = |d: Dim| value_at(graph, d, symbols);
    let checked = |v: Option<i64>| v.unwrap_or(0);
    match graph.exprs[e as usize] {
        Expr::Symbol(s) => symbols.get(&s).copied().unwrap_or(1),
        Expr::Const(v) => v,
        Expr::Add(a, b) => at(a).saturating_add(at(b)),
        Expr::Sub(a, b) => at(a).saturating_sub(at(b)),
        Expr::Mul(a, b) => at(a).saturating_mul(at(b)),
        Expr::FloorDiv(a, b) => checked(at(a).checked_div_euclid(at(b))),
        Expr::CeilDiv(a, b) => -checked((-at(a)).checked_div_euclid(at(b))),
        Expr::Mod(a, b) => checked(at(a).checked_rem_euclid(at(b))),
        Expr::Min(a, b) => at(a).min(at(b)),
        Expr::Max(a, b) => at(a).max(at(b)),
    }
}

/// What golden example `example` feeds, in the order of the inputs; `Err` names an input that is too large.
pub(crate) fn golden_inputs(graph: &Graph, example: usize) -> Result<Vec<Array>, String> {
    let symbols = symbol_values(graph, example);
    let feed = |port: &Port| {
        let ty = graph.ty(port.value);
        let shape: Vec<usize> = ty
            .shape
            .iter()
            .map(|&d| value_at(graph, d, &symbols).max(0) as usize)
            .collect();
        sample_input(&port.name, ty.dtype, &shape, example as u64)
            .filter(|a| a.data.len() < 1 << 30)
            .ok_or_else(|| port.name.clone())
    };
    graph.inputs.iter().map(feed).collect()
}

fn golden_examples(input: &BundleInput<'_>) -> Result<Examples, BuildError> {
    let graph = input.graph;
    let plain = RunnerOptions {
        scalar: true,
        ..Default::default()
    };
    let mut runner = Runner::from_bytes(input.program, &plain)?;
    let mut float_runner = match &input.quantized {
        Some(quantized) => Some(Runner::from_bytes(quantized.float_program, &plain)?),
        None => None,
    };
    let free = graph.symbols.iter().any(|s| s.kind == SymbolKind::Input);
    let mut out = Examples {
        examples: Vec::new(),
        mismatches: Vec::new(),
        info: GoldenInfo {
            oracle: ORACLE_NAME.to_owned(),
            fallback_reason: None,
            examples: 0,
            tolerance: GOLDEN_RTOL,
        },
    };
    let quantisation = Quantisation::of(graph);
    // The oracle knows nothing of what was rounded here.
    let judged = match &input.quantized {
        Some(_) => Quantisation::default(),
        None => Quantisation::of(graph),
    };
    let wanted = if free || !graph.states.is_empty() {
        2
    } else {
        1
    };
    // The oracle's states: zeros, then its own outputs.
    let mut carried: Vec<(String, Array)> = Vec::new();
    for (state, (name, _)) in graph.states.iter().zip(input.states) {
        // An ONNX model says nothing of what a state holds at first.
        let shape = state.declared.fixed_shape().unwrap_or_default();
        let array = Array::zeros(state.declared.dtype, &shape);
        carried.push((
            name.clone(),
            array.ok_or_else(|| BuildError::TooLarge(name.clone()))?,
        ));
    }
    for example in 0..wanted {
        let arrays = golden_inputs(graph, example).map_err(BuildError::TooLarge)?;
        let names = graph.inputs.iter().map(|port| port.name.clone());
        let feeds: Vec<(String, Array)> = names.zip(arrays).collect();
        let arrays: Vec<&Array> = feeds.iter().map(|(_, a)| a).collect();
        runner.set_inputs(&arrays)?;
        let reset = example == 0 || free;
        if reset {
            runner.reset();
        }
        runner.run()?;
        let actual: Vec<Array> = (0..graph.outputs.len())
            .map(|i| runner.output(i))
            .collect::<Result<_, _>>()?;
        let judged_outputs: Vec<Array> = match &mut float_runner {
            Some(float) => {
                float.set_inputs(&arrays)?;
                if reset {
                    float.reset();
                }
                float.run()?;
                (0..graph.outputs.len())
                    .map(|i| float.output(i))
                    .collect::<Result<_, _>>()?
            }
            None => actual.clone(),
        };
        // Rows that are quantised at run time round elsewhere what was computed elsewhere: two instruction sets may be as
        // far apart as a whole quantisation is from the float program.
        let loss = if quantisation.dynamic {
            farthest(&judged_outputs, &actual)
        } else {
            0.0
        };
        let expected = if out.info.fallback_reason.is_none() {
            oracle_outputs(input, &feeds, &mut carried)
        } else {
            Err(String::new())
        };
        let expected = match expected {
            Ok(arrays) => {
                let pairs = arrays.iter().zip(&judged_outputs);
                for (i, (port, (e, a))) in graph.outputs.iter().zip(pairs).enumerate() {
                    if let Some(text) = disagreement(&port.name, e, a, i, &judged) {
                        out.mismatches
                            .push(format!("golden example {example}, {text}"));
                    }
                }
                // What integers give is the same everywhere, and not what the oracle's floats give.
                if quantisation.rounds || input.quantized.is_some() {
                    actual
                } else {
                    arrays
                }
            }
            Err(reason) => {
                if out.info.fallback_reason.is_none() {
                    out.info.fallback_reason = Some(reason);
                    out.info.oracle = "cygnet-scalar".to_owned();
                }
                actual
            }
        };
        let peak = expected
            .iter()
            .filter(|a| a.dtype.is_float())
            .flat_map(|a| a.to_f64())
            .filter(|v| v.is_finite())
            .fold(0f64, |m, v| m.max(v.abs()));
        let mut atol = (GOLDEN_ATOL * peak as f32).max(GOLDEN_FLOOR);
        if quantisation.floats {
            let steps = quantisation.steps.iter().flatten();
            atol = steps.fold(atol, |atol, step| atol.max(1.001 * step));
        }
        atol = atol.max(loss);
        let mut writer = GoldenWriter::new(GOLDEN_RTOL, atol, reset);
        let dims = |a: &Array| a.shape.iter().map(|&d| d as u32).collect::<Vec<_>>();
        for (i, (_, a)) in feeds.iter().enumerate() {
            writer.tensor(Role::Input, i as u32, a.dtype, &dims(a), &a.data);
        }
        for (i, a) in expected.iter().enumerate() {
            writer.tensor(Role::Output, i as u32, a.dtype, &dims(a), &a.data);
        }
        let Some(bytes) = writer.write() else {
            return Err(BuildError::TooLarge("golden example".into()));
        };
        let large = bytes.len() > GOLDEN_BYTES;
        out.examples.push(bytes);
        if large {
            break;
        }
    }
    out.info.examples = out.examples.len() as u32;
    Ok(out)
}

/// The largest difference of two sets of outputs.
fn farthest(a: &[Array], b: &[Array]) -> f32 {
    let pairs = a.iter().zip(b);
    let differences = pairs.filter_map(|(a, b)| compare(a, b).map(|d| d.max_abs as f32));
    differences.filter(|d| d.is_finite()).fold(0.0, f32::max)
}

/// The oracle's outputs in the program's order; `Err` says why it has none.
fn oracle_outputs(
    input: &BundleInput<'_>,
    feeds: &[(String, Array)],
    carried: &mut [(String, Array)],
) -> Result<Vec<Array>, String> {
    let mut all = feeds.to_vec();
    all.extend(carried.iter().cloned());
    for c in input.constants {
        let shape: Vec<usize> = c.shape.clone();
        let array = Array::new(c.dtype, shape, c.bytes.clone())
            .ok_or_else(|| format!("the constant `{}` has another size", c.name))?;
        all.push((c.name.clone(), array));
    }
    let oracle = Oracle::load(input.onnx, &all, false).map_err(|e| e.to_string())?;
    let answers: HashMap<String, Array> = oracle
        .run(&all)
        .map_err(|e| e.to_string())?
        .into_iter()
        .collect();
    for ((_, array), (_, next)) in carried.iter_mut().zip(input.states) {
        *array = answers
            .get(next)
            .cloned()
            .ok_or_else(|| format!("tract has no tensor `{next}`"))?;
    }
    input
        .graph
        .outputs
        .iter()
        .map(|port| {
            let mut array = answers
                .get(&port.name)
                .cloned()
                .ok_or_else(|| format!("tract has no tensor `{}`", port.name))?;
            let dtype = input.graph.ty(port.value).dtype;
            if array.dtype != dtype {
                array = array.cast(dtype);
            }
            Ok(array)
        })
        .collect()
}

/// What is wrong with an output, if it is beyond the golden tolerance.
fn disagreement(
    name: &str,
    expected: &Array,
    actual: &Array,
    output: usize,
    quantisation: &Quantisation,
) -> Option<String> {
    let Some(d) = compare(expected, actual) else {
        return Some(format!(
            "output `{name}`: shape {:?}, the oracle's is {:?}",
            actual.shape, expected.shape
        ));
    };
    let agrees = if expected.dtype.is_float() {
        d.relative <= GOLDEN_RTOL as f64 || d.max_abs <= GOLDEN_FLOOR as f64
    } else {
        d.different == 0
    };
    (!agrees && !quantisation.tolerates(output, &d)).then(|| {
        format!(
            "output `{name}`: largest error {:.3e} at element {} ({:.3e} of the largest magnitude, {} of {} elements differ)",
            d.max_abs,
            d.worst,
            d.relative,
            d.different,
            expected.len()
        )
    })
}
