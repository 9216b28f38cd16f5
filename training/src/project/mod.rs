//! A project: `cygnet.toml`, which says what is trained on what and what it becomes.
mod data;

pub use data::Data;

use crate::anomaly::Anomaly;
use crate::data::{Damaged, Kind, Samples, Split, Task};
use crate::error::TrainingError;
use crate::fit::Settings;
use crate::front::Features;
use crate::model::Architecture;
use crate::prune::Prune;
use crate::search::{Sweep, set};
use crate::transfer::Transfer;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that describes a project.
pub const FILE: &str = "cygnet.toml";
/// The settings that are files or folders, relative to that of the project.
pub const PATHS: [&str; 11] = [
    "data.pictures",
    "data.annotations",
    "data.arrays",
    "data.sounds",
    "data.table",
    "data.images",
    "data.labels",
    "data.background",
    "teacher.file",
    "transfer.file",
    "test.examples.file",
];

/// A project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Name of the model.
    pub name: String,
    /// What it learns from.
    pub data: Data,
    /// What of a sound the network reads.
    pub features: Option<Features>,
    /// How anomalies are told from normal samples, where the model is to do that.
    pub anomaly: Option<Anomaly>,
    /// What it is.
    pub model: Architecture,
    /// What it begins with, and what of it does not learn.
    pub transfer: Option<Transfer>,
    /// How it is trained.
    #[serde(default)]
    pub train: Settings,
    /// What it learns from beside the data.
    pub teacher: Option<Teacher>,
    /// How it is made smaller before that, and trained further.
    pub prune: Option<Prune>,
    /// How it is trained further in the arithmetic of 8-bit integers.
    pub quantize_aware: Option<QuantizeAware>,
    /// What it becomes.
    #[serde(default)]
    pub build: Build,
    /// What `cygnet test` asks of the bundle.
    pub test: Option<Tests>,
    /// Where else training is told of.
    #[serde(default)]
    pub track: Track,
    /// What `cygnet sweep` varies.
    pub sweep: Option<Sweep>,
}

/// A larger network that is trained first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// What it is.
    pub model: Option<Architecture>,
    /// Or a model that is trained already, ONNX or a bundle, which takes what the exported model takes.
    pub file: Option<PathBuf>,
    /// What is taken away from each channel of what `file` reads,
    #[serde(default)]
    pub mean: Vec<f32>,
    /// and what it is divided by after that.
    #[serde(default)]
    pub std: Vec<f32>,
    /// How it is trained.
    #[serde(default)]
    pub train: Settings,
}

impl Teacher {
    /// A model in a file that takes what the exported model takes.
    pub fn of_file(file: PathBuf) -> Self {
        Self {
            model: None,
            file: Some(file),
            mean: Vec::new(),
            std: Vec::new(),
            train: Settings::default(),
        }
    }

    /// What is wrong with it, if anything.
    fn mistake(&self) -> Option<String> {
        if self.model.is_some() == self.file.is_some() {
            return Some("is either a `model` to train or a `file` that holds one".into());
        }
        let scales = self.mean.iter().chain(&self.std);
        if self.file.is_none() && scales.count() > 0 {
            return Some("mean and std are for a `file`".into());
        }
        if self.std.iter().any(|s| *s <= 0.0) {
            return Some(format!("std = {:?}: they are positive", self.std));
        }
        self.model
            .and_then(|m| m.mistake())
            .map(|m| format!("model.{m}"))
    }
}

/// Training in 8-bit integers, after that in floats; what is not here is as in `[train]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizeAware {
    /// Passes over the training samples.
    pub epochs: usize,
    /// Largest learning rate.
    pub rate: f32,
}

impl Default for QuantizeAware {
    fn default() -> Self {
        Self {
            epochs: 8,
            rate: 3e-4,
        }
    }
}

impl QuantizeAware {
    /// The settings of this training where those of the one before are given.
    pub fn settings(&self, train: &Settings) -> Settings {
        Settings {
            epochs: self.epochs,
            rate: self.rate,
            ..train.clone()
        }
    }
}

/// How the model is compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Build {
    /// As `cygnet compile --quantize`.
    pub quantize: String,
    /// As `cygnet compile --target`.
    pub target: String,
    /// Whether the bundle takes a frame of sound at a time and keeps its state.
    pub stream: bool,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            quantize: "int8".into(),
            target: "host".into(),
            stream: false,
        }
    }
}

/// Where else a training is told of while it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Track {
    /// Whether event files for TensorBoard go to the folders of the stages.
    pub tensorboard: bool,
    /// An MLflow server, as `http://127.0.0.1:5000`.
    pub mlflow: Option<String>,
    /// The experiment there, if not the project's name.
    pub experiment: Option<String>,
}

impl Track {
    /// Whether anybody is told.
    pub const fn is_empty(&self) -> bool {
        !self.tensorboard && self.mlflow.is_none()
    }

    /// What is wrong with it, if anything.
    fn mistake(&self) -> Option<String> {
        let server = self.mlflow.as_ref()?;
        (!server.starts_with("http://")).then(|| {
            format!("mlflow = {server:?}: it is an address that begins with http:// (for https, a proxy on this machine)")
        })
    }
}

/// What a bundle has to keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tests {
    /// Least share of right answers on the samples kept back.
    pub accuracy: Option<f32>,
    /// As `accuracy`, of every class.
    pub class_accuracy: Option<f32>,
    /// Largest share that the bundle gets right less than the network of floats.
    pub max_drop: Option<f32>,
    /// Largest arena, as `64K`.
    pub max_ram: Option<String>,
    /// Largest program, as `256K`.
    pub max_flash: Option<String>,
    /// Parts of the samples with a bar of their own.
    pub slices: Vec<Slice>,
    /// Files with the answer they must get.
    pub examples: Vec<Example>,
}

/// Samples of some groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// What it is called.
    pub name: String,
    /// The groups of `[data] group`.
    pub groups: Vec<String>,
    /// Least share of right answers.
    pub accuracy: f32,
}

/// A file and its class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// A picture, a sound or an array.
    pub file: PathBuf,
    /// The answer.
    pub class: String,
    /// Least score of it.
    #[serde(default)]
    pub score: f32,
}

impl Tests {
    /// What is wrong with it, if anything.
    fn mistake(&self) -> Option<String> {
        let bars = [
            ("accuracy", self.accuracy),
            ("class_accuracy", self.class_accuracy),
            ("max_drop", self.max_drop),
        ];
        let slices = self
            .slices
            .iter()
            .map(|s| ("slices.accuracy", Some(s.accuracy)));
        let scores = self
            .examples
            .iter()
            .map(|e| ("examples.score", Some(e.score)));
        for (name, value) in bars.into_iter().chain(slices).chain(scores) {
            if let Some(v) = value.filter(|v| !(0.0..=1.0).contains(v)) {
                return Some(format!("{name} = {v}: it is a share, from 0 to 1"));
            }
        }
        None
    }
}

/// Whether a project may be called so: its files are.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.chars().all(plain)
}

impl Project {
    /// Reads `cygnet.toml` of a folder.
    ///
    /// # Errors
    /// A file that is absent, or wrong: the message names the line.
    pub fn read(folder: &Path) -> Result<Self, TrainingError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                return TrainingError::Project(format!(
                    "{} is not there: run this in a project's folder, or make one with `cygnet new NAME --template TEMPLATE`",
                    path.display()
                ));
            }
            TrainingError::io(&path)(source)
        })?;
        let at = |what: String| TrainingError::Project(format!("{}: {what}", path.display()));
        let project: Self = toml::from_str(&text).map_err(|error| at(error.to_string()))?;
        let project = project.checked().map_err(at)?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| at(error.to_string()))?;
        project.check_sweep(&table).map_err(at)?;
        Ok(project)
    }

    /// The project of a table that has what `cygnet.toml` has.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_table(table: toml::Table) -> Result<Self, TrainingError> {
        let project: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| TrainingError::Project(error.message().to_owned()))?;
        project.checked().map_err(TrainingError::Project)
    }

    /// Tries the project with the ends of what `[sweep]` varies.
    fn check_sweep(&self, table: &toml::Table) -> Result<(), String> {
        let Some(sweep) = &self.sweep else {
            return Ok(());
        };
        if self.anomaly.is_some() {
            return Err(
                "[sweep] chooses by right answers to validation samples, of which [anomaly] has none: take one of them out"
                    .into(),
            );
        }
        if let Some(mistake) = sweep.mistake() {
            return Err(format!("[sweep] {mistake}"));
        }
        for parameter in sweep.parameters()? {
            let path = &parameter.path;
            for value in parameter.range.extremes() {
                let wrong = |what: String| format!("[sweep.space] {path} = {value}: {what}");
                let mut table = table.clone();
                table.remove("sweep");
                set(&mut table, path, value.clone()).map_err(wrong)?;
                Self::of_table(table).map_err(|error| wrong(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// The project, if nothing is wrong with it.
    fn checked(self) -> Result<Self, String> {
        let wrong = |what: String| Err(what);
        if !is_name(&self.name) {
            return wrong(format!(
                "name = {:?}: it has letters, digits, - and _ alone, for the model's files are called so",
                self.name
            ));
        }
        if let Some(mistake) = self.data.mistake() {
            return wrong(format!("[data] {mistake}"));
        }
        if let Some(mistake) = self.model.mistake() {
            return wrong(format!("[model] {mistake}"));
        }
        if let Some(mistake) = self.train.mistake() {
            return wrong(format!("[train] {mistake}"));
        }
        if let Some(mistake) = self.teacher.as_ref().and_then(Teacher::mistake) {
            return wrong(format!("[teacher] {mistake}"));
        }
        if let Some(mistake) = self.teacher.as_ref().and_then(|t| t.train.mistake()) {
            return wrong(format!("[teacher.train] {mistake}"));
        }
        if let Some(mistake) = self.track.mistake() {
            return wrong(format!("[track] {mistake}"));
        }
        if self.build.stream {
            if self.features.is_none() || !matches!(self.model, Architecture::Gru { .. }) {
                return wrong(
                    "[build] stream = true is for sounds with [features] and [model] architecture = \"gru\"".into(),
                );
            }
            if matches!(self.build.quantize.as_str(), "int8" | "int8x16" | "auto") {
                return wrong(format!(
                    "[build] quantize = {:?} takes ranges from whole samples: with stream = true it is none, fp16 or int8-weights",
                    self.build.quantize
                ));
            }
            if self.test.as_ref().is_some_and(|t| !t.examples.is_empty()) {
                return wrong(
                    "[[test.examples]] are whole sounds: leave them out with [build] stream = true"
                        .into(),
                );
            }
        }
        if let Some(prune) = &self.prune {
            let train = prune.settings(&self.train);
            if let Some(mistake) = prune.mistake().or_else(|| train.mistake()) {
                return wrong(format!("[prune] {mistake}"));
            }
        }
        if let Some(aware) = &self.quantize_aware {
            if let Some(mistake) = aware.settings(&self.train).mistake() {
                return wrong(format!("[quantize_aware] {mistake}"));
            }
            if self.build.quantize != "int8" {
                return wrong(format!(
                    "[quantize_aware] trains for [build] quantize = \"int8\", which is {:?} here: change one of them",
                    self.build.quantize
                ));
            }
        }
        if let Some(mistake) = self.test.as_ref().and_then(Tests::mistake) {
            return wrong(format!("[test] {mistake}"));
        }
        let teacher = self.teacher.as_ref().map(|t| &t.train);
        for (section, settings) in [("train", Some(&self.train)), ("teacher.train", teacher)] {
            let kind = self.data.kind();
            let (here, of_anomalies) = match kind {
                Kind::Pictures => ("pictures", "noise"),
                Kind::Sounds => ("sounds", "noise, background, volume"),
                Kind::Rows => ("rows of a table", "noise"),
            };
            if let Some(foreign) = settings.and_then(|s| s.augment.foreign(kind)) {
                return wrong(format!(
                    "[{section}.augment] {foreign} is not for {here}: take it out"
                ));
            }
            let blends = settings.is_some_and(|s| s.augment.mixup > 0.0 || s.augment.cutmix > 0.0);
            if self.anomaly.is_some() && blends {
                return wrong(format!(
                    "[{section}.augment] mixup and cutmix blend classes; with [anomaly] vary by {of_anomalies}"
                ));
            }
        }
        let autoencoder = matches!(self.model, Architecture::Autoencoder { .. });
        if autoencoder != self.anomaly.is_some() {
            return wrong(
                "[model] architecture = \"autoencoder\" and [anomaly] go together: add the other, or take both out"
                    .into(),
            );
        }
        if let Some(anomaly) = &self.anomaly {
            if self.teacher.is_some() || self.quantize_aware.is_some() {
                return wrong(
                    "[teacher] and [quantize_aware] are for classes: take them out with [anomaly]"
                        .into(),
                );
            }
            if !(50.0..=100.0).contains(&anomaly.percentile) {
                return wrong(format!(
                    "[anomaly] percentile = {}: it lies between 50 and 100",
                    anomaly.percentile
                ));
            }
        }
        Ok(self)
    }

    /// Reads the samples of the project in a folder, with the files that could not be read.
    ///
    /// # Errors
    /// Data that are absent, damaged, or described in two ways.
    pub fn samples(&self, folder: &Path) -> Result<(Samples, Damaged), TrainingError> {
        let (mut samples, damaged) = self.data.samples(folder, self.features.as_ref())?;
        if let Some(anomaly) = &self.anomaly {
            let normal = samples.classes.iter().position(|c| *c == anomaly.normal);
            let Some(normal) = normal else {
                return Err(TrainingError::Project(format!(
                    "[anomaly] normal = {:?} is none of the classes: {}",
                    anomaly.normal,
                    samples.classes.join(", ")
                )));
            };
            samples.task = Task::Reconstruction(normal as u32);
        } else if samples.classes.len() < 2 {
            return Err(TrainingError::Data(format!(
                "the samples are of {} class: two are needed at least{}",
                samples.classes.len(),
                match self.data.kind() {
                    Kind::Rows => "; [data] target names the column that holds them",
                    _ => "",
                }
            )));
        }
        Ok((samples, damaged))
    }

    /// Splits the samples; anomalies are test samples, all of them.
    ///
    /// # Errors
    /// Named groups that are not there.
    pub fn split(&self, samples: &Samples) -> Result<Split, TrainingError> {
        let mut split = self.data.split(samples)?;
        if let Task::Reconstruction(normal) = samples.task {
            let parts = [&mut split.train, &mut split.validation];
            let mut anomalies = Vec::new();
            for part in parts {
                part.retain(|&i| {
                    let is_normal = samples.labels[i] == normal;
                    if !is_normal {
                        anomalies.push(i);
                    }
                    is_normal
                });
            }
            split.test.extend(anomalies);
            split.test.sort_unstable();
        }
        Ok(split)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Project, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        Project::read(folder.path()).map_err(|e| e.to_string())
    }

    const GOOD: &str = "name = 'a'\n[data]\npictures = 'p'\nsize = [8, 8]\n[model]\narchitecture = 'tiny'\nchannels = 8\n";

    #[test]
    fn a_project_says_what_is_wrong() {
        assert_eq!(read(GOOD).unwrap().build.quantize, "int8");
        for (text, said) in [
            (
                format!("{GOOD}[train]\nepoch = 3\n"),
                "unknown field `epoch`",
            ),
            (format!("{GOOD}[train]\nrate = -1\n"), "[train] rate = -1"),
            (
                format!("{GOOD}[teacher]\nmean = [0.5]\n"),
                "[teacher] is either a `model`",
            ),
            (
                format!("{GOOD}[quantize_aware]\nrate = -1\n"),
                "[quantize_aware] rate = -1",
            ),
            (
                format!("{GOOD}[quantize_aware]\n[build]\nquantize = 'fp16'\n"),
                "[quantize_aware] trains for",
            ),
            (GOOD.replace("[8, 8]", "[8, 99999]"), "between 1 and 2048"),
            (GOOD.replace("[8, 8]", "[0, 8]"), "between 1 and 2048"),
            (GOOD.replace("'a'", "'../a'"), "name = \"../a\""),
            (GOOD.replace("tiny", "huge"), "unknown variant `huge`"),
            (
                GOOD.replace("size", "test_groups = ['a']\nsize"),
                "need group = ",
            ),
            (format!("{GOOD}[anomaly]\n"), "go together"),
            (
                GOOD.replace("size", "group = 'a'\nsize"),
                "needs one {group}",
            ),
            (
                format!("{GOOD}[train.augment]\ntime_mask = 0.1\n"),
                "[train.augment] time_mask is not for pictures",
            ),
            (
                GOOD.replace("size", "validation = 0.9\nsize"),
                "together below 1",
            ),
        ] {
            let message = read(&text).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
        let folder = tempfile::tempdir().unwrap();
        let absent = Project::read(folder.path()).unwrap_err().to_string();
        assert!(absent.contains("cygnet new"), "{absent}");
    }

    #[test]
    fn data_are_described_in_one_way() {
        let wrong = |text: &str| {
            let project = read(text).unwrap();
            project.samples(Path::new(".")).unwrap_err().to_string()
        };
        let sounds = GOOD.replace("pictures", "sounds");
        for (text, said) in [
            (
                GOOD.replace("size", "images = 'x'\nlabels = 'y'\nsize"),
                "either `pictures`",
            ),
            (
                GOOD.replace("size", "rate = 8000\nsize"),
                "belong to `sounds`",
            ),
            (
                format!("{GOOD}[features]\nbands = 20\n"),
                "name a folder of WAV files",
            ),
            (sounds.clone(), "seconds (of a sound) are missing"),
            (
                GOOD.replace("size", "target = 'x'\nsize"),
                "belong to `table`",
            ),
            (
                format!(
                    "{}[features]\nbands = 9999\n",
                    sounds.replace("size", "rate = 8000\nseconds = 1\nsize")
                ),
                "[features] bands = 9999",
            ),
        ] {
            let message = wrong(&text);
            assert!(message.contains(said), "{message}");
        }
    }
}
