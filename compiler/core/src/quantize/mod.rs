//! Quantisation of float models after training: ranges from calibration samples, integers from ranges; and weights of
//! few bits in programs that stay float, which need no samples ([`compress`]).
//!
//! The float graph is simplified until it says what it means (batch norms folded, biases fused), run over calibration
//! samples while every tensor that becomes 8-bit is watched, and given QuantizeLinear and DequantizeLinear pairs and
//! 8-bit weights. From there it is a quantised model like any other: [`crate::passes`] makes integers of it.
//!
//! The scheme is that of TensorFlow Lite's 8-bit specification (Jacob et al. 2018, "Quantization and Training of Neural
//! Networks for Efficient Integer-Arithmetic-Only Inference"): activations are i8 with one scale and zero point a tensor,
//! weights i8 with a scale for each output channel and no zero point, biases 32-bit in units of the sums. With 16-bit
//! activations these have no zero point, and are so small that no sum of products leaves 32 bits.

mod agreement;
mod attempt;
mod bias;
mod calibrate;
mod channels;
mod compile;
mod compress;
mod diagnose;
mod divergence;
mod equalise;
#[cfg(test)]
mod faults;
mod function;
mod histogram;
mod insert;
pub mod mixed;
mod range;
mod record;
mod rounding;
mod scheme;
#[cfg(test)]
mod tests;
mod weights;

pub use channels::Channels;
pub use compile::{Quantised, QuantizeError, compile};
pub use compress::{Format, compress};
pub use diagnose::{Cause, FINE_DB, Finding, diagnose};
pub use histogram::{BINS, Histogram, NotFinite};
pub use range::{Chosen, Parameters};
pub use record::{
    Agreement, CalibrationRecord, FloatLayer, LayerRecord, Record, SoftmaxRecord, Speed, Technique,
    TensorRecord,
};

use crate::bundle::Array;
use serde::{Deserialize, Serialize};

/// One run of the model: what is fed, in the order of the model's inputs.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Where it comes from, for messages.
    pub name: String,
    /// An array for each input.
    pub inputs: Vec<Array>,
    /// True when states carry over from the sample before.
    pub continues: bool,
}

/// Arithmetic of a compiled model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Precision {
    /// As the model is.
    #[default]
    None,
    /// 8-bit weights and activations, calibrated.
    Int8,
    /// 8-bit weights, 16-bit activations, calibrated.
    Int8x16,
    /// 8-bit weights; activations of products are 8-bit by the range that each row has at run time.
    Dynamic,
    /// 8-bit weights, float arithmetic.
    Int8Weights,
    /// 4-bit weights in groups, float arithmetic.
    Int4,
    /// Half-precision weights, float arithmetic.
    Fp16,
    /// Weights from small tables, float arithmetic.
    Palette,
    /// Layers differ: see [`mixed`].
    Mixed,
}

/// How the range of a tensor is found from what calibration saw of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[non_exhaustive]
pub enum Method {
    /// For each tensor the one of the others whose error is least.
    #[default]
    Auto,
    /// The least and the greatest value.
    MinMax,
    /// All but the outermost: this many percent below the upper end, and as many above the lower.
    Percentile(f64),
    /// The range of the least mean squared error.
    Mse,
    /// The range whose distribution diverges least from the seen one (Migacz 2017, "8-bit Inference with TensorRT").
    Entropy,
}

/// Choices of a quantisation.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Arithmetic.
    pub precision: Precision,
    /// How ranges are found.
    pub method: Method,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Method::Auto => f.write_str("auto"),
            Method::MinMax => f.write_str("min-max"),
            Method::Percentile(p) => write!(f, "percentile-{p}"),
            Method::Mse => f.write_str("mse"),
            Method::Entropy => f.write_str("entropy"),
        }
    }
}

impl From<Method> for String {
    fn from(method: Method) -> String {
        method.to_string()
    }
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(text: String) -> Result<Method, String> {
        text.parse()
    }
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Method, String> {
        Ok(match text {
            "auto" => Method::Auto,
            "min-max" => Method::MinMax,
            "mse" => Method::Mse,
            "entropy" => Method::Entropy,
            _ => match text.strip_prefix("percentile-").map(str::parse) {
                Some(Ok(p)) if p > 50.0 && p <= 100.0 => Method::Percentile(p),
                _ => {
                    return Err(format!(
                        "`{text}` is none of auto, min-max, percentile-P (such as percentile-99.99), mse, entropy"
                    ));
                }
            },
        })
    }
}
