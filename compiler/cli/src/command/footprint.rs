//! What a model takes of a chip: builds its static library and reads it.

use crate::args::Target;
use crate::command::package;
use crate::resources::{self, Resources};
use crate::sizes;
use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::bundle::write_atomically;
use cygnet_compiler::firmware::{self, CPUS, Cpu, Names, Source};
use cygnet_format::Program;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How many functions the text names.
const SHOWN: usize = 6;

/// A processor, and what the model takes of it.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    /// The processor.
    pub cpu: &'static str,
    /// Rust's target.
    pub target: &'static str,
    /// What was measured.
    #[serde(flatten)]
    pub of: Resources,
}

impl Footprint {
    /// Reads a static library; `None` of a processor of this machine's kind, whose memory is no budget.
    pub fn read(library: &Path, source: &Source, name: &str, cpu: &Cpu) -> Result<Option<Self>> {
        if cpu.target.is_empty() {
            return Ok(None);
        }
        let archive =
            std::fs::read(library).with_context(|| format!("cannot read {}", library.display()))?;
        let functions = firmware::entry_points(source, name);
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        let of = resources::measure(&archive, &functions, functions[0]).with_context(|| {
            format!(
                "{} is not as expected: its resources cannot be told",
                library.display()
            )
        })?;
        Ok(Some(Footprint {
            cpu: cpu.name,
            target: cpu.target,
            of,
        }))
    }

    /// Lines for people.
    pub fn describe(&self) -> String {
        let of = &self.of;
        let mut out = format!(
            "{} ({}): RAM {}, flash {}\n  RAM    arena {} + stack {} at most\n  flash  code {} + weights {} + tables {}\n",
            self.cpu,
            self.target,
            sizes::show(of.ram_bytes),
            sizes::show(of.flash_bytes),
            of.static_bytes,
            of.stack_bytes,
            of.code_bytes,
            of.weight_bytes,
            of.table_bytes,
        );
        // Writing to a string cannot fail.
        let path: Vec<String> = of
            .stack_path
            .iter()
            .map(|f| format!("{} {}", short(&f.name), f.bytes))
            .collect();
        let _ = writeln!(out, "  stack  {}", path.join(" > "));
        let mut functions: Vec<String> = of
            .functions
            .iter()
            .take(SHOWN)
            .map(|f| format!("{} {}", short(&f.name), f.bytes))
            .collect();
        let rest = of
            .functions
            .iter()
            .skip(SHOWN)
            .map(|f| f.bytes)
            .sum::<u64>();
        if rest > 0 {
            functions.push(format!("{} others {rest}", of.functions.len() - SHOWN));
        }
        let _ = writeln!(out, "  code   {}", functions.join(", "));
        out
    }
}

/// The end of a path that says enough.
fn short(name: &str) -> &str {
    let parts: Vec<usize> = name.match_indices("::").map(|(at, _)| at + 2).collect();
    match parts.len() {
        0 | 1 => name,
        n => &name[parts[n - 2]..],
    }
}

/// Builds the crate of a static library for a processor; the library's path. `tuned` code runs best on this processor, and
/// perhaps on no other of the target.
pub fn build(crate_folder: &Path, name: &str, cpu: &Cpu, tuned: bool) -> Result<PathBuf> {
    let target_folder = crate_folder.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(crate_folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder)
        .stdin(Stdio::null());
    let mut out = target_folder;
    if !cpu.target.is_empty() {
        command.args(["--target", cpu.target]);
        if tuned {
            command.env("RUSTFLAGS", format!("-Ctarget-cpu={}", cpu.tuning));
        }
        out.push(cpu.target);
    }
    let done = command
        .output()
        .with_context(|| format!("cannot start {}: a static library is built by cargo, which rustup installs (https://rustup.rs)", cargo.display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        if said.contains("can't find crate for `core`") || said.contains("may not be installed") {
            bail!(
                "Rust's libraries for {} are not installed; run: rustup target add {}",
                cpu.name,
                cpu.target
            );
        }
        bail!(
            "cargo cannot build the library for {}:\n{}",
            cpu.name,
            said.trim_end()
        );
    }
    Ok(out.join(format!("release/lib{name}_c.a")))
}

/// What a crate in `folder` takes of a processor, built as an application builds it. What is built stays in the crate's
/// folder for build products.
pub fn of_crate(
    folder: &Path,
    source: &Source,
    names: &Names<'_>,
    cpu: &Cpu,
) -> Result<Option<Footprint>> {
    let crate_folder = folder.join("target/resources");
    for (path, text) in firmware::static_library(source, names, "../..") {
        let path = crate_folder.join(path);
        if std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        write_atomically(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let library = build(&crate_folder, names.package, cpu, false)?;
    Footprint::read(&library, source, names.package, cpu)
}

/// The processor that stands for a target of `compile`.
fn processor(target: Target) -> Option<&'static str> {
    Some(match target {
        Target::Host | Target::Android | Target::Ios | Target::Wasm => return None,
        Target::CortexM0 => "cortex-m0",
        Target::CortexM4 => "cortex-m4f",
        Target::CortexM7 => "cortex-m7",
        Target::CortexM33 => "cortex-m33",
        Target::Riscv => "riscv32imc",
    })
}

/// What the package of a program would take of a target.
pub fn of_program(
    model: &Path,
    target: Target,
    program: &Program<'_>,
) -> Result<Option<Footprint>> {
    let cpu = processor(target);
    let Some(cpu) = CPUS.iter().find(|c| Some(c.name) == cpu) else {
        return Ok(None);
    };
    let shown = model.display();
    let source = firmware::source(program).map_err(|problems| {
        anyhow!("--resources tells of packages; {shown} cannot become one:\n  {problems}")
    })?;
    package::resources(&source, cpu)
        .with_context(|| format!("cannot tell the resources of {shown}"))
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn paths_are_shortened() {
        assert_eq!(short("cygnet_kernels::quantized::dsp::dense"), "dsp::dense");
        assert_eq!(short("model::Model::run"), "Model::run");
        assert_eq!(short("core::fmt"), "core::fmt");
        assert_eq!(short("memcpy"), "memcpy");
    }
}
