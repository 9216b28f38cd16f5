//! Regenerates the conformance table: `conformance-table [--only PART] [--verbose]`.

use cygnet_tests::{conformance, path};
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
    let mut arguments = std::env::args().skip(1);
    let (mut filter, mut verbose) = (String::new(), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => {
                filter = arguments
                    .next()
                    .ok_or("--only needs a part of a test's name")?
            }
            "--verbose" => verbose = true,
            other => {
                return Err(format!(
                    "unknown argument {other}; known are --only PART and --verbose"
                ));
            }
        }
    }
    let records = conformance::run(&filter)?;
    for record in &records {
        match &record.outcome {
            conformance::Outcome::Failed(reason) => println!("{} failed: {reason}", record.name),
            conformance::Outcome::Refused(reason) if verbose => {
                println!("{} refused: {reason}", record.name)
            }
            _ if verbose => println!("{} {}", record.name, record.outcome.state()),
            _ => {}
        }
    }
    let [pass, frozen, refused, failed] = conformance::totals(&records);
    println!(
        "{pass} pass, {frozen} pass with constants, {refused} refused, {failed} failed of {}",
        records.len()
    );
    if filter.is_empty() {
        let folder = path::repository().join("tests").join("conformance");
        for (name, text) in [
            ("TABLE.md", conformance::table(&records)),
            ("expected.txt", conformance::states(&records)),
        ] {
            std::fs::write(folder.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(())
}
