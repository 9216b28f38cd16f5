//! The one way through compiler and runtime that the tests take.

use crate::Tensor;
use crate::expectations::Extent;
use cygnet_compiler::import::{
    self, ConstantInput, DimSpec, ImportError, ImportOptions, InputSpec,
};
use std::fmt;

/// What a test asks of the compiler.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Shapes of inputs that the model leaves open.
    pub shapes: Vec<(String, Vec<Extent>)>,
    /// Bounds of named dimensions.
    pub dims: Vec<(String, i64, i64)>,
    /// Inputs made constant.
    pub constants: Vec<(String, Tensor)>,
    /// State inputs and the outputs that carry them on.
    pub states: Vec<(String, String)>,
}

/// Why there is no answer, or the wrong one.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The compiler says why it does not take the model.
    Refused(String),
    /// The compiler takes the model when these values are known.
    NeedsConstants(Vec<String>),
    /// Anything that must not happen.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(reason) => write!(f, "refused: {reason}"),
            Failure::NeedsConstants(names) => write!(f, "needs constants: {}", names.join(", ")),
            Failure::Wrong(reason) => f.write_str(reason),
        }
    }
}

/// A compiled model.
pub struct Compiled {}

/// A session on a compiled model; states live as long as it.
pub struct Runner {}

/// Compiles a model.
///
/// # Errors
/// [`Failure::Refused`] or [`Failure::NeedsConstants`] when the compiler says so.
pub fn compile(model: &[u8], request: &Request) -> Result<Compiled, Failure> {
    import::onnx(model, &options(request)).map_err(failure)?;
    Ok(Compiled {})
}

fn options(request: &Request) -> ImportOptions {
    let extent = |extent: &Extent| match extent {
        Extent::Fixed(extent) => DimSpec::Fixed(*extent as i64),
        Extent::Named(name) => DimSpec::Symbol(name.clone()),
    };
    let input = |(name, shape): &(String, Vec<Extent>)| InputSpec {
        name: name.clone(),
        shape: Some(shape.iter().map(extent).collect()),
        dtype: None,
    };
    let constant = |(name, tensor): &(String, Tensor)| ConstantInput {
        name: name.clone(),
        dtype: tensor.dtype,
        shape: tensor.shape.clone(),
        bytes: tensor.bytes.clone(),
    };
    ImportOptions {
        inputs: request.shapes.iter().map(input).collect(),
        dims: request.dims.clone(),
        constants: request.constants.iter().map(constant).collect(),
        states: request.states.clone(),
    }
}

fn failure(error: ImportError) -> Failure {
    let ImportError::Problems(problems) = &error else {
        return Failure::Refused(error.to_string());
    };
    let name = |reason: &str| {
        let (name, rest) = reason.strip_prefix("its input '")?.split_once('\'')?;
        (rest == " must be known at compile time").then(|| name.to_string())
    };
    match problems
        .iter()
        .map(|problem| name(&problem.reason))
        .collect::<Option<Vec<_>>>()
    {
        Some(names) if !names.is_empty() => Failure::NeedsConstants(names),
        _ => {
            let reasons: Vec<&str> = problems
                .iter()
                .map(|problem| problem.reason.as_str())
                .collect();
            Failure::Refused(reasons.join("; "))
        }
    }
}

impl Compiled {
    /// Runs once.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn run(&self, feeds: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, String> {
        self.start()?.step(feeds)
    }

    /// A session with fresh states.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn start(&self) -> Result<Runner, String> {
        Ok(Runner {})
    }
}

impl Runner {
    /// Runs once and returns the outputs in the order of the graph.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn step(&mut self, _feeds: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, String> {
        Err("imported; compiler and runtime are not joined yet".into())
    }
}
