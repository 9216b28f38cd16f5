//! `cygnet build`: from data to a bundle, judged on samples that it has not seen.

use super::judge::{Described, Measured, array, measure, told};
use super::{Places, Ready, Say, Source, page, ready, source};
use crate::args::{Build, Cli, Command};
use crate::command::compile;
use crate::media::npy;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use clap::Parser;
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::{BundleReader, sha256_hex, write_atomically};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::anomaly::Found;
use cygnet_training::data::{Samples, Split, Task};
use cygnet_training::export;
use cygnet_training::front::{Column, Front};
use cygnet_training::project::Project;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Samples that ranges are taken from.
const CALIBRATION: usize = 128;

/// `cygnet.lock`: what a bundle was built from, and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Lock {
    /// Version of the tool.
    version: String,
    /// Digest of the data, the settings and the networks.
    inputs: String,
    /// Digest of the bundle.
    bundle_sha256: String,
    /// Bytes of the bundle.
    bundle_bytes: u64,
    /// Bytes of the arena.
    arena_bytes: u64,
    /// Share of the test samples that the trained floats get right.
    float_accuracy: f32,
    /// Share of the test samples that the bundle gets right.
    bundle_accuracy: f32,
    /// Test samples.
    test_samples: usize,
    /// How the bundle tells anomalies, if that is its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anomaly: Option<Found>,
}

/// A project's bundle and its figures.
pub struct Built {
    /// Whether it was there already.
    pub up_to_date: bool,
    pub bundle: PathBuf,
    /// The page of the build.
    pub report: PathBuf,
    /// Every network as a program; the last is the bundle.
    pub measured: Vec<Measured>,
    lock: Lock,
    ready: Ready,
}

impl Built {
    /// The networks in a table.
    pub fn table(&self) -> Result<String> {
        let mut text = String::from(
            "                    parameters      program     memory      right    ms a run\n",
        );
        for m in &self.measured {
            writeln!(
                text,
                "{:<8} {:<9} {:>11} {:>12} {:>10} {:>8.2} % {:>11.3}",
                m.name,
                m.precision,
                m.parameters,
                sizes::show(m.program_bytes),
                sizes::show(m.arena_bytes),
                m.accuracy * 100.0,
                m.latency_ms
            )?;
        }
        Ok(text)
    }

    /// The samples and their split.
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }
}

/// Builds a project's bundle.
pub fn build(args: &Build, quiet: bool) -> Result<()> {
    // What compiling prints would stand between what machines read.
    let silent = quiet || output::machine_only(args.json.as_deref());
    let built = make(&args.project, Say::Epochs.unless(quiet), silent)?;
    if let Some(json) = &args.json {
        #[derive(Serialize)]
        struct Figures<'a> {
            up_to_date: bool,
            bundle: &'a Path,
            report: &'a Path,
            #[serde(flatten)]
            lock: &'a Lock,
            #[serde(flatten)]
            trained: &'a super::stages::Trained,
            networks: &'a [Measured],
        }
        let figures = Figures {
            up_to_date: built.up_to_date,
            bundle: &built.bundle,
            report: &built.report,
            lock: &built.lock,
            trained: &built.ready.trained,
            networks: &built.measured,
        };
        output::json(json, &figures)?;
        if output::machine_only(Some(json)) {
            return Ok(());
        }
    }
    let mut text = built.table()?;
    if let Some(found) = &built.lock.anomaly {
        writeln!(text, "\n{}", told(found))?;
    }
    writeln!(
        text,
        "\n{}: {}, {} of memory, right on {:.2} % of {} samples kept back{}\n{}",
        built.bundle.display(),
        sizes::show(built.lock.bundle_bytes),
        sizes::show(built.lock.arena_bytes),
        f64::from(built.lock.bundle_accuracy) * 100.0,
        built.lock.test_samples,
        if built.up_to_date {
            " (up to date)"
        } else {
            ""
        },
        built.report.display()
    )?;
    output::print(&text)
}

/// Builds a project's bundle, or takes what is there; `silent` says nothing of the compilation.
pub fn make(folder: &Path, say: Say, silent: bool) -> Result<Built> {
    make_of(folder, source(folder, say == Say::Nothing)?, say, silent)
}

/// As [`make`], of data that are read already.
pub(super) fn make_of(folder: &Path, source: Source, say: Say, silent: bool) -> Result<Built> {
    let ready = ready(&Places::of(folder), source, say)?;
    let inputs = format!(
        "{} {} {:?}",
        ready.project.name, ready.digest, ready.project.build
    );
    let inputs = sha256_hex(inputs.as_bytes());
    let at = |end: &str| {
        let name = format!("{}{end}", ready.project.name);
        folder.join("build").join(name)
    };
    let (bundle, report, figures) = (at(".cygnet"), at(".html"), at(".json"));
    let path = folder.join("cygnet.lock");
    let known = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| toml::from_str::<Lock>(&text).ok())
        .filter(|lock| lock.inputs == inputs)
        .filter(|lock| digest(&bundle).is_ok_and(|d| d == lock.bundle_sha256))
        .filter(|_| report.exists());
    let known = known.and_then(|lock| {
        let measured: Vec<Measured> =
            serde_json::from_slice(&std::fs::read(&figures).ok()?).ok()?;
        Some((lock, measured))
    });
    let up_to_date = known.is_some();
    let (lock, measured) = match known {
        Some(known) => known,
        None => {
            let (lock, measured) = compiled(folder, &ready, &bundle, inputs, silent)?;
            let page = page::page(&ready, &measured, lock.bundle_bytes)?;
            for (path, text) in [
                (&report, page),
                (&figures, serde_json::to_string_pretty(&measured)?),
                (
                    &path,
                    format!(
                        "# Written by `cygnet build`: what the bundle was built from.\n{}",
                        toml::to_string(&lock)?
                    ),
                ),
            ] {
                write_atomically(path, text.as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))?;
            }
            (lock, measured)
        }
    };
    Ok(Built {
        up_to_date,
        bundle,
        report,
        measured,
        lock,
        ready,
    })
}

/// A column as users of the bundle need to know it: its name, and the category that each number stands for.
#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [String],
}

impl<'a> Named<'a> {
    fn of(column: &'a Column) -> Self {
        Self {
            name: &column.name,
            categories: &column.categories,
        }
    }
}

fn digest(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sha256_hex(&bytes))
}

/// The networks of a project as programs in floats.
fn floats(ready: &Ready) -> Result<Vec<Measured>> {
    let mut all = Vec::new();
    for stage in &ready.stages {
        let onnx = std::fs::read(&stage.onnx)
            .with_context(|| format!("cannot read {}", stage.onnx.display()))?;
        let mut options = CompileOptions::default();
        if stage.stream {
            let (state, next) = export::STATE;
            options
                .import
                .states
                .push((state.to_owned(), next.to_owned()));
        }
        let program = cygnet_compiler::compile(&onnx, &options)?.program;
        let described = Described {
            name: stage.name,
            precision: "float",
            parameters: stage.parameters,
            program_bytes: program.bytes.len() as u64,
            arena_bytes: program.arena_bytes,
            stream: stage.stream,
        };
        let mut runner = Runner::from_bytes(&program.bytes, &RunnerOptions::default())?;
        all.push(measure(ready, &mut runner, &described)?);
    }
    Ok(all)
}

/// Compiles a project's network as a bundle, as `[build]` says; `aware` says whether it was trained in integers, `work` is a
/// folder for what the compilation reads.
pub fn bundle(
    (project, samples, split): (&Project, &Samples, &Split),
    (onnx, aware): (&Path, bool),
    work: &Path,
    output: &Path,
    silent: bool,
) -> Result<()> {
    let quantize = project.build.quantize.as_str();
    let made = |path: &Path| format!("cannot make {}", path.display());
    let show = |path: &Path| path.display().to_string();
    let mut line = vec!["cygnet".to_owned(), "compile".to_owned()];
    line.push(show(onnx));
    line.extend(["-o".to_owned(), show(output)]);
    if samples.task == Task::Classes {
        let labels = work.join("labels.txt");
        let classes = samples.classes.iter();
        let text: String = classes.map(|c| format!("{c}\n")).collect();
        write_atomically(&labels, text.as_bytes()).with_context(|| made(&labels))?;
        line.extend(["--labels".to_owned(), show(&labels)]);
        line.extend(["--decode", "top", "--activation", "auto"].map(str::to_owned));
        // Pictures have been stretched to the network's size.
        if project.data.pictures.is_some() {
            line.push("--resize".to_owned());
        }
    }
    line.extend(["--target".to_owned(), project.build.target.clone()]);
    // What was trained in integers has them.
    if quantize != "none" && !aware {
        line.extend(["--quantize".to_owned(), quantize.to_owned()]);
        if samples.front != Front::Plain {
            line.extend(["--keep-float".to_owned(), format!("{}*", export::FRONT)]);
        }
    }
    if project.build.stream {
        let (state, next) = export::STATE;
        line.extend(["--state".to_owned(), format!("{state}:{next}")]);
    }
    if let Some(rate) = project.data.rate {
        line.extend(["--sample-rate".to_owned(), rate.to_string()]);
    }
    if matches!(quantize, "int8" | "int8x16" | "auto") && !aware {
        let calibration = work.join("calibration");
        std::fs::create_dir_all(&calibration).with_context(|| made(&calibration))?;
        let step = split.train.len().div_ceil(CALIBRATION).max(1);
        for (n, &i) in split.train.iter().step_by(step).enumerate() {
            let path = calibration.join(format!("{n:04}.npy"));
            write_atomically(&path, &npy::to_bytes(&array(samples, i))?)
                .with_context(|| made(&path))?;
        }
        line.extend(["--calibrate".to_owned(), show(&calibration)]);
    }
    let parsed = Cli::try_parse_from(&line)
        .with_context(|| format!("[build] of cygnet.toml is wrong, as {}", line.join(" ")))?;
    let Command::Compile(parsed) = parsed.command else {
        bail!("internal: `cygnet compile` was read as another command");
    };
    compile::compile(parsed, silent)?;
    Ok(())
}

/// Compiles a project's bundle, and measures it beside the networks that it comes from.
fn compiled(
    folder: &Path,
    ready: &Ready,
    bundle: &Path,
    inputs: String,
    silent: bool,
) -> Result<(Lock, Vec<Measured>)> {
    let runs = folder.join("runs");
    let made = |path: &Path| format!("cannot make {}", path.display());
    let build = folder.join("build");
    std::fs::create_dir_all(&build).with_context(|| made(&build))?;
    if let Front::Table(table) = &ready.samples.front {
        let path = build.join("columns.json");
        let columns: Vec<Named<'_>> = table.columns.iter().map(Named::of).collect();
        write_atomically(&path, &serde_json::to_vec_pretty(&columns)?)
            .with_context(|| made(&path))?;
    }
    let aware = ready.trained.quantized.is_some();
    self::bundle(ready.source(), (&ready.onnx, aware), &runs, bundle, silent)?;

    let mut all = floats(ready)?;
    let mut reader = BundleReader::open(bundle)?;
    let arena_bytes = reader.manifest.memory.arena_bytes;
    let described = Described {
        name: "bundle",
        precision: &ready.project.build.quantize,
        parameters: ready.trained.floats().parameters,
        program_bytes: reader.entry("program.cyg")?.len() as u64,
        arena_bytes,
        stream: ready.project.build.stream,
    };
    let mut runner = Runner::open(bundle, &RunnerOptions::default())?;
    let measured = measure(ready, &mut runner, &described)?;
    let lock = Lock {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs,
        bundle_sha256: digest(bundle)?,
        bundle_bytes: std::fs::metadata(bundle)?.len(),
        arena_bytes,
        float_accuracy: ready.trained.floats().test_accuracy,
        bundle_accuracy: measured.accuracy as f32,
        test_samples: ready.split.test.len(),
        anomaly: measured.anomaly.clone(),
    };
    all.push(measured);
    Ok((lock, all))
}
