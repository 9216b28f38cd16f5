//! `cygnet build`: from data to a bundle, judged on samples that it has not seen.

use super::{Ready, ready, table};
use crate::args::{Build, Cli, Command};
use crate::command::compile;
use crate::decode;
use crate::media::npy;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use clap::Parser;
use cygnet_compiler::bundle::{Array, BundleReader, sha256_hex, write_atomically};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::export;
use cygnet_training::front::Front;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

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
}

/// Builds a project's bundle.
pub fn build(args: &Build, quiet: bool) -> Result<()> {
    let folder = &args.project;
    let ready = ready(folder, quiet)?;
    let inputs = format!(
        "{} {} {:?}",
        ready.project.name, ready.digest, ready.project.build
    );
    let inputs = sha256_hex(inputs.as_bytes());
    let bundle = folder
        .join("build")
        .join(format!("{}.cygnet", ready.project.name));
    let path = folder.join("cygnet.lock");
    let known = std::fs::read_to_string(&path)
        .ok()
        .and_then(|text| toml::from_str::<Lock>(&text).ok())
        .filter(|lock| lock.inputs == inputs)
        .filter(|lock| digest(&bundle).is_ok_and(|d| d == lock.bundle_sha256));
    let up_to_date = known.is_some();
    // What compiling prints would stand between what machines read.
    let silent = quiet || output::machine_only(args.json.as_deref());
    let lock = match known {
        Some(lock) => lock,
        None => {
            let lock = make(folder, &ready, &bundle, inputs, silent)?;
            let text = format!(
                "# Written by `cygnet build`: what the bundle was built from.\n{}",
                toml::to_string(&lock)?
            );
            write_atomically(&path, text.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            lock
        }
    };
    if let Some(json) = &args.json {
        #[derive(Serialize)]
        struct Built<'a> {
            up_to_date: bool,
            bundle: &'a Path,
            #[serde(flatten)]
            lock: &'a Lock,
            #[serde(flatten)]
            trained: &'a super::Trained,
        }
        let built = Built {
            up_to_date,
            bundle: &bundle,
            lock: &lock,
            trained: &ready.trained,
        };
        output::json(json, &built)?;
        if output::machine_only(Some(json)) {
            return Ok(());
        }
    }
    let mut text = table(&ready.trained)?;
    writeln!(
        text,
        "{:<10} {:>10}          {:>11.2} %  of {} samples",
        ready.project.build.quantize,
        sizes::show(lock.bundle_bytes),
        f64::from(lock.bundle_accuracy) * 100.0,
        lock.test_samples
    )?;
    writeln!(
        text,
        "\n{}: {}, {} of memory{}",
        bundle.display(),
        sizes::show(lock.bundle_bytes),
        sizes::show(lock.arena_bytes),
        if up_to_date { " (up to date)" } else { "" }
    )?;
    output::print(&text)
}

fn digest(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(sha256_hex(&bytes))
}

/// A sample as the exported model takes it.
fn array(ready: &Ready, i: usize) -> Array {
    let (shape, values) = export::input(&ready.samples, i);
    Array::from_f32(&shape, &values)
}

fn make(folder: &Path, ready: &Ready, bundle: &Path, inputs: String, silent: bool) -> Result<Lock> {
    let runs = folder.join("runs");
    let made = |path: &Path| format!("cannot make {}", path.display());
    let build = folder.join("build");
    std::fs::create_dir_all(&build).with_context(|| made(&build))?;
    let labels = runs.join("labels.txt");
    let text: String = ready
        .samples
        .classes
        .iter()
        .map(|c| format!("{c}\n"))
        .collect();
    write_atomically(&labels, text.as_bytes()).with_context(|| made(&labels))?;

    let quantize = ready.project.build.quantize.as_str();
    let show = |path: &Path| path.display().to_string();
    let mut line = vec!["cygnet".to_owned(), "compile".to_owned()];
    line.push(show(&ready.onnx));
    line.extend([
        "-o".to_owned(),
        show(bundle),
        "--labels".to_owned(),
        show(&labels),
    ]);
    line.extend(["--target".to_owned(), ready.project.build.target.clone()]);
    // What was trained in integers has them.
    let aware = ready.trained.quantized.is_some();
    if quantize != "none" && !aware {
        line.extend(["--quantize".to_owned(), quantize.to_owned()]);
        if ready.samples.front != Front::Plain {
            line.extend(["--keep-float".to_owned(), format!("{}*", export::FRONT)]);
        }
    }
    if let Some(rate) = ready.project.data.rate {
        line.extend(["--sample-rate".to_owned(), rate.to_string()]);
    }
    if matches!(quantize, "int8" | "int8x16" | "auto") && !aware {
        let calibration = runs.join("calibration");
        std::fs::create_dir_all(&calibration).with_context(|| made(&calibration))?;
        let step = ready.split.train.len().div_ceil(CALIBRATION).max(1);
        for (n, &i) in ready.split.train.iter().step_by(step).enumerate() {
            let path = calibration.join(format!("{n:04}.npy"));
            write_atomically(&path, &npy::to_bytes(&array(ready, i))?)
                .with_context(|| made(&path))?;
        }
        line.extend(["--calibrate".to_owned(), show(&calibration)]);
    }
    let parsed = Cli::try_parse_from(&line)
        .with_context(|| format!("[build] of cygnet.toml is wrong, as {}", line.join(" ")))?;
    let Command::Compile(parsed) = parsed.command else {
        bail!("internal: `cygnet compile` was read as another command");
    };
    compile::compile(&parsed, silent)?;

    let mut runner = Runner::open(bundle, &RunnerOptions::default())?;
    let mut right = 0;
    for &i in &ready.split.test {
        runner.set_input(0, &array(ready, i))?;
        runner.run()?;
        let best = decode::top(&runner.output(0)?.to_f32(), 1, None);
        let label = ready.samples.labels[i] as usize;
        right += usize::from(best.first().is_some_and(|b| b.index == label));
    }
    let reader = BundleReader::open(bundle)?;
    Ok(Lock {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs,
        bundle_sha256: digest(bundle)?,
        bundle_bytes: std::fs::metadata(bundle)?.len(),
        arena_bytes: reader.manifest.memory.arena_bytes,
        float_accuracy: ready.trained.model.test_accuracy,
        bundle_accuracy: right as f32 / ready.split.test.len().max(1) as f32,
        test_samples: ready.split.test.len(),
    })
}
