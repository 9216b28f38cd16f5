//! The command line in a folder, for the tests of projects.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the command line in a folder; words are parted by spaces.
pub fn cygnet(folder: &Path, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cygnet"))
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap()
}

/// What a command printed: results, and diagnostics.
pub fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Runs a command that succeeds and prints JSON.
pub fn json(folder: &Path, line: &str) -> Value {
    let output = cygnet(folder, line);
    let (out, err) = said(&output);
    assert!(output.status.success(), "{line}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{line}: {e}: {out}"))
}
