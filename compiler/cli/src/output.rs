//! Where results and notes go: results to stdout, the rest to stderr.

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Says what does not end the command.
pub fn note(text: &str) {
    eprintln!("note: {text}");
}

/// A spinner on stderr; silent unless stderr is a terminal.
pub fn spinner(quiet: bool, text: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if quiet || !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    } else {
        bar.enable_steady_tick(Duration::from_millis(100));
    }
    bar.set_message(text.to_owned());
    bar
}

/// A bar with a known end on stderr; silent unless stderr is a terminal.
pub fn bar(quiet: bool, length: u64, text: &str) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if quiet || !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {eta}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(text.to_owned());
    bar
}

/// Writes JSON to a file, whole or not at all, or to stdout for `-`.
pub fn json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    if path == Path::new("-") {
        return print(&text);
    }
    cygnet_compiler::bundle::write_atomically(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Prints to stdout; a reader that went away is not an error.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// True when results for people should stay away from stdout because machines read it.
pub fn machine_only(path: Option<&Path>) -> bool {
    path == Some(Path::new("-"))
}
