//! A project: `cygnet.toml`, which says what is trained on what and what it becomes.
use crate::data::{Samples, Shares, read_idx, read_pictures};
use crate::error::TrainingError;
use crate::fit::Settings;
use crate::model::Architecture;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that describes a project.
pub const FILE: &str = "cygnet.toml";

/// A project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Name of the model.
    pub name: String,
    /// What it learns from.
    pub data: Data,
    /// What it is.
    pub model: Architecture,
    /// How it is trained.
    #[serde(default)]
    pub train: Settings,
    /// What it learns from beside the data.
    pub teacher: Option<Teacher>,
    /// How it is trained further in the arithmetic of 8-bit integers.
    pub quantize_aware: Option<QuantizeAware>,
    /// What it becomes.
    #[serde(default)]
    pub build: Build,
}

/// Labelled pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// A folder with a folder of pictures for each class.
    pub pictures: Option<PathBuf>,
    /// An IDX file of pictures,
    pub images: Option<PathBuf>,
    /// and the one of their labels.
    pub labels: Option<PathBuf>,
    /// Height and width that pictures are resized to; IDX files have their own.
    pub size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (colour).
    #[serde(default = "three")]
    pub channels: usize,
    /// Share of the samples that the best state is chosen by.
    #[serde(default = "share")]
    pub validation: f32,
    /// Share of the samples that the reported figures come from.
    #[serde(default = "share")]
    pub test: f32,
    /// Whether a picture that cannot be read ends the run, or is listed and left out.
    #[serde(default)]
    pub refuse_damaged: bool,
}

/// Largest side of the pictures that a network is trained on.
const MAX_SIDE: usize = 2048;

const fn three() -> usize {
    3
}

const fn share() -> f32 {
    0.15
}

/// A larger network that is trained first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// What it is.
    pub model: Architecture,
    /// How it is trained.
    #[serde(default)]
    pub train: Settings,
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
}

impl Default for Build {
    fn default() -> Self {
        Self {
            quantize: "int8".into(),
            target: "host".into(),
        }
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
                    "{} is not there: run this in a project's folder, or make one with `cygnet new NAME --template image-classification`",
                    path.display()
                ));
            }
            TrainingError::io(&path)(source)
        })?;
        let project: Self = toml::from_str(&text)
            .map_err(|error| TrainingError::Project(format!("{}: {error}", path.display())))?;
        let wrong = |what: String| {
            Err(TrainingError::Project(format!(
                "{}: {what}",
                path.display()
            )))
        };
        if !is_name(&project.name) {
            return wrong(format!(
                "name = {:?}: it has letters, digits, - and _ alone, for the model's files are called so",
                project.name
            ));
        }
        let sides = project.data.size.unwrap_or([1, 1]);
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return wrong(format!(
                "[data] size = {sides:?}: height and width lie between 1 and {MAX_SIDE}"
            ));
        }
        if let Some(mistake) = project.train.mistake() {
            return wrong(format!("[train] {mistake}"));
        }
        if let Some(mistake) = project.teacher.as_ref().and_then(|t| t.train.mistake()) {
            return wrong(format!("[teacher.train] {mistake}"));
        }
        if let Some(aware) = &project.quantize_aware {
            if let Some(mistake) = aware.settings(&project.train).mistake() {
                return wrong(format!("[quantize_aware] {mistake}"));
            }
            if project.build.quantize != "int8" {
                return wrong(format!(
                    "[quantize_aware] trains for [build] quantize = \"int8\", which is {:?} here: change one of them",
                    project.build.quantize
                ));
            }
        }
        let (validation, test) = (project.data.validation, project.data.test);
        if !(validation > 0.0 && test > 0.0 && validation + test < 1.0) {
            return wrong(format!(
                "[data] validation = {validation} and test = {test}: both are above 0 and together below 1"
            ));
        }
        Ok(project)
    }
}

impl Data {
    /// Reads the samples of a project's folder, with the files that could not be read.
    ///
    /// # Errors
    /// Data that are absent, damaged, or described in two ways.
    pub fn samples(
        &self,
        folder: &Path,
    ) -> Result<(Samples, Vec<(PathBuf, String)>), TrainingError> {
        let wrong = |what: &str| Err(TrainingError::Project(format!("[data] {what}")));
        match (&self.pictures, &self.images, &self.labels) {
            (Some(pictures), None, None) => {
                let Some([h, w]) = self.size else {
                    return wrong("size = [height, width] is missing: pictures are resized to it");
                };
                let (samples, damaged) =
                    read_pictures(&folder.join(pictures), [h, w, self.channels])?;
                if let (true, Some((file, why))) = (self.refuse_damaged, damaged.first()) {
                    return Err(TrainingError::Data(format!(
                        "{} of the pictures cannot be read, the first {}: {why}",
                        damaged.len(),
                        file.display()
                    )));
                }
                Ok((samples, damaged))
            }
            (None, Some(images), Some(labels)) => {
                let samples = read_idx(&folder.join(images), &folder.join(labels))?;
                Ok((samples, Vec::new()))
            }
            _ => wrong(
                "name either `pictures` (a folder with a folder for each class) or `images` and `labels` (IDX files)",
            ),
        }
    }

    /// The shares of the split.
    pub const fn shares(&self) -> Shares {
        Shares {
            validation: self.validation,
            test: self.test,
        }
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
        let mut data = read(GOOD).unwrap().data;
        data.images = Some("x".into());
        let message = data.samples(Path::new(".")).unwrap_err().to_string();
        assert!(message.contains("either `pictures`"), "{message}");
    }
}
