//! The command line and its data, for the tests that call it.

use std::path::Path;
use std::process::{Command, Output};

/// Where the embedded model and its pictures are.
pub const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");

/// Runs the command line.
pub fn cygnet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cygnet"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

/// What a command printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path of a file in a folder.
pub fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}
