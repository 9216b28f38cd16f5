//! The networks of a project, one after the other: a teacher, the model, the model in integers.

use super::Source;
use super::stage::{self, Begun, Outcome, Say, Stage, Start};
use super::teacher;
use anyhow::{Context, Result};
use cygnet_compiler::bundle::write_atomically;
use cygnet_training::data::{Samples, Split};
use cygnet_training::export::{self, Answer};
use cygnet_training::fit::Teacher;
use cygnet_training::front::Front;
use cygnet_training::network::Network;
use cygnet_training::project::{Project, Track};
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What training came to.
#[derive(Serialize)]
pub struct Trained {
    /// The teacher, if there is one.
    pub teacher: Option<Outcome>,
    /// The model.
    pub model: Outcome,
    /// The model without some of its channels.
    pub pruned: Option<Outcome>,
    /// The model, trained further in 8-bit integers.
    pub quantized: Option<Outcome>,
}

/// A network of floats that was trained.
pub struct Floats {
    pub name: &'static str,
    /// Its file.
    pub onnx: PathBuf,
    /// Numbers that were learnt.
    pub parameters: usize,
    /// Whether it takes a frame at a time.
    pub stream: bool,
}

/// A project with its data and its trained network.
pub struct Ready {
    pub project: Project,
    pub samples: Arc<Samples>,
    pub split: Arc<Split>,
    pub network: Network,
    pub trained: Trained,
    /// The network's file.
    pub onnx: PathBuf,
    /// The networks of floats, in order.
    pub stages: Vec<Floats>,
    /// What the model's stage depends on.
    pub digest: String,
}

impl Trained {
    /// The last network of floats.
    pub fn floats(&self) -> &Outcome {
        self.pruned.as_ref().unwrap_or(&self.model)
    }
}

impl Ready {
    /// The project and its data.
    pub fn source(&self) -> (&Project, &Samples, &Split) {
        (&self.project, &self.samples, &self.split)
    }
}

/// Where a project's files are, and where what is made of them goes.
pub struct Places {
    /// The project's folder.
    pub project: PathBuf,
    /// The folder of its stages.
    pub runs: PathBuf,
    /// The folder of teachers that several share, each in a folder of its own that its digest names.
    pub teachers: Option<PathBuf>,
}

impl Places {
    /// Those of a project by itself.
    pub fn of(folder: &Path) -> Self {
        Self {
            project: folder.to_owned(),
            runs: folder.join("runs"),
            teachers: None,
        }
    }
}

/// Who teaches.
enum Taught {
    Network {
        network: Network,
        outcome: Outcome,
        digest: String,
        floats: Floats,
    },
    Answers(teacher::Answers),
}

impl Taught {
    fn told(&self) -> (Teacher<'_>, &str) {
        match self {
            Self::Network {
                network, digest, ..
            } => (Teacher::Network(network), digest),
            Self::Answers(answers) => (Teacher::Answers(&answers.logits), &answers.digest),
        }
    }
}

/// Trains or asks the teacher of a project, if it has one; `data` is the digest of the samples.
fn taught(places: &Places, source: &Source, data: &str, say: Say) -> Result<Option<Taught>> {
    let Some(t) = &source.project.teacher else {
        return Ok(None);
    };
    let (samples, split) = (&*source.samples, &*source.split);
    // Whoever comes second finds what the first has made.
    let alone = match &places.teachers {
        None => None,
        Some(folder) => {
            let cannot = || format!("cannot make {}", folder.display());
            std::fs::create_dir_all(folder).with_context(cannot)?;
            let lock = File::create(folder.join("lock")).with_context(cannot)?;
            lock.lock().with_context(cannot)?;
            Some(lock)
        }
    };
    let found = if let Some(file) = &t.file {
        let quiet = say == Say::Nothing;
        let all = (samples, split);
        let answers = teacher::answers((&places.project, file), t, all, data, quiet)?;
        Some(Taught::Answers(answers))
    } else if let Some(model) = t.model {
        let mut stage = Stage {
            folder: places.runs.join("teacher"),
            name: "teacher",
            start: Start::Architecture(model),
            settings: &t.train,
            teacher: None,
            data,
            anomaly: None,
            track: track(places, &source.project),
        };
        let digest = stage.digest();
        if let Some(folder) = &places.teachers {
            stage.folder = folder.join(&digest[..16]);
            // Which of them it was.
            let mark = places.runs.join("teacher");
            write_atomically(&mark, &digest.as_bytes()[..16])
                .with_context(|| format!("cannot write {}", mark.display()))?;
        }
        let (network, outcome) = stage.run(samples, split, say)?;
        let as_classes = (&samples.front, Answer::Probabilities);
        let onnx = export(
            &stage.folder,
            &network,
            as_classes,
            &source.project.name,
            outcome.up_to_date,
            false,
        )?;
        Some(Taught::Network {
            digest,
            floats: Floats {
                name: stage.name,
                onnx,
                parameters: outcome.parameters,
                stream: false,
            },
            network,
            outcome,
        })
    } else {
        None
    };
    drop(alone);
    Ok(found)
}

/// What a project's model begins with, if that is not nothing.
fn begun(places: &Places, project: &Project) -> Result<Option<Begun>> {
    let transfer = project.transfer.as_ref();
    transfer
        .map(|t| Begun::read(t, &places.project))
        .transpose()
}

/// The stage of a project's model.
fn model<'a>(
    places: &Places,
    project: &'a Project,
    data: &'a str,
    teacher: Option<&'a Taught>,
    begun: Option<&'a Begun>,
) -> Stage<'a> {
    Stage {
        folder: places.runs.join("model"),
        name: "model",
        start: match begun {
            None => Start::Architecture(project.model),
            Some(begun) => Start::Transfer(project.model, begun),
        },
        settings: &project.train,
        teacher: teacher.map(Taught::told),
        data,
        anomaly: project.anomaly.as_ref(),
        track: track(places, project),
    }
}

/// Where else a project is told of; the trials of a sweep are not.
fn track<'a>(places: &Places, project: &'a Project) -> Option<(&'a Track, &'a str)> {
    let alone = places.teachers.is_none();
    alone.then_some((&project.track, project.name.as_str()))
}

/// Trains a project's model for its first epochs, and keeps its state; the share of validation samples that the best state
/// gets right. What comes later goes on from there.
pub fn advance(places: &Places, source: &Source, epochs: usize) -> Result<f32> {
    let data = stage::digest_of(&source.samples, &source.split);
    let teacher = taught(places, source, &data, Say::Nothing)?;
    let begun = begun(places, &source.project)?;
    let stage = model(
        places,
        &source.project,
        &data,
        teacher.as_ref(),
        begun.as_ref(),
    );
    let history = stage.advance(&source.samples, &source.split, epochs)?;
    Ok(history.best().map_or(0.0, |e| e.validation_accuracy))
}

/// Writes a project's model as it is before anything is trained; the numbers that it would learn.
pub fn untrained(source: &Source, path: &Path) -> Result<usize> {
    let Source {
        project, samples, ..
    } = source;
    let (shape, classes) = (samples.input_shape(), samples.classes.len());
    let device = candle_core::Device::Cpu;
    let network = project
        .model
        .build(shape, classes, project.train.seed, &device)?;
    let (name, answer) = (&project.name, Answer::Probabilities);
    let onnx = match project.build.stream {
        true => export::stream(&network, &samples.front, name)?,
        false => export::with_front(&network, &samples.front, name, answer)?,
    };
    write_atomically(path, &onnx).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(network.parameter_count())
}

/// Trains what of a project is not trained yet.
pub fn ready(places: &Places, source: Source, say: Say) -> Result<Ready> {
    let data = stage::digest_of(&source.samples, &source.split);
    let teacher = taught(places, &source, &data, say)?;
    let Source {
        project,
        samples,
        split,
    } = source;
    let begun = begun(places, &project)?;
    let stage = model(places, &project, &data, teacher.as_ref(), begun.as_ref());
    let (mut network, model) = stage.run(&samples, &split, say)?;
    let mut digest = stage.digest();
    let (name, front, stream) = (&project.name, &samples.front, project.build.stream);
    let answer = |network: &Network| -> Result<Answer> {
        Ok(match &project.anomaly {
            None => Answer::Probabilities,
            Some(anomaly) => Answer::Score {
                threshold: anomaly.judge(network, &samples, &split)?.threshold,
            },
        })
    };
    let write = |stage: &Stage<'_>, network: &Network, up_to_date: bool| {
        let answer = answer(network)?;
        export(
            &stage.folder,
            network,
            (front, answer),
            name,
            up_to_date,
            stream,
        )
    };
    let mut onnx = write(&stage, &network, model.up_to_date)?;
    let mut stages = vec![Floats {
        name: stage.name,
        onnx: onnx.clone(),
        parameters: model.parameters,
        stream,
    }];
    let (mut pruned, mut quantized) = (None, None);
    if let Some(prune) = &project.prune {
        let stage = Stage {
            folder: places.runs.join("pruned"),
            name: "pruned",
            start: Start::Pruned(&network, &digest, prune),
            settings: &prune.settings(&project.train),
            ..stage
        };
        let (smaller, outcome) = stage.run(&samples, &split, say)?;
        onnx = write(&stage, &smaller, outcome.up_to_date)?;
        stages.push(Floats {
            name: stage.name,
            onnx: onnx.clone(),
            parameters: outcome.parameters,
            stream,
        });
        digest = stage.digest();
        network = smaller;
        pruned = Some(outcome);
    }
    if let Some(aware) = &project.quantize_aware {
        let stage = Stage {
            folder: places.runs.join("quantized"),
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
    let teacher = teacher.map(|taught| match taught {
        Taught::Network {
            outcome, floats, ..
        } => {
            stages.insert(0, floats);
            outcome
        }
        Taught::Answers(answers) => answers.outcome,
    });
    Ok(Ready {
        trained: Trained {
            teacher,
            model,
            pruned,
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

/// Writes a stage's network as ONNX if it is not there.
fn export(
    folder: &Path,
    network: &Network,
    (front, answer): (&Front, Answer),
    name: &str,
    up_to_date: bool,
    stream: bool,
) -> Result<PathBuf> {
    let path = folder.join(if stream { "stream.onnx" } else { "model.onnx" });
    if !up_to_date || !path.exists() {
        let onnx = match stream {
            true => export::stream(network, front, name)?,
            false => export::with_front(network, front, name, answer)?,
        };
        write_atomically(&path, &onnx)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}
