//! The reference where there is no oracle: the imported graph, unoptimised, on plain code.
//!
//! It shares the importer with the bundle, so it shows what passes and kernels change, not what the importer gets wrong.

use super::{Runner, RunnerError, RunnerOptions, to_array};
use crate::bundle::Array;
use crate::import::{self, DimSpec, ImportOptions, InputSpec};
use crate::passes::Level;
use crate::{CompileError, CompileOptions, compile_graph};
use std::collections::HashMap;

/// What reports call the reference.
pub const REFERENCE_NAME: &str = "the unoptimised graph on plain code";

/// Why the reference cannot answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The model does not compile without passes.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The program does not run.
    #[error(transparent)]
    Run(#[from] RunnerError),
    /// An input that the model needs was not given.
    #[error("input `{0}` is missing")]
    MissingInput(String),
}

/// The tensors of a model that carry names, computed from these inputs. States begin as they do after a reset.
///
/// # Errors
/// When the model does not compile for the shapes of the inputs, or one is missing.
pub fn reference(
    model: &[u8],
    inputs: &[(String, Array)],
) -> Result<HashMap<String, Array>, ReferenceError> {
    let mut import = ImportOptions::default();
    for (name, array) in inputs {
        let shape = array.shape.iter().map(|&d| DimSpec::Fixed(d as i64));
        import.inputs.push(InputSpec {
            name: name.clone(),
            shape: Some(shape.collect()),
            dtype: None,
        });
    }
    let graph = import::model(model, &import).map_err(CompileError::from)?;
    let ports = graph.inputs.clone();
    let outputs: Vec<String> = graph.outputs.iter().map(|p| p.name.clone()).collect();
    let options = CompileOptions {
        import,
        level: Level::None,
        ..Default::default()
    };
    let compiled = compile_graph(graph, &options)?;
    let plain = RunnerOptions {
        scalar: true,
        ..Default::default()
    };
    let mut runner = Runner::from_bytes(&compiled.program.bytes, &plain)?;
    let arrays = ports
        .iter()
        .map(|p| {
            let found = inputs.iter().find(|(name, _)| *name == p.name);
            found
                .map(|(_, array)| array)
                .ok_or_else(|| ReferenceError::MissingInput(p.name.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    runner.set_inputs(&arrays)?;
    runner.reset();
    let mut answers = HashMap::new();
    let origins = &compiled.program.origins;
    runner.run_observed(&mut |step| {
        for (id, tensor) in step.outputs {
            if let Some(Some(origin)) = origins.get(*id as usize) {
                let array = to_array(tensor).unpermute(&origin.perm);
                answers.insert(origin.name.clone(), array);
            }
        }
    })?;
    for (i, name) in outputs.into_iter().enumerate() {
        answers.insert(name, runner.output(i)?);
    }
    Ok(answers)
}
