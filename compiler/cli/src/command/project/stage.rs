//! One network's training: done once, resumed where it was interrupted.

use super::page;
use super::track::Tracker;
use crate::output;
use anyhow::{Context, Result};
use cygnet_compiler::bundle::{sha256_hex, write_atomically};
use cygnet_training::TrainingError;
use cygnet_training::anomaly::Anomaly;
use cygnet_training::data::{Samples, Split};
use cygnet_training::fit::{Epoch, History, Settings, Teacher, Watch, fit, judge};
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::project::Track;
use cygnet_training::prune::Prune;
use cygnet_training::state::{Parameters, State};
use cygnet_training::transfer::{Taken, Transfer};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The figures of a trained network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Numbers that were learnt.
    pub parameters: usize,
    /// Epochs done.
    pub epochs: usize,
    /// Share of the validation samples that are right, of the best state.
    pub validation_accuracy: f32,
    /// Share of the test samples that are right.
    pub test_accuracy: f32,
    /// Every epoch.
    #[serde(skip)]
    pub history: History,
    /// Whether it was trained before.
    #[serde(skip_deserializing, default)]
    pub up_to_date: bool,
}

/// What training begins with.
pub enum Start<'a> {
    /// Random parameters.
    Architecture(Architecture),
    /// What another network has learnt.
    Transfer(Architecture, &'a Begun),
    /// A network, with the digest of its stage, that goes on without some of its channels.
    Pruned(&'a Network, &'a str, &'a Prune),
    /// A network of floats, with the digest of its stage, that goes on in 8-bit integers.
    Integers(&'a Network, &'a str),
}

/// What a network begins with.
pub struct Begun {
    pub transfer: Transfer,
    /// Parameters of the file.
    pub found: Parameters,
    /// Digest of the file and of what does not learn.
    pub digest: String,
}

impl Begun {
    /// Reads it, relative to a project's folder.
    pub fn read(transfer: &Transfer, folder: &Path) -> Result<Self> {
        let found = transfer.read(folder)?;
        let file = transfer
            .file
            .as_ref()
            .map(|f| std::fs::read(folder.join(f)));
        let file = file.transpose()?.unwrap_or_default();
        let digest = format!("{} {:?}", sha256_hex(&file), transfer.freeze);
        Ok(Self {
            transfer: transfer.clone(),
            found,
            digest,
        })
    }

    fn describe(&self, taken: &Taken) -> String {
        let mut text = match &self.transfer.file {
            Some(file) => format!("{} layers begin as in {}", taken.layers, file.display()),
            None => "every layer begins anew".into(),
        };
        if self.transfer.file.is_some() && !taken.anew.is_empty() {
            text += &format!(", anew {}", taken.anew.join(", "));
        }
        if taken.frozen > 0 {
            text += &format!("; {} do not learn", taken.frozen);
        }
        text
    }
}

/// Samples that ranges are taken from.
const CALIBRATION: usize = 256;

/// What is said while a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// Nothing.
    Nothing,
    /// A line at the end.
    Stages,
    /// A line for every epoch.
    Epochs,
}

impl Say {
    /// This, or nothing where it is to be quiet.
    pub const fn unless(self, quiet: bool) -> Self {
        if quiet { Self::Nothing } else { self }
    }
}

/// What a network is trained from.
pub struct Stage<'a> {
    pub folder: PathBuf,
    pub name: &'static str,
    pub start: Start<'a>,
    pub settings: &'a Settings,
    /// With its digest.
    pub teacher: Option<(Teacher<'a>, &'a str)>,
    /// The digest of the data.
    pub data: &'a str,
    /// How anomalies are told, if that is what is learnt.
    pub anomaly: Option<&'a Anomaly>,
    /// Where else it is told of, with the project's name.
    pub track: Option<(&'a Track, &'a str)>,
}

/// What lies beside a state.
#[derive(Default, Serialize, Deserialize)]
struct Record {
    digest: String,
    history: History,
    outcome: Option<Outcome>,
}

/// The digest of samples and of their parts.
pub fn digest_of(samples: &Samples, split: &Split) -> String {
    let bytes = |numbers: &mut dyn Iterator<Item = [u8; 4]>| {
        sha256_hex(&numbers.flatten().collect::<Vec<u8>>())
    };
    let background = samples.background.iter();
    let mut background = background.flat_map(|b| b.iter().map(|v| i32::from(*v).to_le_bytes()));
    let parts = format!(
        "{:?} {:?} {:?} {} {} {} {:?} {split:?}",
        samples.task,
        samples.shape,
        samples.classes,
        sha256_hex(&samples.values.to_bytes(0..samples.values.len())),
        bytes(&mut samples.labels.iter().map(|l| l.to_le_bytes())),
        bytes(&mut background),
        samples.front,
    );
    sha256_hex(parts.as_bytes())
}

impl Stage<'_> {
    /// The digest of everything that the stage depends on.
    pub fn digest(&self) -> String {
        let teacher = self.teacher.map(|(_, digest)| digest);
        let start = match self.start {
            Start::Architecture(architecture) => format!("{architecture:?}"),
            Start::Transfer(architecture, begun) => format!("{architecture:?} {}", begun.digest),
            Start::Pruned(_, digest, prune) => format!("{digest} {prune:?}"),
            Start::Integers(_, digest) => digest.to_owned(),
        };
        let parts = format!(
            "{} {start} {:?} {} {teacher:?} {:?}",
            env!("CARGO_PKG_VERSION"),
            self.settings,
            self.data,
            self.anomaly
        );
        sha256_hex(parts.as_bytes())
    }

    fn record(&self) -> PathBuf {
        self.folder.join("record.json")
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state.safetensors")
    }

    /// Trains, resumes, or takes what was trained.
    pub fn run(&self, samples: &Samples, split: &Split, say: Say) -> Result<(Network, Outcome)> {
        let (network, outcome, _) = self.go_on(samples, split, say, None)?;
        outcome
            .map(|outcome| (network, outcome))
            .context("internal: training paused")
    }

    /// Trains up to an epoch, or to the end if that comes first.
    pub fn advance(&self, samples: &Samples, split: &Split, epoch: usize) -> Result<History> {
        let (_, _, history) = self.go_on(samples, split, Say::Nothing, Some(epoch))?;
        Ok(history)
    }

    /// Trains up to an epoch; what it came to if it is at its end then.
    fn go_on(
        &self,
        samples: &Samples,
        split: &Split,
        say: Say,
        until: Option<usize>,
    ) -> Result<(Network, Option<Outcome>, History)> {
        let device = candle_core::Device::Cpu;
        let mut network = match self.start {
            Start::Architecture(architecture) => {
                let (classes, seed) = (samples.classes.len(), self.settings.seed);
                architecture.build(samples.input_shape(), classes, seed, &device)?
            }
            Start::Transfer(architecture, begun) => {
                let (classes, seed) = (samples.classes.len(), self.settings.seed);
                let mut network =
                    architecture.build(samples.input_shape(), classes, seed, &device)?;
                let taken = begun.transfer.apply(&mut network, &begun.found)?;
                if say != Say::Nothing {
                    eprintln!("{}: {}", self.name, begun.describe(&taken));
                }
                network
            }
            Start::Pruned(network, _, prune) => {
                prune.apply(network, samples, &split.train, self.settings.seed)?
            }
            Start::Integers(network, _) => {
                let step = split.train.len().div_ceil(CALIBRATION).max(1);
                let some: Vec<usize> = split.train.iter().copied().step_by(step).collect();
                network.quantized(&samples.plain(&some, &device)?)?
            }
        };
        let digest = self.digest();
        let found = read(&self.record()).filter(|r| r.digest == digest);
        let saved = found.and_then(|r| Some((State::load(&self.state()).ok()?, r)));
        let mut resume = None;
        if let Some((state, record)) = saved {
            if let (Some(outcome), Some(best)) = (record.outcome, &state.best) {
                State::restore_parameters(best, &mut network)?;
                let outcome = Outcome {
                    history: record.history.clone(),
                    up_to_date: true,
                    ..outcome
                };
                return Ok((network, Some(outcome), record.history));
            }
            if until.is_some_and(|epoch| record.history.epochs.len() >= epoch) {
                return Ok((network, None, record.history));
            }
            if say != Say::Nothing {
                eprintln!(
                    "{}: goes on after epoch {} of {}",
                    self.name,
                    record.history.epochs.len(),
                    self.settings.epochs
                );
            }
            resume = Some((state, record.history));
        }
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let goes_on = resume.is_some();
        let tracker = self.track.filter(|(track, _)| !track.is_empty());
        let tracker = tracker.map(|(track, project)| {
            Tracker::begin(
                track,
                (project, self.name),
                &self.folder,
                self.settings,
                goes_on,
            )
        });
        let mut watch = Progress {
            tracker: tracker.transpose()?,
            stage: self,
            bar: output::bar(say == Say::Nothing, 1, self.name),
            say,
            until,
            record: Record {
                digest,
                history: resume.as_ref().map(|(_, h)| h.clone()).unwrap_or_default(),
                outcome: None,
            },
        };
        let data = (samples, &split.train[..], &split.validation[..]);
        let teacher = self.teacher.map(|(teacher, _)| teacher);
        let history = fit(
            &mut network,
            data,
            self.settings,
            teacher,
            resume,
            &mut watch,
        )?;
        watch.bar.finish_and_clear();
        if !self.settings.ends_after(&history) {
            return Ok((network, None, history));
        }
        let outcome = Outcome {
            parameters: network.parameter_count(),
            epochs: history.epochs.len(),
            validation_accuracy: history.best().map_or(0.0, |e| e.validation_accuracy),
            test_accuracy: match self.anomaly {
                Some(anomaly) => anomaly.judge(&network, samples, split)?.found.right,
                None => judge(&network, samples, &split.test)?.accuracy(),
            },
            history: history.clone(),
            up_to_date: false,
        };
        watch.record.outcome = Some(outcome.clone());
        if let Some(tracker) = &watch.tracker {
            tracker.end(outcome.epochs, outcome.test_accuracy);
        }
        write(&self.record(), &watch.record)?;
        for (file, svg) in page::curves(self.name, &outcome.history)? {
            let path = self.folder.join(file);
            write_atomically(&path, svg.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if say == Say::Stages {
            eprintln!(
                "{}: {} parameters, {} epochs in {:.0} s, {:.2} % right",
                self.name,
                outcome.parameters,
                outcome.epochs,
                outcome.history.epochs.last().map_or(0.0, |e| e.seconds),
                f64::from(outcome.test_accuracy) * 100.0
            );
        }
        Ok((network, Some(outcome), history))
    }
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write(path: &Path, record: &Record) -> Result<(), TrainingError> {
    let text = serde_json::to_vec_pretty(record).unwrap_or_default();
    write_atomically(path, &text).map_err(|error| TrainingError::Data(error.to_string()))
}

struct Progress<'a> {
    stage: &'a Stage<'a>,
    bar: ProgressBar,
    say: Say,
    tracker: Option<Tracker>,
    /// The epoch to pause after.
    until: Option<usize>,
    record: Record,
}

impl Watch for Progress<'_> {
    fn until(&self) -> Option<usize> {
        self.until
    }

    fn step(&mut self, epoch: usize, step: usize, steps: usize) {
        self.bar
            .set_length((self.stage.settings.epochs * steps) as u64);
        self.bar.set_position(((epoch - 1) * steps + step) as u64);
    }

    fn epoch(&mut self, epoch: &Epoch, best: bool, state: &State) -> Result<(), TrainingError> {
        self.record.history.epochs.push(*epoch);
        // The state first: a record without its state is not believed.
        state.save(&self.stage.state())?;
        write(&self.stage.record(), &self.record)?;
        if let Some(tracker) = &mut self.tracker {
            tracker.epoch(epoch, self.stage.anomaly.is_none())?;
        }
        if self.say == Say::Epochs {
            let right = match self.stage.anomaly {
                Some(_) => String::new(),
                None => format!(
                    ", {:.2} % right",
                    f64::from(epoch.validation_accuracy) * 100.0
                ),
            };
            self.bar.suspend(|| {
                eprintln!(
                    "{} epoch {:>3}: loss {:.4}, validation {:.4}{right}{}",
                    self.stage.name,
                    epoch.epoch,
                    epoch.train_loss,
                    epoch.validation_loss,
                    if best { " *" } else { "" }
                );
            });
        }
        Ok(())
    }
}
