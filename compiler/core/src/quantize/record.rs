//! What a quantisation did, for people, machines and later stages.

use super::{Channels, Method, Precision};
use serde::{Deserialize, Serialize};

/// What a quantisation did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Arithmetic.
    pub precision: Precision,
    /// How ranges were to be found.
    pub method: Method,
    /// The samples.
    pub calibration: CalibrationRecord,
    /// What was tried beyond ranges, and whether it helped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub techniques: Vec<Technique>,
    /// How near the outputs are to those of the float model, measured on the compiled program.
    pub agreement: Vec<Agreement>,
    /// Steps of the compiled program that compute with integers.
    pub integer_steps: usize,
    /// Steps that compute with floats, and why.
    pub float_layers: Vec<FloatLayer>,
    /// Convolutions and products that became integer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<LayerRecord>,
    /// Tensors that became integer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorRecord>,
}

impl Record {
    /// The tensor of this name.
    pub fn tensor(&self, name: &Option<String>) -> Option<&TensorRecord> {
        let name = name.as_deref()?;
        self.tensors.iter().find(|t| t.tensor == name)
    }

    /// Signal to noise of a layer's result in decibels, when nothing but the layer and its result are quantised; absent
    /// where the layer was not measured.
    pub fn result_db(&self, layer: &LayerRecord) -> Option<f64> {
        let computed = layer.output_snr_db?;
        let rounded = self.tensor(&layer.output).map(TensorRecord::felt_db);
        let noise = |db: f64| 10f64.powf(-db / 10.0);
        let all = noise(computed) + rounded.map_or(0.0, noise);
        Some(finite_db(-10.0 * all.log10()))
    }

    /// The record without its lists of layers and tensors.
    pub fn summary(&self) -> Record {
        Record {
            layers: Vec::new(),
            tensors: Vec::new(),
            ..self.clone()
        }
    }
}

/// Calibration samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRecord {
    /// Samples that gave the ranges.
    pub samples: usize,
    /// Samples kept back, on which agreement is measured; when it is 0, all were used for both.
    pub held_back: usize,
    /// SHA-256 of shapes and elements of all samples in their order.
    pub sha256: String,
}

/// A step towards accuracy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Technique {
    /// Its name.
    pub name: String,
    /// Whether the result has it.
    pub applied: bool,
    /// Signal to noise of the outputs without and with it, in decibels, on the samples kept back.
    pub snr_db: [f64; 2],
    /// What was decided, in words.
    pub reason: String,
}

/// An output of the integer program next to the float program's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// The output.
    pub output: String,
    /// Signal to noise over all samples, in decibels; 200 when equal.
    pub snr_db: f64,
    /// Part of the rows (vectors of the last axis) whose greatest element is the same, where rows have at least two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top1: Option<f64>,
    /// Rows that `top1` counts.
    pub rows: usize,
    /// Samples compared.
    pub samples: usize,
}

/// The least times of the two programs on this machine, on one thread. They are in no bundle: the same input gives the
/// same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// The float instruction set.
    pub isa: String,
    /// Milliseconds of the float program.
    pub float_ms: f64,
    /// Milliseconds of the quantised program.
    pub quantised_ms: f64,
}

/// A step that stays float.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FloatLayer {
    /// The model's node.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// Why.
    pub reason: String,
}

/// A layer whose weights are quantised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// The model's node.
    pub node: String,
    /// The float operator that it was.
    pub operator: String,
    /// Elements of the weights.
    pub weights: usize,
    /// Signal to noise of the quantised weights, in decibels.
    pub weight_snr_db: f64,
    /// How the weights are stored, where layers of a model differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// Bytes of the stored weights, scales and tables counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
    /// Signal to noise of the layer's result in decibels when nothing but the layer is quantised: its input, its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_snr_db: Option<f64>,
    /// The tensor of the record that the layer reads, for layers of integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// The tensor of the record that the layer's result becomes, for layers of integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// How far the channels of the input reach in calibration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_channels: Option<Channels>,
    /// How far the weights of each output channel reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_channels: Option<Channels>,
    /// How far the greatest weight of an output channel is above the median one, the median over channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_tail: Option<f64>,
    /// The greatest sum that weights, bias and the range of the input allow, in parts of what the accumulator holds: above
    /// one a sum may overflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum_share: Option<f64>,
}

/// The range of an 8-bit tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// The model's tensor, or the compiler's name for one that the model does not have.
    pub tensor: String,
    /// The method that gave the range.
    pub method: Method,
    /// Scale.
    pub scale: f32,
    /// Zero point.
    pub zero: i32,
    /// Least and greatest value seen.
    pub seen: [f32; 2],
    /// Least and greatest value on the samples kept back, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_back: Option<[f32; 2]>,
    /// Part of the values that lies outside the range.
    pub saturated: f64,
    /// Signal to noise of quantising it, in decibels; 200 when nothing is lost.
    pub snr_db: f64,
    /// Signal to noise of what functions make of it, where they alone read it: a HardSwish needs few negative values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_snr_db: Option<f64>,
    /// Part of the noise, of that of the functions where there are any, which lies outside the range; the rest are steps.
    #[serde(default)]
    pub cut: f64,
    /// A softmax that reads it, or whose result it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax: Option<SoftmaxRecord>,
    /// Values seen, in equal bins from the least to the greatest.
    pub histogram: Vec<u64>,
}

impl TensorRecord {
    /// Decibels of what reads it above what quantising it loses: of functions that alone read it, or of itself.
    pub fn felt_db(&self) -> f64 {
        self.read_snr_db.unwrap_or(self.snr_db)
    }
}

/// A softmax at an 8-bit tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxRecord {
    /// The model's node.
    pub node: String,
    /// True when it reads the tensor, false when the tensor is its result.
    pub reads: bool,
    /// Elements that add up to one, at the upper bound of a free dimension.
    pub classes: usize,
}

/// Decibels for JSON, which has no infinity.
pub(super) fn finite_db(db: f64) -> f64 {
    if db.is_nan() {
        0.0
    } else {
        db.clamp(-200.0, 200.0)
    }
}
