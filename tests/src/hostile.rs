//! Untrusted bytes against every reader. Shared by the property tests and the fuzz targets: each function must return,
//! in bounded time and memory, whatever the bytes are.

use crate::path;
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::{self, BundleReader, MANIFEST_VERSION, Manifest};
use cygnet_compiler::import::{self, ImportOptions};
use cygnet_format::{BlockId, Dim, Program};
use cygnet_runtime::{Bundle, Model, Options, OwnedSession, TensorId};
use std::sync::Arc;

/// Parses a program; reads every record of one that is accepted.
pub fn program(data: &[u8]) {
    let Ok(program) = Program::parse(data) else {
        return;
    };
    for i in 0..program.symbols() {
        assert!(program.symbol(i as u32).lo <= program.symbol(i as u32).hi);
    }
    for i in 0..program.exprs() {
        let _ = program.expr(i as u32).count();
        let _ = program.evaluate(i as u32, |symbol| program.symbol(symbol).hi);
    }
    for i in 0..program.states() {
        assert!(program.state(i).is_some());
    }
    for id in program
        .inputs()
        .iter()
        .chain(program.outputs().iter())
        .flatten()
    {
        let _ = program.tensor(id).dims.iter().count();
    }
    for i in 0..program.blocks() {
        let block = program.block(BlockId(i as u32));
        for step in block.first_step..block.first_step + block.steps {
            let step = program.step(step).expect("a step of a block exists");
            assert!(step.op().is_some(), "{} has no attributes", step.name);
            for id in step.inputs.iter().chain(step.outputs.iter()).flatten() {
                let _ = program.tensor(id);
            }
        }
    }
    let _ = program.metadata().count();
}

/// Opens a bundle with the runtime's reader and with that of the tools, and takes every entry.
pub fn bundle(data: &[u8]) {
    if let Ok(bundle) = Bundle::parse(data) {
        let names: usize = bundle.entries().map(|entry| entry.name.len()).sum();
        assert!(names <= data.len());
        let _ = bundle.program().map(program);
        let _ = bundle.golden(0);
    }
    if let Ok(mut bundle) = BundleReader::from_bytes(data.to_vec()) {
        let names: Vec<String> = bundle
            .manifest
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        for name in names.iter().take(64) {
            let _ = bundle.entry(name);
        }
    }
}

/// Runs a program that parses, with zeros for inputs of the smallest shapes.
pub fn session(data: &[u8]) {
    let Ok(model) = Model::from_bytes(data) else {
        return;
    };
    let program = model.program();
    // Time is bounded by memory: a session within a megabyte takes no step of more than some million operations.
    if program.arena_bytes() > 1 << 20 {
        return;
    }
    let shapes: Vec<Vec<usize>> = program
        .inputs()
        .iter()
        .flatten()
        .map(|id| smallest(&program, id))
        .collect();
    let Ok(mut session) = OwnedSession::new(Arc::new(model), Options::default().step_limit(2_000))
    else {
        return;
    };
    for (i, shape) in shapes.iter().enumerate() {
        let _ = session.set_input_shape(i, shape);
    }
    for _ in 0..2 {
        if session.run().is_err() {
            return;
        }
    }
    for i in 0..session.program().outputs().len() {
        let _ = session
            .output(i)
            .map(|tensor| tensor.bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
    }
}

/// The shape of a tensor when every symbol has its smallest value.
fn smallest(program: &Program<'_>, id: TensorId) -> Vec<usize> {
    let low = |symbol: u32| program.symbol(symbol).lo;
    let extent = |dim: Dim| match dim.as_expr() {
        Some(expr) => program.evaluate(expr, low).unwrap_or(0),
        None => dim.0.into(),
    };
    program
        .tensor(id)
        .dims
        .iter()
        .map(|dim| usize::try_from(extent(dim)).unwrap_or(0))
        .collect()
}

/// Imports a model.
pub fn onnx(data: &[u8]) {
    let _ = import::onnx(data, &ImportOptions::default());
}

/// Imports a TFLite model; the graph of one that is accepted is well-formed.
pub fn tflite(data: &[u8]) {
    if let Ok(graph) = import::tflite(data, &ImportOptions::default()) {
        cygnet_compiler::ir::verify(&graph).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A fuzz target: its name, and what it calls.
pub type Target = (&'static str, fn(&[u8]));

/// The kinds of bytes that are read, by the name of their fuzz target, and what reads them.
pub const TARGETS: [Target; 5] = [
    ("onnx_import", onnx),
    ("tflite_import", tflite),
    ("program_parse", program),
    ("bundle_open", bundle),
    ("session_run", session),
];

/// Targets whose seeds are committed as models, not compiled from those of `onnx_import`.
pub const IMPORTS: [&str; 2] = ["onnx_import", "tflite_import"];

/// Valid files of a kind: the committed models, or what those of ONNX compile to.
///
/// # Errors
/// When the committed models are gone, or one no longer compiles.
pub fn seeds(target: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let folder = path::repository()
        .join("tests")
        .join("fuzz")
        .join("seeds")
        .join(if IMPORTS.contains(&target) {
            target
        } else {
            "onnx_import"
        });
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    files.sort();
    let seed = |file: &std::path::PathBuf| {
        let name = file
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let model = path::read(file)?;
        if IMPORTS.contains(&target) {
            return Ok((name, model));
        }
        let mut options = CompileOptions::default();
        options.import.dims.push(("width".into(), 1, 16));
        let compiled = cygnet_compiler::compile(&model, &options)
            .map_err(|error| format!("{name}: {error}"))?;
        if target != "bundle_open" {
            return Ok((name, compiled.program.bytes));
        }
        let mut manifest = Manifest {
            manifest_version: MANIFEST_VERSION,
            name: name.clone(),
            ..Manifest::default()
        };
        manifest.describe(&compiled.graph);
        let entries = [("program.cyg".to_string(), compiled.program.bytes)];
        Ok((
            name,
            bundle::to_bytes(manifest, &entries).map_err(|error| error.to_string())?,
        ))
    };
    files.iter().map(seed).collect()
}
