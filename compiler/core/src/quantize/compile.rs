//! The whole way from a float graph and samples to an integer program.

use super::agreement::{Outputs, agreement, decibels, outputs, speed};
use super::attempt::Attempt;
use super::bias::LayerError;
use super::diagnose::FEW_SAMPLES;
use super::divergence::{Reading, readings};
use super::equalise::equalise;
use super::insert::count_integer;
use super::scheme::{Scheme, Width};
use super::{
    Agreement, CalibrationRecord, FloatLayer, Method, Options, Precision, Record, Sample, Speed,
    Technique,
};
use crate::bundle::sha256_hex;
use crate::emit::EmitError;
use crate::ir::{Graph, MAIN, ValueId};
use crate::passes;
use crate::verify::RunnerError;
use crate::{CompileError, CompileOptions, Compiled, compile_graph};
use cygnet_format::Op;
use std::collections::BTreeSet;

/// One stream of samples in this many is kept back.
const HOLD_BACK: usize = 4;
/// What [`Method::Auto`] tries besides the least error of every tensor.
const OTHER_METHODS: [Method; 2] = [Method::MinMax, Method::Percentile(99.999)];
/// What a technique gains at least to be used.
const LEAST_GAIN_DB: f64 = 0.1;

/// Why a model cannot be quantised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// No samples.
    #[error("there are no calibration samples")]
    NoSamples,
    /// The model has integers already.
    #[error(
        "the model is quantised already (it has DequantizeLinear): compile it with --quantize none, its integers are kept"
    )]
    AlreadyQuantised,
    /// No convolution or product has constant float weights.
    #[error(
        "there is nothing to quantise: the model has no convolution or matrix product with constant f32 weights; compile it with --quantize none"
    )]
    Nothing,
    /// No layer has weights that are worth compressing.
    #[error(
        "there is nothing to compress: no layer has enough constant f32 weights; compile the model with --quantize none"
    )]
    NothingToCompress,
    /// What is to stay float is not there.
    #[error("no node is called `{0}`, which is to stay float: `cygnet inspect` names the nodes")]
    NoSuchNode(String),
    /// An input is too large to make up.
    #[error(
        "input `{0}` is too large to measure agreement on made-up values: give samples, or smaller bounds"
    )]
    TooLarge(String),
    /// An input holds an infinity or a NaN.
    #[error(
        "calibration sample {sample}: input `{input}` holds {value} at element {at}: remove the sample or mend it"
    )]
    Input {
        /// The sample.
        sample: String,
        /// The model's input.
        input: String,
        /// The value.
        value: f32,
        /// Its flat index.
        at: usize,
    },
    /// A tensor holds an infinity or a NaN.
    #[error(
        "calibration sample {sample}: `{tensor}` becomes {value} (element {at}) in the float model: without this sample, or with inputs scaled as in training, it has a range"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The sample.
        sample: String,
        /// The value.
        value: f32,
        /// Its flat index.
        at: usize,
    },
    /// Budgets that nothing can keep.
    #[error("{0}")]
    Budget(String),
    /// A metric does not judge a program.
    #[error("cannot judge the program `{point}`: {cause}")]
    Metric {
        /// What the program is.
        point: String,
        /// Why.
        cause: String,
    },
    /// A sample does not run.
    #[error("calibration sample {sample}: {cause}")]
    Run {
        /// The sample.
        sample: String,
        /// What the engine says.
        cause: RunnerError,
    },
    /// The program does not load.
    #[error(transparent)]
    Load(#[from] RunnerError),
    /// The float or the integer graph does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The observed graph does not become a program.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// A quantised model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Quantised {
    /// The integer program.
    pub compiled: Compiled,
    /// The float program.
    pub float: Compiled,
    /// What was done.
    pub record: Record,
    /// How fast both are on this machine, where that was measured.
    pub speed: Option<Speed>,
    /// What users should know, in words.
    pub warnings: Vec<String>,
}

/// Quantises and compiles an imported float graph.
///
/// # Errors
/// See [`QuantizeError`].
pub fn compile(
    graph: Graph,
    choices: &CompileOptions,
    options: &Options,
    samples: &[Sample],
) -> Result<Quantised, QuantizeError> {
    let base = recognised(&graph);
    let width = match options.precision {
        Precision::Int8x16 => Width::Sixteen,
        _ => Width::Eight,
    };
    let scheme = Scheme::without(&base, &kept_float(&base, choices)?, width);
    let study = Study::of(graph, choices, samples)?;
    if scheme.layers.is_empty() {
        return Err(QuantizeError::Nothing);
    }
    let found = study.calibrated(base, scheme, options.method)?;
    let record = study.record(options, &found)?;
    let speed = speed(
        &study.float.program.bytes,
        &found.compiled.program.bytes,
        &samples[0],
    )?;
    let mut warnings = Vec::new();
    if speed.quantised_ms > speed.float_ms {
        warnings.push(format!(
            "on this machine ({}) the {} program is slower than the float program, {:.3} against {:.3} ms: {}",
            speed.isa,
            if width == Width::Eight { "8-bit" } else { "16-bit" },
            speed.quantised_ms,
            speed.float_ms,
            if width == Width::Eight {
                "8-bit products are fast where there is VNNI, SDOT or SMMLA; AVX2 alone gains little over floats, and nothing in small layers; elsewhere they save memory alone"
            } else {
                "functions such as HardSwish are computed in floats between 16-bit layers, which save memory first of all"
            }
        ));
    }
    warnings.extend(few(samples));
    Ok(Quantised {
        compiled: found.compiled,
        float: study.float,
        record,
        speed: Some(speed),
        warnings,
    })
}

/// The float graph as quantisation reads it.
pub(super) fn recognised(graph: &Graph) -> Graph {
    let mut base = graph.clone();
    passes::recognise(&mut base);
    base
}

/// True for nodes that quantisation leaves float, by operator and name or by name.
pub(super) fn is_kept(node: &str, kept: &[String]) -> bool {
    let name = node.split_once(' ').map_or(node, |(_, name)| name);
    kept.iter().any(|k| match k.strip_suffix('*') {
        Some(begin) => name.starts_with(begin),
        None => name == k || node == k,
    })
}

/// The nodes of a recognised graph that are to stay float.
pub(super) fn kept_float(
    base: &Graph,
    choices: &CompileOptions,
) -> Result<BTreeSet<usize>, QuantizeError> {
    let nodes = &base.blocks[MAIN.0 as usize].nodes;
    for pattern in &choices.keep_float {
        let one = std::slice::from_ref(pattern);
        if !nodes.iter().any(|n| is_kept(&n.source, one)) {
            return Err(QuantizeError::NoSuchNode(pattern.clone()));
        }
    }
    let kept = nodes.iter().enumerate();
    let kept = kept.filter(|(_, n)| is_kept(&n.source, &choices.keep_float));
    Ok(kept.map(|(i, _)| i).collect())
}

/// The warning that samples are few.
pub(super) fn few(samples: &[Sample]) -> Option<String> {
    (samples.len() < FEW_SAMPLES).then(|| {
        format!(
            "{} calibration sample{} say little about the ranges of activations: give at least {FEW_SAMPLES}, better 100, that look like what the model will see",
            samples.len(),
            if samples.len() == 1 { "" } else { "s" },
        )
    })
}

/// What decides between attempts: the float program and its outputs.
pub(super) struct Study<'a> {
    pub choices: &'a CompileOptions,
    pub samples: &'a [Sample],
    /// Those that gave no ranges.
    pub kept: Vec<bool>,
    /// Those that give ranges.
    pub learn: Vec<Sample>,
    pub float: Compiled,
    pub expected: Outputs,
    /// What each output is.
    readings: Vec<Reading>,
}

/// The best static quantisation of a study.
pub(super) struct Found {
    pub attempt: Attempt,
    pub compiled: Compiled,
    pub agreement: Measured,
    pub techniques: Vec<Technique>,
    /// By layer.
    pub errors: Vec<LayerError>,
}

/// Agreement with the float program.
pub(super) struct Measured {
    /// On the samples that gave no ranges.
    pub kept: Vec<Agreement>,
    /// Decibels by what outputs are, on the samples that gave no ranges and on all.
    db: [f64; 2],
}

/// An attempt that was compiled and compared.
struct Tried {
    compiled: Compiled,
    agreement: Measured,
    technique: Technique,
}

impl<'a> Study<'a> {
    pub fn of(
        graph: Graph,
        choices: &'a CompileOptions,
        samples: &'a [Sample],
    ) -> Result<Study<'a>, QuantizeError> {
        check(&graph, samples)?;
        if passes::is_quantised(&graph) {
            return Err(QuantizeError::AlreadyQuantised);
        }
        let readings = readings(&graph);
        let float = compile_graph(graph, choices)?;
        let kept = kept_back(samples);
        Ok(Study {
            choices,
            samples,
            learn: learning(samples, &kept),
            kept,
            expected: outputs(&float.program.bytes, samples)?,
            float,
            readings,
        })
    }

    /// Finds ranges, weights and biases.
    pub fn calibrated(
        &self,
        base: Graph,
        scheme: Scheme,
        mut method: Method,
    ) -> Result<Found, QuantizeError> {
        let (learn, choices) = (&self.learn, self.choices);
        let width = scheme.width;
        let seen = Attempt::look(&base, &scheme, learn)?;
        let mut attempt = Attempt::new(base, scheme, &seen, method);
        let mut compiled = attempt.compile(choices)?;
        let mut agreement = self.agreement(&compiled)?;
        let mut techniques = Vec::new();
        if method == Method::Auto && width == Width::Eight {
            // What clips least tensor by tensor need not serve the outputs best.
            for other in OTHER_METHODS {
                let (base, scheme) = (attempt.base.clone(), attempt.scheme.clone());
                let ranged = Attempt::new(base, scheme, &seen, other);
                let tried = self.tried(&format!("ranges by {other}"), &agreement, &ranged)?;
                if tried.technique.applied {
                    (attempt, compiled, agreement) = (ranged, tried.compiled, tried.agreement);
                    method = other;
                }
                techniques.push(tried.technique);
            }
        }
        let mut base = attempt.base.clone();
        // 16 bits hold channels of any two ranges.
        if width == Width::Eight && equalise(&mut base, &attempt.scheme, learn)? > 0 {
            let scheme = Scheme::without(&base, &attempt.scheme.excluded, width);
            let seen = Attempt::look(&base, &scheme, learn)?;
            let equalised = Attempt::new(base, scheme, &seen, method);
            let tried = self.tried("equalisation", &agreement, &equalised)?;
            if tried.technique.applied {
                (attempt, compiled, agreement) = (equalised, tried.compiled, tried.agreement);
            }
            techniques.push(tried.technique);
        }
        let compensated = attempt.compensated(learn)?;
        // With rounded activations chance decides what weights are worth: their noise is the greater.
        let without = self.agreement(&attempt.compile_weights(choices)?)?;
        let with = self.agreement(&compensated.compile_weights(choices)?)?;
        let technique = judged(
            "compensating rounding",
            &without,
            &with,
            "of the weights alone",
        );
        if technique.applied {
            attempt = compensated;
            compiled = attempt.compile(choices)?;
            agreement = self.agreement(&compiled)?;
        }
        techniques.push(technique);
        let errors = attempt.measure(learn)?;
        let corrected = attempt.corrected(&errors);
        let tried = self.tried("bias correction", &agreement, &corrected)?;
        if tried.technique.applied {
            (attempt, compiled, agreement) = (corrected, tried.compiled, tried.agreement);
        }
        techniques.push(tried.technique);
        Ok(Found {
            attempt,
            compiled,
            agreement,
            techniques,
            errors,
        })
    }

    /// The samples, for people and machines.
    pub fn calibration(&self) -> CalibrationRecord {
        CalibrationRecord {
            samples: self.learn.len(),
            held_back: self.samples.len() - self.learn.len(),
            sha256: digest(self.samples),
        }
    }

    /// What was found, for people and machines.
    ///
    /// # Errors
    /// When a sample that was kept back does not run.
    pub fn record(&self, options: &Options, found: &Found) -> Result<Record, QuantizeError> {
        let others = self.samples.iter().zip(&self.kept);
        let kept_back: Vec<Sample> = match self.learn.len() < self.samples.len() {
            true => others
                .filter(|(_, k)| **k)
                .map(|(s, _)| s.clone())
                .collect(),
            false => Vec::new(),
        };
        Ok(Record {
            precision: options.precision,
            method: options.method,
            calibration: self.calibration(),
            techniques: found.techniques.clone(),
            agreement: found.agreement.kept.clone(),
            integer_steps: count_integer(&found.compiled.graph.blocks[MAIN.0 as usize].nodes),
            float_layers: float_layers(&found.compiled.graph, &self.choices.keep_float),
            layers: found.attempt.layer_records(&found.errors),
            tensors: found.attempt.tensor_records(&kept_back)?,
        })
    }

    /// How near a program's outputs are to the float program's.
    pub fn agreement(&self, compiled: &Compiled) -> Result<Measured, QuantizeError> {
        let ports = compiled.graph.outputs.iter();
        let names: Vec<String> = ports.map(|p| p.name.clone()).collect();
        let actual = outputs(&compiled.program.bytes, self.samples)?;
        let (some, of_some) = (self.expected.only(&self.kept), actual.only(&self.kept));
        Ok(Measured {
            kept: agreement(&names, &some, &of_some),
            db: [
                decibels(&self.readings, &some, &of_some),
                decibels(&self.readings, &self.expected, &actual),
            ],
        })
    }

    /// Compares an attempt with what there was without it. A few samples are luck and those that gave the ranges are no
    /// proof, so that it must be no worse on the former and better on all together.
    fn tried(
        &self,
        name: &str,
        without: &Measured,
        attempt: &Attempt,
    ) -> Result<Tried, QuantizeError> {
        let compiled = attempt.compile(self.choices)?;
        let agreement = self.agreement(&compiled)?;
        let technique = judged(name, without, &agreement, "of the outputs");
        Ok(Tried {
            compiled,
            agreement,
            technique,
        })
    }
}

/// Whether a technique is used, by the errors without and with it.
fn judged(name: &str, without: &Measured, with: &Measured, of: &str) -> Technique {
    let snr_db = [without.db[0], with.db[0]];
    let all = [without.db[1], with.db[1]];
    let applied = snr_db[1] >= snr_db[0] && all[1] >= all[0] + LEAST_GAIN_DB;
    Technique {
        name: name.to_owned(),
        applied,
        snr_db,
        reason: if applied {
            format!("lowers the error {of}")
        } else {
            format!("{:.1} -> {:.1} dB on all samples", all[0], all[1])
        },
    }
}

/// Refuses samples that say nothing.
pub(super) fn check(graph: &Graph, samples: &[Sample]) -> Result<(), QuantizeError> {
    if samples.is_empty() {
        return Err(QuantizeError::NoSamples);
    }
    for sample in samples {
        for (port, array) in graph.inputs.iter().zip(&sample.inputs) {
            if !array.dtype.is_float() {
                continue;
            }
            let values = array.to_f32();
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                return Err(QuantizeError::Input {
                    sample: sample.name.clone(),
                    input: port.name.clone(),
                    value: values[at],
                    at,
                });
            }
        }
    }
    Ok(())
}

/// The samples on which agreement is measured: whole streams, spread evenly; all when there are too few to spare any.
fn kept_back(samples: &[Sample]) -> Vec<bool> {
    let mut stream = 0;
    let streams = samples.iter().enumerate().map(|(i, s)| {
        stream += usize::from(i > 0 && !s.continues);
        stream
    });
    let kept: Vec<bool> = streams.map(|s| s % HOLD_BACK == HOLD_BACK - 1).collect();
    if kept.contains(&true) {
        kept
    } else {
        vec![true; samples.len()]
    }
}

/// The samples that give ranges: those that are not kept back, or all when all are.
fn learning(samples: &[Sample], kept: &[bool]) -> Vec<Sample> {
    let all = kept.iter().all(|k| *k);
    let chosen = samples.iter().zip(kept).filter(|(_, k)| all || !**k);
    chosen.map(|(s, _)| s.clone()).collect()
}

/// SHA-256 over the shapes and elements of all samples.
fn digest(samples: &[Sample]) -> String {
    let mut bytes = Vec::new();
    for array in samples.iter().flat_map(|s| &s.inputs) {
        bytes.extend(array.dtype.name().bytes());
        for &d in &array.shape {
            bytes.extend((d as u64).to_le_bytes());
        }
        bytes.extend(&array.data);
    }
    sha256_hex(&bytes)
}

/// What computes with floats in a compiled graph, and why; `kept` are the nodes that are to.
pub(super) fn float_layers(graph: &Graph, kept: &[String]) -> Vec<FloatLayer> {
    let float = |v: &ValueId| graph.ty(*v).dtype.is_float();
    let nodes = graph.blocks.iter().flat_map(|b| &b.nodes);
    let stays = nodes.filter_map(|node| {
        let reason = match &node.op {
            // The borders between integers and floats, and what only moves elements.
            Op::QuantizeLinear(_)
            | Op::DequantizeLinear(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Slice(_)
            | Op::Concat(_)
            | Op::Expand(_)
            | Op::Tile(_)
            | Op::Gather(_)
            | Op::Pad(_) => return None,
            _ if is_kept(&node.source, kept) => "it is to stay float",
            Op::MatMul(_) | Op::Attention(_) => "both operands are computed",
            Op::Conv(_) | Op::DepthwiseConv(_) | Op::SeparableConv(_) | Op::WinogradConv(_) => {
                "its weights or its bias are not constant"
            }
            Op::ConvTranspose(_) => "its windows overlap",
            Op::Softmax(_) => "exponentials of 8 bits are too coarse",
            Op::LayerNorm(_) | Op::GroupNorm(_) | Op::Lrn(_) | Op::LpNorm(_) => {
                "means and variances of 8 bits are too coarse"
            }
            Op::Lstm(_) | Op::Gru(_) | Op::Rnn(_) => "errors of its state would add up over time",
            op if passes::is_pointwise(op) => {
                "an operand is float, or floats alone read its result"
            }
            Op::Chain(_) => "an operand is float, or floats alone read its result",
            _ => "the operator has no 8-bit form",
        };
        let computes = node.outputs.iter().flatten().any(float);
        computes.then(|| FloatLayer {
            node: node.source.clone(),
            operator: node.op.code().name().to_owned(),
            reason: reason.to_owned(),
        })
    });
    stays.collect()
}
