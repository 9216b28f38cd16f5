//! Projects: `cygnet new`, `cygnet train`, `cygnet build`, `cygnet test`.
//!
//! A stage is done again when what it depends on has changed: its digest covers the data, its settings and the stage
//! before it. What it made lies in `runs/STAGE`.

mod build;
mod judge;
mod page;
mod stage;
mod teacher;
mod test;

pub use build::{Built, build, make};
pub use judge::array;
pub use stage::Say;
pub use test::test;

use crate::args::{New, Template, Train};
use crate::failure::usage;
use crate::{output, sizes};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::write_atomically;
use cygnet_training::data::{Samples, Split, Task};
use cygnet_training::export::{self, Answer};
use cygnet_training::fit::Teacher;
use cygnet_training::front::Front;
use cygnet_training::network::Network;
use cygnet_training::project::{Project, is_name};
use serde::Serialize;
use stage::{Outcome, Stage, Start};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

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

/// What training came to.
#[derive(Serialize)]
pub struct Trained {
    /// The teacher, if there is one.
    pub teacher: Option<Outcome>,
    /// The model.
    pub model: Outcome,
    /// The model, trained further in 8-bit integers.
    pub quantized: Option<Outcome>,
}

/// A project with its data.
pub struct Source {
    pub project: Project,
    pub samples: Samples,
    pub split: Split,
}

/// A network of floats that was trained.
pub struct Floats {
    pub name: &'static str,
    /// Its file.
    pub onnx: PathBuf,
    /// Numbers that were learnt.
    pub parameters: usize,
}

/// A project with its data and its trained network.
pub struct Ready {
    pub project: Project,
    pub samples: Samples,
    pub split: Split,
    pub network: Network,
    pub trained: Trained,
    /// The network's file.
    pub onnx: PathBuf,
    /// The networks of floats, in order.
    pub stages: Vec<Floats>,
    /// What the model's stage depends on.
    pub digest: String,
}

/// Trains what of a project is not trained yet.
fn ready(folder: &Path, source: Source, say: Say) -> Result<Ready> {
    let Source {
        project,
        samples,
        split,
    } = source;
    let data = stage::digest_of(&samples, &split);
    let (mut teacher, mut told) = (None, None);
    let mut stages = Vec::new();
    if let Some((t, file)) = project
        .teacher
        .as_ref()
        .and_then(|t| Some((t, t.file.as_ref()?)))
    {
        let quiet = say == Say::Nothing;
        let all = (&samples, &split);
        told = Some(teacher::answers((folder, file), t, all, &data, quiet)?);
    }
    if let Some((t, model)) = project.teacher.as_ref().and_then(|t| Some((t, t.model?))) {
        let stage = Stage {
            folder: folder.join("runs/teacher"),
            name: "teacher",
            start: Start::Architecture(model),
            settings: &t.train,
            teacher: None,
            data: &data,
            anomaly: None,
        };
        let (network, outcome) = stage.run(&samples, &split, say)?;
        let as_classes = (&samples.front, Answer::Probabilities);
        let onnx = export(
            &stage.folder,
            &network,
            as_classes,
            &project.name,
            outcome.up_to_date,
        )?;
        stages.push(Floats {
            name: stage.name,
            onnx,
            parameters: outcome.parameters,
        });
        teacher = Some(((network, outcome), stage.digest()));
    }
    let stage = Stage {
        folder: folder.join("runs/model"),
        name: "model",
        start: Start::Architecture(project.model),
        settings: &project.train,
        teacher: teacher
            .as_ref()
            .map(|((network, _), digest)| (Teacher::Network(network), digest.as_str()))
            .or(told
                .as_ref()
                .map(|t| (Teacher::Answers(&t.logits), t.digest.as_str()))),
        data: &data,
        anomaly: project.anomaly.as_ref(),
    };
    let (mut network, model) = stage.run(&samples, &split, say)?;
    let mut digest = stage.digest();
    let answer = match &project.anomaly {
        None => Answer::Probabilities,
        Some(anomaly) => Answer::Score {
            threshold: anomaly.judge(&network, &samples, &split)?.threshold,
        },
    };
    let (name, front) = (&project.name, &samples.front);
    let write = |stage: &Stage<'_>, network: &Network, up_to_date: bool| {
        export(&stage.folder, network, (front, answer), name, up_to_date)
    };
    let mut onnx = write(&stage, &network, model.up_to_date)?;
    stages.push(Floats {
        name: stage.name,
        onnx: onnx.clone(),
        parameters: model.parameters,
    });
    let mut quantized = None;
    if let Some(aware) = &project.quantize_aware {
        let stage = Stage {
            folder: folder.join("runs/quantized"),
            name: "quantized",
            start: Start::Integers(&network, &digest),
            settings: &aware.settings(&project.train),
            ..stage
        };
        let (integers, outcome) = stage.run(&samples, &split, say)?;
        onnx = write(&stage, &integers, outcome.up_to_date)?;
        digest = stage.digest();
        network = integers;
        quantized = Some(outcome);
    }
    Ok(Ready {
        trained: Trained {
            teacher: teacher
                .map(|((_, outcome), _)| outcome)
                .or(told.map(|t| t.outcome)),
            model,
            quantized,
        },
        onnx,
        stages,
        project,
        samples,
        split,
        network,
        digest,
    })
}

/// Reads a project and its data.
fn source(folder: &Path, quiet: bool) -> Result<Source> {
    let project = Project::read(folder)?;
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
        samples,
        split,
    })
}

/// Writes a stage's network as ONNX if it is not there.
fn export(
    folder: &Path,
    network: &Network,
    (front, answer): (&Front, Answer),
    name: &str,
    up_to_date: bool,
) -> Result<PathBuf> {
    let path = folder.join("model.onnx");
    if !up_to_date || !path.exists() {
        let onnx = export::with_front(network, front, name, answer)?;
        write_atomically(&path, &onnx)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
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
    let ready = ready(&args.project, source, Say::Epochs.unless(quiet))?;
    if let Some(path) = &args.json {
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
        args.project.display()
    )?;
    output::print(&text)
}

/// The networks in a table.
pub(super) fn table(trained: &Trained) -> Result<String> {
    let mut text = String::from("           parameters  epochs  test accuracy\n");
    for (name, outcome) in [
        ("teacher", trained.teacher.as_ref()),
        ("model", Some(&trained.model)),
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
