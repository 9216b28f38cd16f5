//! Writes the seeds that are compiled from the committed ONNX models: `fuzz-seeds`.

use cygnet_tests::{hostile, path};
use std::process::ExitCode;

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    for (target, _) in hostile::TARGETS
        .into_iter()
        .filter(|(target, _)| !hostile::IMPORTS.contains(target))
    {
        let folder = path::repository()
            .join("tests")
            .join("fuzz")
            .join("seeds")
            .join(target);
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        let seeds = hostile::seeds(target)?;
        for (name, bytes) in &seeds {
            let file = folder.join(name);
            std::fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        println!("{} seeds in {}", seeds.len(), folder.display());
    }
    Ok(())
}
