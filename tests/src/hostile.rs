//! Untrusted bytes against every reader. Shared by the property tests and the fuzz targets: each function must return,
//! in bounded time and memory, whatever the bytes are.

use cygnet_compiler::bundle::BundleReader;
use cygnet_compiler::import::{self, ImportOptions};
use cygnet_format::{BlockId, Program};

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

/// Opens a bundle with the tools' reader and takes every entry.
pub fn bundle(data: &[u8]) {
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

/// Imports a model.
pub fn onnx(data: &[u8]) {
    let _ = import::onnx(data, &ImportOptions::default());
}
