//! What ONNX Runtime answered on real inputs: `expect/index.json` of the cache, written by `tests/expect.py`.

use crate::through::Request;
use crate::{Tensor, npy, path};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One model on one input, or on a stream of them.
#[derive(Clone, Debug, Deserialize)]
pub struct Expectation {
    /// Path of the model in the cache, or `digits.onnx`.
    pub model: String,
    /// What the input is.
    pub case: String,
    /// Input arrays.
    pub inputs: Vec<Array>,
    /// Output arrays.
    pub outputs: Vec<Array>,
    /// Bounds of named dimensions.
    #[serde(default)]
    pub dims: BTreeMap<String, (i64, i64)>,
    /// Input shapes where the model leaves them open.
    #[serde(default)]
    pub shapes: BTreeMap<String, Vec<Extent>>,
    /// Inputs made constant at compile time.
    #[serde(default)]
    pub constants: BTreeMap<String, String>,
    /// State inputs and the outputs that carry them on.
    #[serde(default)]
    pub states: BTreeMap<String, String>,
    /// Number of runs, when arrays have a leading axis for them.
    pub steps: Option<usize>,
    /// What a recogniser must read.
    pub text: Option<String>,
    /// One quantisation step of the outputs of an integer model.
    pub quantum: Option<f64>,
}

/// A named array in a file.
#[derive(Clone, Debug, Deserialize)]
pub struct Array {
    /// Name of the graph input or output.
    pub name: String,
    /// Path in the cache.
    pub file: String,
}

/// An extent: fixed, or the name of a dimension.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Extent {
    /// A number.
    Fixed(usize),
    /// A dimension with bounds.
    Named(String),
}

impl From<usize> for Extent {
    fn from(extent: usize) -> Extent {
        Extent::Fixed(extent)
    }
}

/// All expectations.
///
/// # Errors
/// When they are not there.
pub fn all() -> Result<Vec<Expectation>, String> {
    let file = path::cache().join("expect").join("index.json");
    serde_json::from_slice(&path::read(&file)?)
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// The cases of a model that one graph serves: those that ask for the same shapes as its first.
///
/// # Panics
/// When there are none; the message names the command that makes them.
pub fn of(model: &str) -> Vec<Expectation> {
    let all = all().unwrap_or_else(|reason| panic!("{reason}"));
    let mut cases: Vec<Expectation> = all.into_iter().filter(|c| c.model == model).collect();
    assert!(
        !cases.is_empty(),
        "no expectations for {model}: run tests/expect.py"
    );
    let first = cases[0].clone();
    cases.retain(|c| c.shapes == first.shapes && c.dims == first.dims);
    cases
}

impl Expectation {
    /// Where the model lies.
    pub fn model_path(&self) -> PathBuf {
        if self.model == "digits.onnx" {
            return path::repository()
                .join("tests")
                .join("data")
                .join("digits.onnx");
        }
        path::cache().join(&self.model)
    }

    /// What the compiler is asked for.
    ///
    /// # Errors
    /// When the file of a constant is missing or malformed.
    pub fn request(&self) -> Result<Request, String> {
        Ok(Request {
            shapes: self
                .shapes
                .iter()
                .map(|(name, shape)| (name.clone(), shape.clone()))
                .collect(),
            dims: self
                .dims
                .iter()
                .map(|(name, &(low, high))| (name.clone(), low, high))
                .collect(),
            constants: self.constant_tensors()?,
            states: self
                .states
                .iter()
                .map(|(input, output)| (input.clone(), output.clone()))
                .collect(),
        })
    }

    /// Reads named arrays.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn tensors(arrays: &[Array]) -> Result<Vec<(String, Tensor)>, String> {
        arrays
            .iter()
            .map(|array| {
                Ok((
                    array.name.clone(),
                    npy::read(&path::cache().join(&array.file))?,
                ))
            })
            .collect()
    }

    /// The constants with their values.
    ///
    /// # Errors
    /// When a file is missing or malformed.
    pub fn constant_tensors(&self) -> Result<Vec<(String, Tensor)>, String> {
        let read = |(name, file): (&String, &String)| {
            Ok((name.clone(), npy::read(&path::cache().join(file))?))
        };
        self.constants.iter().map(read).collect()
    }
}
