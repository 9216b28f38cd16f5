//! The whole way from a model file to a program.

use crate::emit::{self, EmitError, EmitOptions, Emitted};
use crate::import::{self, ImportError, ImportOptions};
use crate::ir::Graph;
use crate::passes::{self, Level, Report};

/// Choices of a compilation.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CompileOptions {
    /// Shapes, bounds, constants and states of the import.
    pub import: ImportOptions,
    /// How much is optimised.
    pub level: Level,
    /// What the program carries besides what runs.
    pub emit: EmitOptions,
    /// Nodes that quantisation leaves float, by name; `NAME*` means all names that begin so.
    pub keep_float: Vec<String>,
}

/// A compiled model.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compiled {
    /// The graph as emitted.
    pub graph: Graph,
    /// The program and its sizes.
    pub program: Emitted,
    /// What the passes did.
    pub report: Report,
}

/// Why a model does not compile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The model cannot be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The graph cannot become a program.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// A pass left a malformed graph: a defect of the compiler.
    #[error(
        "internal: after the passes the graph is malformed: {0}; please report this with the model"
    )]
    Malformed(String),
}

/// Compiles an ONNX or TFLite model.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(model: &[u8], options: &CompileOptions) -> Result<Compiled, CompileError> {
    compile_graph(import::model(model, &options.import)?, options)
}

/// Compiles an imported graph.
///
/// # Errors
/// See [`CompileError`].
pub fn compile_graph(mut graph: Graph, options: &CompileOptions) -> Result<Compiled, CompileError> {
    crate::ir::verify(&graph).map_err(CompileError::Malformed)?;
    let report = passes::run(&mut graph, options.level);
    crate::ir::verify(&graph).map_err(CompileError::Malformed)?;
    let program = emit::program(&graph, &options.emit)?;
    Ok(Compiled {
        graph,
        program,
        report,
    })
}
