//! A metric of the user's own: a command that reads a bundle and prints a number.

use anyhow::{Context, Result, bail};
use cygnet_compiler::Compiled;
use cygnet_compiler::quantize::mixed::{Metric, MetricError};
use std::path::Path;
use std::process::Command;

/// What stands for the bundle's path in a command.
const PLACE: &str = "{}";

/// Makes a bundle of a program.
type Bundle<'a> = Box<dyn Fn(&Compiled) -> Result<Vec<u8>> + 'a>;

/// A command that judges bundles.
pub struct Outside<'a> {
    words: Vec<String>,
    cases: usize,
    bundle: Bundle<'a>,
}

impl<'a> Outside<'a> {
    /// A command, in which `{}` stands for the path of a bundle; `bundle` makes bundles of programs.
    pub fn new(
        command: &str,
        bundle: impl Fn(&Compiled) -> Result<Vec<u8>> + 'a,
    ) -> Result<Outside<'a>> {
        let words = shlex::split(command)
            .filter(|w| !w.is_empty())
            .with_context(|| format!("--metric-command {command}: a quotation has no end"))?;
        Ok(Outside {
            words,
            // How many cases a command counts is not known: enough.
            cases: usize::MAX,
            bundle: Box::new(bundle),
        })
    }

    fn judge(&self, compiled: &Compiled) -> Result<f64> {
        let folder = tempfile::tempdir().context("there is no place for a temporary bundle")?;
        let path = folder.path().join("candidate.cygnet");
        std::fs::write(&path, (self.bundle)(compiled)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let shown = self.words.join(" ");
        let output = self
            .command(&path)
            .output()
            .with_context(|| format!("cannot start `{shown}`"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            bail!("`{shown}` failed ({}): {}", output.status, errors.trim());
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().rev().map(str::trim).find(|l| !l.is_empty());
        let number = last.and_then(|l| l.trim_end_matches('%').trim().parse().ok());
        number.with_context(|| {
            format!(
                "`{shown}` has to print a number in its last line, more being better; it printed `{}`",
                last.unwrap_or("")
            )
        })
    }

    fn command(&self, bundle: &Path) -> Command {
        let path = bundle.display().to_string();
        let named = self.words.iter().any(|w| w.contains(PLACE));
        let words = self.words.iter().map(|w| w.replace(PLACE, &path));
        let mut words = words.chain((!named).then(|| path.clone()));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}

impl Metric for Outside<'_> {
    fn name(&self) -> String {
        format!("what `{}` prints", self.words.join(" "))
    }

    fn cases(&self) -> usize {
        self.cases
    }

    fn score(&mut self, compiled: &Compiled) -> Result<f64, MetricError> {
        self.judge(compiled).map_err(|e| format!("{e:#}").into())
    }
}
