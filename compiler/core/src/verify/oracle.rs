//! tract as the oracle: every tensor of the model that carries a name becomes an output of tract's plan, so names
//! survive whatever tract does to the graph between.

use crate::bundle::Array;
use cygnet_format::DType;
use half::f16;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

/// Name and version of the oracle, as recorded in manifests.
pub const ORACLE_NAME: &str = "tract-onnx 0.23.9";

/// Why the oracle cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OracleError {
    /// tract does not load or run the model.
    #[error("tract cannot {stage} this model: {cause}")]
    Tract {
        /// `read`, `analyse` or `run`.
        stage: &'static str,
        /// tract's chain of causes in one line.
        cause: String,
    },
    /// The model is of a format that tract does not read.
    #[error("tract reads ONNX models, and this is a TFLite model")]
    Format,
    /// An input that the model needs was not given.
    #[error("input `{0}` is missing")]
    MissingInput(String),
    /// An element type that tract has no tensors for.
    #[error("tract has no tensors of type {0}")]
    Type(DType),
}

/// A model in tract, prepared for fixed input shapes.
pub struct Oracle {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
    names: Vec<String>,
}

/// The type of tract's executable plans.
type TypedRunnableModel = RunnableModel<TypedFact, Box<dyn TypedOp>>;

fn failure(stage: &'static str) -> impl Fn(TractError) -> OracleError {
    move |e| {
        let text = format!("{e:#}");
        let mut cause: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if cause.chars().count() > 400 {
            cause = cause.chars().take(400).collect::<String>() + " ...";
        }
        OracleError::Tract { stage, cause }
    }
}

/// tract asserts in places where it could refuse: a panic there is a refusal here.
fn guarded<T>(
    stage: &'static str,
    f: impl FnOnce() -> Result<T, OracleError>,
) -> Result<T, OracleError> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let cause = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "it panicked".to_owned());
        Err(OracleError::Tract { stage, cause })
    })
}

impl Oracle {
    /// Loads an ONNX model for inputs of exactly these types and shapes. With `every_tensor` all named tensors of the
    /// main graph are answered, else the outputs only.
    ///
    /// # Errors
    /// When tract does not read or analyse the model, or an input is not among `inputs`.
    pub fn load(
        onnx: &[u8],
        inputs: &[(String, Array)],
        every_tensor: bool,
    ) -> Result<Oracle, OracleError> {
        if crate::import::is_tflite(onnx) {
            return Err(OracleError::Format);
        }
        guarded("analyse", || {
            Self::load_plain(onnx, inputs, every_tensor, true)
        })
        .or_else(|_| {
            guarded("analyse", || {
                Self::load_plain(onnx, inputs, every_tensor, false)
            })
        })
    }

    fn load_plain(
        mut onnx: &[u8],
        given: &[(String, Array)],
        every_tensor: bool,
        optimize: bool,
    ) -> Result<Oracle, OracleError> {
        let mut model = tract_onnx::onnx()
            .with_ignore_value_info(true)
            .with_ignore_output_shapes(true)
            .model_for_read(&mut onnx)
            .map_err(failure("read"))?;
        let mut inputs = Vec::new();
        for (i, outlet) in model
            .input_outlets()
            .map_err(failure("read"))?
            .to_vec()
            .into_iter()
            .enumerate()
        {
            let name = model.node(outlet.node).name.clone();
            let array = given
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, a)| a)
                .ok_or_else(|| OracleError::MissingInput(name.clone()))?;
            let fact = InferenceFact::dt_shape(datum_type(array.dtype)?, array.shape.clone());
            model.set_input_fact(i, fact).map_err(failure("read"))?;
            inputs.push(name);
        }
        let mut outlets = Vec::new();
        let mut names = Vec::new();
        for outlet in model.output_outlets().map_err(failure("read"))?.to_vec() {
            names.push(model.outlet_label(outlet).unwrap_or_default().to_owned());
            outlets.push(outlet);
        }
        if every_tensor {
            for node in model.nodes() {
                for slot in 0..node.outputs.len() {
                    let outlet = OutletId::new(node.id, slot);
                    let Some(label) = model.outlet_label(outlet) else {
                        continue;
                    };
                    if !outlets.contains(&outlet) {
                        names.push(label.to_owned());
                        outlets.push(outlet);
                    }
                }
            }
        }
        model
            .select_output_outlets(&outlets)
            .map_err(failure("read"))?;
        let typed = if optimize {
            model.into_optimized()
        } else {
            model.into_typed()
        };
        let plan = typed
            .and_then(|m| m.into_runnable())
            .map_err(failure("analyse"))?;
        Ok(Oracle {
            plan,
            inputs,
            names,
        })
    }

    /// The names of the model's inputs.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// Runs the model; gives every answered tensor by name, outputs first. Tensors of types without a counterpart
    /// here (strings, complex numbers) are left out.
    ///
    /// # Errors
    /// When an input is missing or tract fails.
    pub fn run(&self, given: &[(String, Array)]) -> Result<Vec<(String, Array)>, OracleError> {
        let map: HashMap<&str, &Array> = given.iter().map(|(n, a)| (n.as_str(), a)).collect();
        let mut feeds = TVec::new();
        for name in &self.inputs {
            let array = map
                .get(name.as_str())
                .ok_or_else(|| OracleError::MissingInput(name.clone()))?;
            feeds.push(to_tract(array)?.into_tvalue());
        }
        let results = guarded("run", || self.plan.run(feeds).map_err(failure("run")))?;
        let mut out = Vec::new();
        for (name, value) in self.names.iter().zip(results.iter()) {
            if let Some(array) = from_tract(value) {
                out.push((name.clone(), array));
            }
        }
        Ok(out)
    }
}

fn datum_type(dtype: DType) -> Result<DatumType, OracleError> {
    Ok(match dtype {
        DType::F32 => DatumType::F32,
        DType::F64 => DatumType::F64,
        DType::F16 => DatumType::F16,
        DType::I8 => DatumType::I8,
        DType::U8 => DatumType::U8,
        DType::I16 => DatumType::I16,
        DType::U16 => DatumType::U16,
        DType::I32 => DatumType::I32,
        DType::U32 => DatumType::U32,
        DType::I64 => DatumType::I64,
        DType::U64 => DatumType::U64,
        DType::Bool => DatumType::Bool,
        other => return Err(OracleError::Type(other)),
    })
}

fn to_tract(array: &Array) -> Result<Tensor, OracleError> {
    fn build<const N: usize, T: Datum + Copy>(
        array: &Array,
        f: impl Fn([u8; N]) -> T,
    ) -> TractResult<Tensor> {
        let values: Vec<T> = array
            .data
            .as_chunks::<N>()
            .0
            .iter()
            .map(|c| f(*c))
            .collect();
        Tensor::from_shape(&array.shape, &values)
    }
    match array.dtype {
        DType::F32 => build(array, f32::from_le_bytes),
        DType::F64 => build(array, f64::from_le_bytes),
        DType::F16 => build(array, f16::from_le_bytes),
        DType::I8 => build(array, i8::from_le_bytes),
        DType::U8 => build(array, u8::from_le_bytes),
        DType::I16 => build(array, i16::from_le_bytes),
        DType::U16 => build(array, u16::from_le_bytes),
        DType::I32 => build(array, i32::from_le_bytes),
        DType::U32 => build(array, u32::from_le_bytes),
        DType::I64 => build(array, i64::from_le_bytes),
        DType::U64 => build(array, u64::from_le_bytes),
        DType::Bool => build(array, |b: [u8; 1]| b[0] != 0),
        other => return Err(OracleError::Type(other)),
    }
    .map_err(failure("run"))
}

fn from_tract(tensor: &Tensor) -> Option<Array> {
    let tensor = if tensor.datum_type() == DatumType::TDim {
        tensor.cast_to_dt(DatumType::I64).ok()?
    } else {
        std::borrow::Cow::Borrowed(tensor)
    };
    let dtype = match tensor.datum_type().unquantized() {
        DatumType::F32 => DType::F32,
        DatumType::F64 => DType::F64,
        DatumType::F16 => DType::F16,
        DatumType::I8 => DType::I8,
        DatumType::U8 => DType::U8,
        DatumType::I16 => DType::I16,
        DatumType::U16 => DType::U16,
        DatumType::I32 => DType::I32,
        DatumType::U32 => DType::U32,
        DatumType::I64 => DType::I64,
        DatumType::U64 => DType::U64,
        DatumType::Bool => DType::Bool,
        _ => return None,
    };
    tensor.as_plain_ram()?;
    Array::new(dtype, tensor.shape().to_vec(), tensor.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::sample_input;

    const DIGITS: &[u8] = include_bytes!("../../../../tests/data/digits.onnx");

    #[test]
    fn names_every_tensor_of_a_small_model() {
        let shape = [1, 1, 28, 28];
        let input = sample_input("x", DType::F32, &shape, 0).unwrap();
        let missing = Oracle::load(DIGITS, &[], true);
        let Err(OracleError::MissingInput(name)) = missing else {
            panic!("an input is needed");
        };
        let feeds = [(name, input)];
        let brief = Oracle::load(DIGITS, &feeds, false)
            .unwrap()
            .run(&feeds)
            .unwrap();
        let full = Oracle::load(DIGITS, &feeds, true)
            .unwrap()
            .run(&feeds)
            .unwrap();
        assert!(full.len() > brief.len() + 3);
        let same = full.iter().find(|(n, _)| *n == brief[0].0).unwrap();
        let difference = crate::verify::compare(&brief[0].1, &same.1).unwrap();
        assert!(difference.relative < 1e-5, "{difference:?}");
    }

    #[test]
    fn noise_is_refused() {
        assert!(Oracle::load(b"not a model at all", &[], false).is_err());
    }
}
