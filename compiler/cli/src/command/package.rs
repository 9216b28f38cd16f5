//! `cygnet package`.

use crate::args::{Language, Package, PackageTarget};
use crate::failure::usage;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{BundleReader, sha256_hex, write_atomically};
use cygnet_compiler::firmware::{self, CPUS, Cpu, Names};
use cygnet_format::Program;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    libraries: Vec<PathBuf>,
}

/// Writes a package.
pub fn package(args: &Package, quiet: bool) -> Result<()> {
    let PackageTarget::Firmware = args.target;
    if args.lang == Language::Rust && !args.cpu.is_empty() {
        return Err(usage(
            "--cpu is for --lang c: a crate is compiled for whatever its application is",
        ));
    }
    if args.interpreter && args.lang == Language::C {
        return Err(usage(
            "--interpreter is a Rust crate; in C the interpreter is libcygnet (bindings/c), which wants an operating system",
        ));
    }
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
    let names = Names {
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
    };
    if args.interpreter {
        return interpreter(args, &program, &bytes, &names);
    }
    let source = firmware::source(&program)
        .map_err(|problems| anyhow::anyhow!("{shown} cannot become source:\n  {problems}"))?;
    let mut files = firmware::crate_files(&source, &names);
    add_runtime(&mut files, &["cygnet-format/", "cygnet-kernels/"]);
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from(&name));
    let cpus = cpus(args);
    if args.lang == Language::C {
        let rust = std::mem::take(&mut files);
        files.extend(
            rust.into_iter()
                .map(|(path, bytes)| (format!("rust/{path}"), bytes)),
        );
        files.extend(firmware::c_files(&source, &names, &cpus));
    }
    // What was built stays part of the package.
    let built: Vec<String> = cpus.iter().map(|c| library_path(&name, c)).collect();
    write(&folder, &files, &built)?;
    let mut libraries = Vec::new();
    for cpu in &cpus {
        let spinner = output::spinner(quiet, &format!("building the library for {}", cpu.name));
        libraries.push(build(&folder, &name, cpu)?);
        spinner.finish_and_clear();
    }
    let report = Report {
        steps: source.steps.len(),
        arena_bytes: source.arena_bytes,
        state_bytes: source.state_bytes,
        weight_bytes: source.weights.len() as u64,
        output: folder,
        language: if args.lang == Language::C {
            "c"
        } else {
            "rust"
        },
        libraries,
        name,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&describe(&report))?;
    }
    Ok(())
}

/// Adds the sources of crates of the runtime.
fn add_runtime(files: &mut BTreeMap<String, Vec<u8>>, crates: &[&str]) {
    for (path, text) in RUNTIME {
        if crates.iter().any(|c| path.starts_with(c)) {
            files.insert((*path).into(), text.as_bytes().to_vec());
        }
    }
}

/// Writes the interpreter with the program.
fn interpreter(
    args: &Package,
    program: &Program<'_>,
    bytes: &[u8],
    names: &Names<'_>,
) -> Result<()> {
    let bundle = std::fs::read(&args.bundle)?;
    let mut files = firmware::interpreted_files(program, bytes, &bundle, names);
    add_runtime(
        &mut files,
        &["cygnet-format/", "cygnet-kernels/", "cygnet-runtime/"],
    );
    let folder = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(names.package));
    write(&folder, &files, &[])?;
    let report = Report {
        steps: program.steps(),
        arena_bytes: program.arena_bytes(),
        state_bytes: program.state_bytes(),
        weight_bytes: program.constants().len() as u64,
        output: folder,
        language: "rust",
        libraries: Vec::new(),
        name: names.package.to_owned(),
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&describe(&report))?;
    }
    Ok(())
}

fn describe(report: &Report) -> String {
    let folder = report.output.display();
    let mut out = format!(
        "{folder}: {} of {} steps\n  RAM    arena    {}\n  flash  weights  {}\n",
        if report.language == "c" {
            "a C library"
        } else {
            "a Rust crate"
        },
        report.steps,
        sizes::show(report.arena_bytes),
        sizes::show(report.weight_bytes),
    );
    for library in &report.libraries {
        out += &format!("  {}\n", library.display());
    }
    out += &match report.language {
        "c" => format!(
            "link it with CMake: add_subdirectory({folder}), target_link_libraries(... {})\n",
            report.name
        ),
        _ => format!("add it with: cargo add {} --path {folder}\n", report.name),
    };
    out
}

/// The processors of static libraries.
fn cpus(args: &Package) -> Vec<Cpu> {
    if args.lang == Language::Rust {
        return Vec::new();
    }
    let default = ["cortex-m4f".to_owned()];
    let wanted: &[String] = if args.cpu.is_empty() {
        &default
    } else {
        &args.cpu
    };
    CPUS.iter()
        .filter(|c| wanted.iter().any(|w| w == c.name))
        .copied()
        .collect()
}

/// Where a static library lies in the package.
fn library_path(name: &str, cpu: &Cpu) -> String {
    format!("src/{}/lib{name}.a", cpu.folder)
}

/// Builds the static library of a package for a processor; its path.
fn build(folder: &Path, name: &str, cpu: &Cpu) -> Result<PathBuf> {
    let crate_folder = folder.join("rust/c");
    let target_folder = crate_folder.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(crate_folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_folder)
        .stdin(Stdio::null());
    let mut out = target_folder.clone();
    if !cpu.target.is_empty() {
        command.args(["--target", cpu.target]);
        command.env("RUSTFLAGS", format!("-Ctarget-cpu={}", cpu.tuning));
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
    let built = out.join(format!("release/lib{name}_c.a"));
    let path = folder.join(library_path(name, cpu));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::copy(&built, &path)
        .with_context(|| format!("cannot copy {} to {}", built.display(), path.display()))?;
    Ok(path)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Writes the files below a folder that is new, empty, or was written by an earlier run; what is no longer part of the
/// package goes.
fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>, built: &[String]) -> Result<()> {
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
    let list: String = files
        .keys()
        .chain(built)
        .map(|name| format!("{name}\n"))
        .collect();
    if let Ok(earlier) = std::fs::read_to_string(&mark) {
        let kept = |n: &str| files.contains_key(n) || built.iter().any(|b| b == n);
        for name in earlier.lines().filter(|n| !kept(n)) {
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
