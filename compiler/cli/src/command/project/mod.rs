//! Projects: `cygnet new`, `cygnet train`, `cygnet build`, `cygnet test`.
//!
//! A stage is done again when what it depends on has changed: its digest covers the data, its settings and the stage
//! before it. What it made lies in `runs/STAGE`.

mod build;
mod judge;
mod page;
mod stage;
mod stages;
mod teacher;
mod test;
mod track;

pub use build::{Built, build, bundle, make};
pub use judge::{array, arrays, right};
pub use stage::{Say, digest_of};
pub use stages::{Places, Ready, Trained, advance, ready, untrained};
pub use test::test;

use crate::args::{Distill, New, Template, Train};
use crate::failure::usage;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::write_atomically;
use cygnet_training::data::{Samples, Split, Task};
use cygnet_training::project::{Project, Teacher, is_name};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

const IMAGE_CLASSIFICATION: &str = include_str!("image_classification.toml");
const KEYWORD_SPOTTING: &str = include_str!("keyword_spotting.toml");
/// Tests the project wherever its source lies.
const GITHUB: &str = include_str!("github.yml");
const TABULAR: &str = include_str!("tabular.toml");
const ANOMALY_DETECTION: &str = include_str!("anomaly_detection.toml");

/// Makes a project's folder.
pub fn new(args: &New) -> Result<()> {
    let folder = &args.name;
    let name = folder
        .file_name()
        .and_then(|n| n.to_str())
        .filter(|n| is_name(n))
        .ok_or_else(|| {
            usage(format!(
                "{}: a project's name has letters, digits, - and _ alone, for its files are called as it is",
                folder.display()
            ))
        })?;
    if folder.exists() {
        return Err(usage(format!(
            "{} exists; choose another name, or edit the cygnet.toml that is there",
            folder.display()
        )));
    }
    let cannot = || format!("cannot make {}", folder.display());
    std::fs::create_dir_all(folder.join("data")).with_context(cannot)?;
    let (template, first) = match args.template {
        Template::ImageClassification => (
            IMAGE_CLASSIFICATION,
            "put pictures in {0}/data/CLASS/, a folder for each class",
        ),
        Template::KeywordSpotting => (
            KEYWORD_SPOTTING,
            "put WAV files in {0}/data/WORD/, a folder for each word, called SPEAKER_anything.wav",
        ),
        Template::Tabular => (
            TABULAR,
            "put a CSV file in {0}/data/data.csv, whose first line names the columns, and name them in {0}/cygnet.toml",
        ),
        Template::AnomalyDetection => (
            ANOMALY_DETECTION,
            "put a CSV file in {0}/data/data.csv, whose first line names the columns, and name them in {0}/cygnet.toml",
        ),
    };
    let text = template.replace("{name}", name);
    write_atomically(&folder.join("cygnet.toml"), text.as_bytes()).with_context(cannot)?;
    write_atomically(&folder.join(".gitignore"), b"/runs\n/build\n").with_context(cannot)?;
    let workflows = folder.join(".github/workflows");
    std::fs::create_dir_all(&workflows).with_context(cannot)?;
    write_atomically(&workflows.join("cygnet.yml"), GITHUB.as_bytes()).with_context(cannot)?;
    output::print(&format!(
        "made {0}\n\nNext:\n  {1}\n  cygnet build --project {0}\n",
        folder.display(),
        first.replace("{0}", &folder.display().to_string())
    ))
}

/// A project with its data.
pub struct Source {
    pub project: Project,
    pub samples: Arc<Samples>,
    pub split: Arc<Split>,
}

/// Reads a project and its data.
fn source(folder: &Path, quiet: bool) -> Result<Source> {
    read(folder, Project::read(folder)?, quiet)
}

/// Reads the data of a project in a folder.
pub fn read(folder: &Path, project: Project, quiet: bool) -> Result<Source> {
    let reading = output::spinner(quiet, "reading the data");
    let (mut samples, damaged) = project.samples(folder)?;
    reading.finish_and_clear();
    let split = project.split(&samples)?;
    if !quiet {
        eprint!("{}", describe(&samples, &split)?);
        for (file, why) in damaged.iter().take(5) {
            eprintln!("note: {} is left out: {why}", file.display());
        }
        if damaged.len() > 5 {
            eprintln!("note: {} more are left out", damaged.len() - 5);
        }
    }
    if split.test.is_empty() {
        bail!(
            "none of the {} samples are kept back to report on: add samples, or raise [data] test",
            samples.len()
        );
    }
    samples.settle(&split.train)?;
    Ok(Source {
        project,
        samples: Arc::new(samples),
        split: Arc::new(split),
    })
}

/// How many samples of each class lie in which part.
fn describe(samples: &Samples, split: &Split) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "{} samples of {} classes: {} to learn from, {} to choose by, {} to report on",
        samples.len(),
        samples.classes.len(),
        split.train.len(),
        split.validation.len(),
        split.test.len()
    )?;
    if !samples.groups.is_empty() {
        let groups = |part: &[usize]| {
            let names: BTreeSet<&String> = part.iter().map(|&i| &samples.groups[i]).collect();
            names.len()
        };
        writeln!(
            text,
            "they are of {} groups: {}, {} and {}",
            samples.groups.iter().collect::<BTreeSet<_>>().len(),
            groups(&split.train),
            groups(&split.validation),
            groups(&split.test)
        )?;
    }
    balance(samples, split, &mut text)?;
    Ok(text)
}

/// Classes of which a table is worth its lines.
const SHOWN_CLASSES: usize = 20;

/// What is out of balance: classes without samples, in a part or at all, and classes of very different size.
fn balance(samples: &Samples, split: &Split, text: &mut String) -> Result<()> {
    let all = samples.balance();
    let count = |part: &[usize], class: usize| {
        let of = part
            .iter()
            .filter(|&&i| samples.labels[i] as usize == class);
        of.count()
    };
    let names = |classes: Vec<usize>| {
        let names: Vec<&str> = classes.iter().map(|&c| &*samples.classes[c]).collect();
        names.join(", ")
    };
    let (empty, held): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|&c| all[c] == 0);
    if !empty.is_empty() {
        writeln!(text, "note: there are no samples of {}", names(empty))?;
    }
    if samples.task != Task::Classes {
        return Ok(());
    }
    for (part, what) in [
        (&split.train, "to learn from"),
        (&split.validation, "to choose by"),
        (&split.test, "to report on"),
    ] {
        let absent = held.iter().copied().filter(|&c| count(part, c) == 0);
        let absent: Vec<usize> = absent.collect();
        if !absent.is_empty() {
            writeln!(
                text,
                "note: {what} there are no samples of {}",
                names(absent)
            )?;
        }
    }
    let sizes = || held.iter().map(|&c| all[c]);
    let (Some(least), Some(most)) = (sizes().min(), sizes().max()) else {
        return Ok(());
    };
    if least * 5 < most {
        writeln!(
            text,
            "note: the classes are out of balance: {least} samples in the smallest, {most} in the largest"
        )?;
        if held.len() <= SHOWN_CLASSES {
            for &c in &held {
                writeln!(text, "  {:>6} {}", all[c], samples.classes[c])?;
            }
        }
    }
    Ok(())
}

/// Trains a project's networks.
pub fn train(args: &Train, quiet: bool) -> Result<()> {
    let source = source(&args.project, quiet)?;
    trained(&args.project, source, args.json.as_deref(), quiet)
}

/// Trains a project's model with what a teacher answers.
pub fn distill(args: &Distill, quiet: bool) -> Result<()> {
    let mut project = Project::read(&args.project)?;
    if let Some(file) = &args.teacher {
        let file = file
            .canonicalize()
            .with_context(|| format!("--teacher {}", file.display()))?;
        project.teacher = Some(Teacher::of_file(file));
    }
    if project.teacher.is_none() {
        return Err(usage(
            "there is no teacher: add [teacher.model] (what is trained first) or [teacher] file (what is trained already) to cygnet.toml, or give one with --teacher FILE",
        ));
    }
    let source = read(&args.project, project, quiet)?;
    trained(&args.project, source, args.json.as_deref(), quiet)
}

/// Trains what is not trained, and says what it came to.
fn trained(folder: &Path, source: Source, json: Option<&Path>, quiet: bool) -> Result<()> {
    let ready = ready(&Places::of(folder), source, Say::Epochs.unless(quiet))?;
    if let Some(path) = json {
        output::json(path, &ready.trained)?;
        if output::machine_only(Some(path)) {
            return Ok(());
        }
    }
    let mut text = table(&ready.trained)?;
    writeln!(
        text,
        "\n{} {}\nNext: cygnet build --project {}",
        ready.onnx.display(),
        sizes::show(4 * ready.network.parameter_count() as u64),
        folder.display()
    )?;
    output::print(&text)
}

/// The networks in a table.
pub(super) fn table(trained: &Trained) -> Result<String> {
    let mut text = String::from("           parameters  epochs  test accuracy\n");
    for (name, outcome) in [
        ("teacher", trained.teacher.as_ref()),
        ("model", Some(&trained.model)),
        ("pruned", trained.pruned.as_ref()),
        ("in int8", trained.quantized.as_ref()),
    ] {
        if let Some(o) = outcome {
            writeln!(
                text,
                "{name:<10} {:>10}  {:>6}  {:>11.2} %{}",
                o.parameters,
                o.epochs,
                f64::from(o.test_accuracy) * 100.0,
                if o.up_to_date { "  (up to date)" } else { "" }
            )?;
        }
    }
    Ok(text)
}
