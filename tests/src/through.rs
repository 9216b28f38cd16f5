//! The one way through compiler and runtime that the tests take.

use crate::Tensor;
pub use crate::expectations::Extent;
use cygnet_compiler::emit::EmitError;
use cygnet_compiler::import::{ConstantInput, DimSpec, ImportError, ImportOptions, InputSpec};
use cygnet_compiler::{CompileError, CompileOptions};
use cygnet_runtime::{Model, Options, OwnedSession, TensorId};
use std::fmt;
use std::sync::Arc;

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
pub struct Compiled {
    model: Arc<Model>,
}

/// A session on a compiled model; states live as long as it.
pub struct Runner {
    session: OwnedSession,
}

/// Compiles a model.
///
/// # Errors
/// [`Failure::Refused`] or [`Failure::NeedsConstants`] when the compiler says so.
pub fn compile(model: &[u8], request: &Request) -> Result<Compiled, Failure> {
    let mut choices = CompileOptions::default();
    choices.import = options(request);
    match cygnet_compiler::compile(model, &choices) {
        Ok(compiled) => Compiled::new(&compiled.program.bytes).map_err(Failure::Wrong),
        Err(CompileError::Import(error)) => Err(failure(error)),
        Err(CompileError::Emit(error @ (EmitError::Plan(_) | EmitError::Expression))) => {
            Err(Failure::Refused(error.to_string()))
        }
        Err(error) => Err(Failure::Wrong(error.to_string())),
    }
}

/// A request as options of the importer.
pub fn options(request: &Request) -> ImportOptions {
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
    /// A model from the bytes of a program or bundle.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn new(bytes: &[u8]) -> Result<Compiled, String> {
        Ok(Compiled {
            model: Arc::new(Model::from_bytes(bytes).map_err(|error| error.to_string())?),
        })
    }

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
        let session = OwnedSession::new(self.model.clone(), Options::default())
            .map_err(|error| error.to_string())?;
        Ok(Runner { session })
    }
}

impl Runner {
    /// Runs once and returns the outputs in the order of the graph.
    ///
    /// # Errors
    /// What the runtime says; or an input that is missing, or of another type.
    pub fn step(&mut self, feeds: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>, String> {
        let names = |ids: Vec<TensorId>| {
            ids.into_iter()
                .map(|id| self.session.program().tensor(id).name.to_string())
        };
        let inputs: Vec<String> =
            names(self.session.program().inputs().iter().flatten().collect()).collect();
        let outputs: Vec<String> =
            names(self.session.program().outputs().iter().flatten().collect()).collect();
        // An input that nothing uses may be gone from the program; one that is not fed may not.
        let fed = |name: &String| {
            feeds
                .iter()
                .find(|(fed, _)| fed == name)
                .map(|(_, tensor)| *tensor)
        };
        let tensors = inputs
            .iter()
            .map(|name| fed(name).ok_or_else(|| format!("input {name} is not fed")));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        for (i, tensor) in tensors.iter().enumerate() {
            let place = self.session.set_input_shape(i, &tensor.shape);
            place.map_err(|error| {
                format!("input {} of shape {:?}: {error}", inputs[i], tensor.shape)
            })?;
        }
        for (i, tensor) in tensors.iter().enumerate() {
            let place = self
                .session
                .input_mut(i)
                .map_err(|error| format!("input {}: {error}", inputs[i]))?;
            if place.dtype != tensor.dtype || place.bytes.len() != tensor.bytes.len() {
                let (dtype, size) = (place.dtype, place.bytes.len());
                return Err(format!("input {} takes {size} bytes of {dtype}", inputs[i]));
            }
            place.bytes.copy_from_slice(&tensor.bytes);
        }
        self.session
            .run()
            .map_err(|error| format!("run: {error}"))?;
        let output = |(i, name): (usize, String)| {
            let tensor = self
                .session
                .output(i)
                .map_err(|error| format!("output {name}: {error}"))?;
            Ok((
                name,
                Tensor {
                    dtype: tensor.dtype,
                    shape: tensor.shape.to_vec(),
                    bytes: tensor.bytes.to_vec(),
                },
            ))
        };
        outputs.into_iter().enumerate().map(output).collect()
    }
}
