//! The runtime behind plain arrays: for golden examples, `verify`, and the command line.

use crate::bundle::Array;
use cygnet_runtime::format::program::{Place, Program};
use cygnet_runtime::format::{BlockId, DType};
use cygnet_runtime::{Features, Model, OpenError, Options, OwnedSession, RunError, SelfTestError};
use std::path::Path;
use std::sync::Arc;

/// Why a program cannot be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The file or its bytes.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The session refused.
    #[error("{0}")]
    Session(RunError),
    /// A step failed.
    #[error("{operator} {node}: {error}")]
    Step {
        /// The operator.
        operator: &'static str,
        /// The model's node.
        node: String,
        /// What the engine says.
        error: RunError,
    },
    /// An array does not fit its input.
    #[error("input {index} takes {expected}, not {given}")]
    Type {
        /// Position among the inputs.
        index: usize,
        /// The program's type.
        expected: DType,
        /// The array's type.
        given: DType,
    },
    /// The golden examples do not come out.
    #[error("self-test: {0}")]
    SelfTest(SelfTestError),
}

/// Choices of a [`Runner`].
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// Threads, at least 1.
    pub threads: usize,
    /// Plain code only.
    pub scalar: bool,
    /// The best instruction set that may be used, by name; all when absent.
    pub isa: Option<String>,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        RunnerOptions {
            threads: 1,
            scalar: false,
            isa: None,
        }
    }
}

impl RunnerOptions {
    fn session(&self) -> Options {
        let features = match &self.isa {
            _ if self.scalar => Features::NONE,
            Some(name) => Features::from_name(name).unwrap_or(Features::NONE),
            None => Features::ALL,
        };
        Options::default()
            .threads(self.threads.max(1))
            .features(features)
    }
}

/// One step of an observed run.
pub struct Observed<'a> {
    /// The program that runs.
    pub program: &'a Program<'a>,
    /// Index in the program's step table.
    pub step: u32,
    /// Operator.
    pub operator: &'static str,
    /// The model's node.
    pub node: &'a str,
    /// Time of the step.
    pub nanos: u64,
    /// The results: index in the tensor table, and the view.
    pub outputs: &'a [(u32, cygnet_runtime::Tensor<'a>)],
}

/// A program with its own session.
pub struct Runner {
    session: OwnedSession,
    model: Arc<Model>,
    options: RunnerOptions,
}

/// A tensor of the engine as an array.
pub fn to_array(tensor: &cygnet_runtime::Tensor<'_>) -> Array {
    Array {
        dtype: tensor.dtype,
        shape: tensor.shape.to_vec(),
        data: tensor.bytes.to_vec(),
    }
}

impl Runner {
    /// Maps a bundle (or a bare program) from a file.
    ///
    /// # Errors
    /// When the file is not valid or there is not enough memory.
    pub fn open(path: &Path, options: &RunnerOptions) -> Result<Runner, RunnerError> {
        Runner::new(Model::open(path)?, options)
    }

    /// Loads a program (or a bundle) from memory.
    ///
    /// # Errors
    /// As [`Runner::open`].
    pub fn from_bytes(bytes: &[u8], options: &RunnerOptions) -> Result<Runner, RunnerError> {
        Runner::new(Model::from_bytes(bytes)?, options)
    }

    fn new(model: Model, options: &RunnerOptions) -> Result<Runner, RunnerError> {
        let model = Arc::new(model);
        let session =
            OwnedSession::new(model.clone(), options.session()).map_err(RunnerError::Session)?;
        Ok(Runner {
            session,
            model,
            options: options.clone(),
        })
    }

    /// The names that [`RunnerOptions::isa`] takes on this machine.
    pub fn isa_names() -> Vec<&'static str> {
        let here = Features::available();
        Features::NAMES
            .iter()
            .copied()
            .filter(|n| Features::from_name(n).is_some_and(|f| here.contains(f)))
            .collect()
    }

    /// The program.
    pub fn program(&self) -> Program<'_> {
        self.model.program()
    }

    /// The instruction sets in use.
    pub fn features(&self) -> Features {
        self.options.session().features & Features::available()
    }

    /// The float instruction set in use.
    pub fn isa(&self) -> &'static str {
        self.session.isa()
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> u64 {
        self.program().arena_bytes()
    }

    /// Sets an input's shape and elements.
    ///
    /// # Errors
    /// When type or shape do not fit.
    pub fn set_input(&mut self, index: usize, array: &Array) -> Result<(), RunnerError> {
        self.session
            .set_input_shape(index, &array.shape)
            .map_err(RunnerError::Session)?;
        let input = self
            .session
            .input_mut(index)
            .map_err(RunnerError::Session)?;
        if input.dtype != array.dtype || input.bytes.len() != array.data.len() {
            return Err(RunnerError::Type {
                index,
                expected: input.dtype,
                given: array.dtype,
            });
        }
        input.bytes.copy_from_slice(&array.data);
        Ok(())
    }

    /// Sets all inputs: shapes first, as they bind dimensions of one another.
    ///
    /// # Errors
    /// As [`Runner::set_input`].
    pub fn set_inputs(&mut self, arrays: &[&Array]) -> Result<(), RunnerError> {
        for (i, a) in arrays.iter().enumerate() {
            self.session
                .set_input_shape(i, &a.shape)
                .map_err(RunnerError::Session)?;
        }
        for (i, a) in arrays.iter().enumerate() {
            self.set_input(i, a)?;
        }
        Ok(())
    }

    /// States start over.
    pub fn reset(&mut self) {
        self.session.reset_state();
    }

    fn named(&self, error: RunError) -> RunnerError {
        match self.program().step(error.step) {
            Some(step) => RunnerError::Step {
                operator: step.code.name(),
                node: step.name.to_owned(),
                error,
            },
            None => RunnerError::Session(error),
        }
    }

    /// Runs once.
    ///
    /// # Errors
    /// When a step fails on these data.
    pub fn run(&mut self) -> Result<(), RunnerError> {
        self.session.run().map_err(|e| self.named(e))
    }

    /// Runs once and shows every step's results as it ends.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_observed(
        &mut self,
        observe: &mut dyn FnMut(&Observed<'_>),
    ) -> Result<(), RunnerError> {
        let model = self.model.clone();
        let program = model.program();
        let result = self.session.run_observed(&mut |report, tensors| {
            let ids: Vec<u32> = program
                .step(report.index)
                .map(|s| s.outputs.iter().flatten().map(|t| t.0).collect())
                .unwrap_or_default();
            let outputs: Vec<_> = ids.into_iter().zip(tensors.iter().copied()).collect();
            observe(&Observed {
                program: &program,
                step: report.index,
                operator: report.code.name(),
                node: report.name,
                nanos: report.nanos,
                outputs: &outputs,
            });
        });
        result.map_err(|e| self.named(e))
    }

    /// An output of the last run.
    ///
    /// # Errors
    /// When there is no such output.
    pub fn output(&self, index: usize) -> Result<Array, RunnerError> {
        let tensor = self.session.output(index).map_err(RunnerError::Session)?;
        Ok(to_array(&tensor))
    }

    /// Runs the bundle's golden examples in a session of its own; gives their number.
    ///
    /// # Errors
    /// At the first that does not come out.
    pub fn self_test(&self) -> Result<u32, RunnerError> {
        self.model
            .self_test(self.options.session())
            .map_err(RunnerError::SelfTest)
    }

    /// Constants of the program by index in the tensor table: shape and bytes.
    pub fn constant(&self, tensor: u32) -> Option<Array> {
        let program = self.program();
        if tensor as usize >= program.tensors() {
            return None;
        }
        let info = program.tensor(cygnet_runtime::TensorId(tensor));
        let Place::Const(offset) = info.place else {
            return None;
        };
        let shape: Option<Vec<usize>> = info.dims.iter().map(|d| d.as_const()).collect();
        let from = usize::try_from(offset).ok()?;
        let to = from.checked_add(usize::try_from(info.bytes_bound).ok()?)?;
        Array::new(
            info.dtype,
            shape?,
            program.constants().get(from..to)?.to_vec(),
        )
    }

    /// Steps of the main block.
    pub fn main_steps(&self) -> u32 {
        self.program().block(BlockId(0)).steps
    }
}
