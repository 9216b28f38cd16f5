//! `cygnet package`.

use crate::args::{Language, Package, PackageTarget};
use crate::failure::usage;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{BundleReader, sha256_hex, write_atomically};
use cygnet_compiler::firmware::{self, Names};
use cygnet_format::Program;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The runtime's sources: path in the package, text.
const RUNTIME: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/runtime.rs"));

#[derive(Serialize)]
struct Report {
    name: String,
    output: PathBuf,
    language: &'static str,
    steps: usize,
    arena_bytes: u64,
    state_bytes: u64,
    weight_bytes: u64,
}

/// Writes a package.
pub fn package(args: &Package) -> Result<()> {
    let PackageTarget::Firmware = args.target;
    let Language::Rust = args.lang;
    let shown = args.bundle.display();
    let mut reader =
        BundleReader::open(&args.bundle).with_context(|| format!("cannot open {shown}"))?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => firmware::identifier(&reader.manifest.name),
    };
    if !is_name(&name) {
        return Err(usage(format!(
            "`{name}` cannot be the name of a package: a letter, then letters, digits and underscores"
        )));
    }
    let bytes = reader
        .entry("program.cyg")
        .with_context(|| format!("cannot use {shown}"))?;
    let program = Program::parse(&bytes)
        .map_err(|e| anyhow::anyhow!("{shown}: the program is not valid: {e}"))?;
    let source = firmware::source(&program)
        .map_err(|problems| anyhow::anyhow!("{shown} cannot become source:\n  {problems}"))?;
    let labels: Vec<String> = reader
        .text("labels.txt")?
        .map(|t| t.lines().map(String::from).collect())
        .unwrap_or_default();
    let mut golden = Vec::new();
    while reader
        .manifest
        .entries
        .iter()
        .any(|e| e.name == format!("golden/{}.cygt", golden.len()))
    {
        golden.push(reader.entry(&format!("golden/{}.cygt", golden.len()))?);
    }
    let mut files = firmware::crate_files(
        &source,
        &Names {
            package: &name,
            compiler: &format!("cygnet {}", env!("CARGO_PKG_VERSION")),
            bundle: &args
                .bundle
                .file_name()
                .unwrap_or_default()
                .to_string_lossy(),
            program_sha256: &sha256_hex(&bytes),
            labels: &labels,
            golden: &golden,
        },
    );
    for (path, text) in RUNTIME {
        files.insert((*path).into(), text.as_bytes().to_vec());
    }
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from(&name));
    write(&folder, &files)?;
    let report = Report {
        steps: source.steps.len(),
        arena_bytes: source.arena_bytes,
        state_bytes: source.state_bytes,
        weight_bytes: source.weights.len() as u64,
        output: folder,
        language: "rust",
        name,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&format!(
            "{}: a Rust crate of {} steps\n  RAM    arena    {}\n  flash  weights  {}\nadd it with: cargo add {} --path {}\n",
            report.output.display(),
            report.steps,
            sizes::show(report.arena_bytes),
            sizes::show(report.weight_bytes),
            report.name,
            report.output.display(),
        ))?;
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Writes the files below a folder that is new, empty, or was written by an earlier run; what is no longer part of the
/// package goes.
fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    const MARK: &str = ".cygnet-package";
    let mark = folder.join(MARK);
    let exists = folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    if exists && !mark.exists() {
        bail!(
            "{} is not empty and no package of an earlier run; choose another folder with -o",
            folder.display()
        );
    }
    let list: String = files.keys().map(|name| format!("{name}\n")).collect();
    if let Ok(earlier) = std::fs::read_to_string(&mark) {
        for name in earlier.lines().filter(|n| !files.contains_key(*n)) {
            // A list that was tampered with may name anything.
            let inside = Path::new(name)
                .components()
                .all(|c| matches!(c, std::path::Component::Normal(_)));
            if inside {
                _ = std::fs::remove_file(folder.join(name));
            }
        }
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        // Untouched files do not build again.
        if std::fs::read(&path).is_ok_and(|old| old == *bytes) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        write_atomically(&path, bytes)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    write_atomically(&mark, list.as_bytes())
        .with_context(|| format!("cannot write {}", mark.display()))
}
