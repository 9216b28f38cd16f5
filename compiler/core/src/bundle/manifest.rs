//! `manifest.json`: what a bundle holds, in a form that tools and people read.

use crate::ir::{Expr, Graph, Port as GraphPort, State, ValueId};
use cygnet_format::Dim;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the manifest's structure.
pub const MANIFEST_VERSION: u32 = 1;

/// The manifest of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this structure.
    pub manifest_version: u32,
    /// The model's name.
    pub name: String,
    /// The compiler that wrote the bundle, such as `cygnet 0.1.0`.
    pub compiler: String,
    /// What users feed.
    pub inputs: Vec<Tensor>,
    /// What users read.
    pub outputs: Vec<Tensor>,
    /// Tensors that live across runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<Tensor>,
    /// Symbolic dimensions of the inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<Symbol>,
    /// Sizes in bytes.
    pub memory: Memory,
    /// How many steps each operator has.
    pub operators: BTreeMap<String, u32>,
    /// Where golden examples come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden: Option<Golden>,
    /// How the model was quantised; the entry `quantization.json` has the tensors and layers as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<crate::quantize::Record>,
    /// How media become the first input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Preprocess>,
    /// How outputs become an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postprocess: Option<Postprocess>,
    /// What was compiled, with what.
    pub provenance: Provenance,
    /// Every other file of the bundle.
    pub entries: Vec<Entry>,
}

/// A named tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// Name.
    pub name: String,
    /// Element type, such as `f32`.
    pub dtype: String,
    /// Axis lengths: numbers, or expressions over the symbols.
    pub shape: Vec<Length>,
    /// The largest shape.
    pub max_shape: Vec<u64>,
    /// Of a state that the program keeps as other integers or in another layout: how the model declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
}

/// A state as the model declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Declared {
    /// Element type.
    pub dtype: String,
    /// Shape.
    pub shape: Vec<u64>,
}

/// The length of an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Length {
    /// A constant.
    Fixed(u64),
    /// An expression such as `(width + 1) / 2`; divisions round down.
    Symbolic(String),
}

impl std::fmt::Display for Length {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Length::Fixed(v) => write!(f, "{v}"),
            Length::Symbolic(s) => f.write_str(s),
        }
    }
}

/// A bounded symbolic dimension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Symbol {
    /// Name.
    pub name: String,
    /// Smallest value.
    pub lo: i64,
    /// Largest value: memory is planned for it.
    pub hi: i64,
}

/// Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The arena that the caller hands over: states, inputs, outputs, intermediates.
    pub arena_bytes: u64,
    /// The part of the arena that lives across runs.
    pub state_bytes: u64,
    /// The largest sum of tensors alive at once: no plan can be smaller.
    pub lower_bound_bytes: u64,
    /// Weights and tables inside the program.
    pub constant_bytes: u64,
    /// `program.cyg`: what firmware links.
    pub program_bytes: u64,
}

/// The source of the golden examples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// `tract-onnx VERSION`, or `cygnet-scalar` when tract does not run the model.
    pub oracle: String,
    /// Why the first choice was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_reason: Option<String>,
    /// How many examples there are.
    pub examples: u32,
    /// Largest accepted error relative to the largest magnitude of an output.
    pub tolerance: f32,
}

/// How an image or a sound becomes a tensor: `(value * scale - mean) / std` per channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// `stretch`, `letterbox`, `centre` or `crop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<String>,
    /// Value of padding, 0 to 255; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<u8>,
    /// Factor on 0..=255 values before mean and std; 1/255 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<f32>,
    /// Per channel, or one for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// Per channel, or one for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub std: Vec<f32>,
    /// `rgb`, `bgr` or `gray`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_order: Option<String>,
    /// `nchw` or `nhwc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
    /// Samples a second of sounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
}

/// How the first output becomes an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Postprocess {
    /// `ctc` (text), `db` (text boxes), `top` (classes), `yolo8`, `yolo5` or `ssd` (boxes), `mask`, `embedding`.
    pub decode: String,
    /// What makes probabilities of scores: `none`, `softmax` or `sigmoid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<String>,
    /// Scores below are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// Of two boxes of a class that overlap by more than this share of their union, the better one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f32>,
    /// Most classes of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<u32>,
    /// Of a mask: the channels are the last axis.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub channels_last: bool,
    /// The bundle's vocabulary entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab: Option<String>,
}

/// What was compiled, with what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The model's file name, without folders.
    pub source: String,
    /// SHA-256 of the model.
    pub source_sha256: String,
    /// Size of the model.
    pub source_bytes: u64,
    /// Options that shape the result, such as `dim width=32..1280`.
    pub options: Vec<String>,
    /// The model's own metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A tensor of the program that equals a tensor of the model: entry `trace.json` lists them for `verify`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Index in the program's tensor table.
    pub tensor: u32,
    /// The tensor's name in the model.
    pub name: String,
    /// `program.shape[i] = model.shape[perm[i]]`; empty when the order of axes is the model's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub perm: Vec<usize>,
}

/// A file of the bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Name inside the ZIP.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

impl Manifest {
    /// Fills inputs, outputs, states, symbols, operators and metadata from a graph.
    pub fn describe(&mut self, graph: &Graph) {
        let ports = |ports: &[GraphPort]| -> Vec<Tensor> {
            ports
                .iter()
                .map(|p| tensor(graph, &p.name, p.value))
                .collect()
        };
        self.inputs = ports(&graph.inputs);
        self.outputs = ports(&graph.outputs);
        self.states = graph.states.iter().map(|s| state(graph, s)).collect();
        self.symbols = graph
            .symbols
            .iter()
            .map(|s| Symbol {
                name: s.name.clone(),
                lo: s.lo,
                hi: s.hi,
            })
            .collect();
        for node in graph.blocks.iter().flat_map(|b| &b.nodes) {
            *self
                .operators
                .entry(node.op.code().name().to_owned())
                .or_default() += 1;
        }
        self.provenance.metadata = graph.metadata.iter().cloned().collect();
    }
}

fn state(graph: &Graph, state: &State) -> Tensor {
    let declared = &state.declared;
    let bound = |&d: &Dim| graph.dim_bounds(d).1.max(0) as u64;
    Tensor {
        declared: (graph.ty(state.current) != declared).then(|| Declared {
            dtype: declared.dtype.name().to_owned(),
            shape: declared.shape.iter().map(bound).collect(),
        }),
        ..tensor(graph, &state.name, state.current)
    }
}

fn tensor(graph: &Graph, name: &str, value: ValueId) -> Tensor {
    let ty = graph.ty(value);
    Tensor {
        name: name.to_owned(),
        dtype: ty.dtype.name().to_owned(),
        shape: ty
            .shape
            .iter()
            .map(|&d| match d.as_const() {
                Some(v) => Length::Fixed(v as u64),
                None => Length::Symbolic(dim_text(graph, d)),
            })
            .collect(),
        max_shape: ty
            .shape
            .iter()
            .map(|&d| graph.dim_bounds(d).1.max(0) as u64)
            .collect(),
        declared: None,
    }
}

/// A dimension in words of the symbols.
pub fn dim_text(graph: &Graph, dim: Dim) -> String {
    let Some(e) = dim.as_expr() else {
        return dim.0.to_string();
    };
    let binary = |a: Dim, op: &str, b: Dim| {
        let side = |d: Dim| {
            let text = dim_text(graph, d);
            if text.contains(' ') {
                format!("({text})")
            } else {
                text
            }
        };
        format!("{} {op} {}", side(a), side(b))
    };
    let call = |name: &str, a: Dim, b: Dim| {
        format!("{name}({}, {})", dim_text(graph, a), dim_text(graph, b))
    };
    match graph.exprs[e as usize] {
        Expr::Symbol(s) => graph.symbols[s as usize].name.clone(),
        Expr::Const(v) => v.to_string(),
        Expr::Add(a, b) => match graph.dim_value(b) {
            Some(v) if v < 0 => format!("{} - {}", dim_text(graph, a), -v),
            _ => binary(a, "+", b),
        },
        Expr::Sub(a, b) => binary(a, "-", b),
        Expr::Mul(a, b) => binary(a, "*", b),
        Expr::FloorDiv(a, b) => binary(a, "/", b),
        Expr::CeilDiv(a, b) => call("ceil_div", a, b),
        Expr::Mod(a, b) => binary(a, "%", b),
        Expr::Min(a, b) => call("min", a, b),
        Expr::Max(a, b) => call("max", a, b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::SymbolKind;

    #[test]
    fn dimensions_read_like_arithmetic() {
        let mut g = Graph::default();
        let w = g.add_symbol("width", 32, 960, SymbolKind::Input);
        let plus = g.dim_add(w, Dim(1));
        let half = g.dim_floor_div(plus, Dim(2));
        assert_eq!(dim_text(&g, half), "(width + 1) / 2");
        let minus = g.dim_sub(w, Dim(2));
        assert_eq!(dim_text(&g, minus), "width - 2");
    }
}
