//! `cygnet package`.

use crate::args::{Language, Package, PackageTarget};
use crate::command::budget::Budgets;
use crate::command::footprint::{self, Footprint};
use crate::failure::{BudgetMissed, usage};
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{BundleReader, MemoryMap, memory_map, sha256_hex, write_atomically};
use cygnet_compiler::firmware::{self, CHeader, CPUS, Cpu, Names};
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    libraries: Vec<PathBuf>,
    /// What the model takes of each processor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Footprint>,
}

/// Writes a package.
pub fn package(args: &Package, quiet: bool) -> Result<()> {
    let PackageTarget::Firmware = args.target;
    if args.interpreter && !args.cpu.is_empty() {
        return Err(usage(
            "--cpu tells what generated code takes: leave out --cpu or --interpreter, whose size shows when it is linked",
        ));
    }
    if args.interpreter && args.lang == Language::C {
        return Err(usage(
            "--interpreter is a Rust crate; in C the interpreter is libcygnet (bindings/c), which without its feature `std` needs no operating system",
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
    let map = memory_map(&program);
    let budgets = budgets(args, &program, &map);
    let weights = source.weights.len() as u64;
    let missed = [
        budgets.ram(source.arena_bytes, None),
        budgets.flash("the weights need", weights, weights),
    ];
    miss(args, "nothing was written", missed.into_iter().flatten())?;
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
        let library = files.get("rust/c/src/lib.rs").map(Vec::as_slice);
        let header = header(library.unwrap_or_default(), firmware::c_header(&names))?;
        files.insert(format!("src/{name}.h"), header);
    }
    // What was built stays part of the package.
    let c = args.lang == Language::C;
    let built: Vec<String> = cpus
        .iter()
        .filter(|_| c)
        .map(|cpu| library_path(&name, cpu))
        .collect();
    write(&folder, &files, &built)?;
    let (mut libraries, mut resources) = (Vec::new(), Vec::new());
    for cpu in &cpus {
        let spinner = output::spinner(quiet, &format!("building for {}", cpu.name));
        if c {
            let library = library(&folder, &name, cpu)?;
            resources.extend(Footprint::read(&library, &source, &name, cpu)?);
            libraries.push(library);
        } else {
            resources.extend(footprint::of_crate(&folder, &source, &names, cpu)?);
        }
        spinner.finish_and_clear();
    }
    let missed: Vec<String> = resources.iter().flat_map(|f| budgets.on(f)).collect();
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
        resources,
        name,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&describe(&report))?;
    }
    miss(
        args,
        &format!("{} is there all the same", report.output.display()),
        missed.into_iter(),
    )
}

fn budgets<'a>(args: &Package, program: &'a Program<'a>, map: &'a MemoryMap) -> Budgets<'a> {
    Budgets {
        max_ram: args.max_ram,
        max_flash: args.max_flash,
        before: None,
        program,
        map,
    }
}

/// Exit code 3 when there is anything that a budget misses.
fn miss(args: &Package, state: &str, missed: impl Iterator<Item = String>) -> Result<()> {
    let missed: Vec<String> = missed.collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(anyhow::Error::new(BudgetMissed(format!(
        "{} misses its budget, {state}\n  {}",
        args.bundle.display(),
        missed.join("\n  ")
    ))))
}

/// What source takes of a processor, built as a crate in a folder of the system for files that do not last.
pub(super) fn resources(source: &firmware::Source, cpu: &Cpu) -> Result<Option<Footprint>> {
    let names = Names {
        package: "model",
        compiler: "cygnet",
        bundle: "model.cygnet",
        program_sha256: "",
        labels: &[],
        golden: &[],
    };
    let mut files = firmware::crate_files(source, &names);
    add_runtime(&mut files, &["cygnet-format/", "cygnet-kernels/"]);
    let folder = tempfile::tempdir().context("cannot create a folder to build in")?;
    write(folder.path(), &files, &[])?;
    footprint::of_crate(folder.path(), source, &names, cpu)
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
    let map = memory_map(program);
    let budgets = budgets(args, program, &map);
    let missed = [
        budgets.ram(program.arena_bytes(), None),
        budgets.flash(
            "the program needs",
            bytes.len() as u64,
            program.constants().len() as u64,
        ),
    ];
    miss(args, "nothing was written", missed.into_iter().flatten())?;
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
        resources: Vec::new(),
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
        "{folder}: {} of {} steps\n  RAM    arena    {}{}\n  flash  weights  {}\n",
        if report.language == "c" {
            "a C library"
        } else {
            "a Rust crate"
        },
        report.steps,
        sizes::show(report.arena_bytes),
        match report.state_bytes {
            0 => String::new(),
            bytes => format!(", states of {} in it", sizes::show(bytes)),
        },
        sizes::show(report.weight_bytes),
    );
    for footprint in &report.resources {
        out += &footprint.describe();
    }
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

/// The processors that the package is built for.
fn cpus(args: &Package) -> Vec<Cpu> {
    if args.lang == Language::Rust && args.cpu.is_empty() {
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
fn library(folder: &Path, name: &str, cpu: &Cpu) -> Result<PathBuf> {
    let built = footprint::build(&folder.join("rust/c"), name, cpu, true)?;
    let path = folder.join(library_path(name, cpu));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
    }
    std::fs::copy(&built, &path)
        .with_context(|| format!("cannot copy {} to {}", built.display(), path.display()))?;
    Ok(path)
}

/// The header of a library's source, by cbindgen.
fn header(library: &[u8], frame: CHeader) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("cannot create a folder for the header")?;
    let source = folder.path().join("lib.rs");
    std::fs::write(&source, library)
        .with_context(|| format!("cannot write {}", source.display()))?;
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        cpp_compat: true,
        documentation_style: cbindgen::DocumentationStyle::C,
        header: Some(frame.comment),
        include_guard: Some(frame.guard),
        no_includes: true,
        sys_includes: vec!["stdint.h".into()],
        after_includes: (!frame.macros.is_empty()).then_some(frame.macros),
        ..Default::default()
    };
    let bindings = cbindgen::Builder::new()
        .with_config(config)
        .with_src(&source)
        .generate()
        .context("cannot make the header")?;
    let mut out = Vec::new();
    bindings.write(&mut out);
    Ok(out)
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
