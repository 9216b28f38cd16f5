//! What a project learns from.
use crate::data::{
    Columns, Damaged, Kind, Named, Pattern, Recording, Samples, Shares, Split, read_annotated,
    read_idx, read_npy, read_npz, read_pictures, read_sounds, read_table,
};
use crate::error::TrainingError;
use crate::front::{Features, Front, Spectrum};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Labelled pictures, sounds or rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// A folder with a folder of pictures for each class, or with the pictures that `annotations` names.
    pub pictures: Option<PathBuf>,
    /// An export of COCO's format or of Label Studio (as JSON) that says what is in the pictures.
    pub annotations: Option<PathBuf>,
    /// Whether each box of the annotations is a sample, or each picture.
    #[serde(default)]
    pub crops: bool,
    /// A NumPy file `.npz` with the arrays `x` and `y`.
    pub arrays: Option<PathBuf>,
    /// A folder with a folder of WAV files for each class.
    pub sounds: Option<PathBuf>,
    /// A CSV file with a sample in each row.
    pub table: Option<PathBuf>,
    /// The column of the table that holds the classes.
    pub target: Option<String>,
    /// Columns of the table that hold categories, with the categories; `[]` means those that the file has. All others hold
    /// numbers.
    #[serde(default)]
    pub categories: BTreeMap<String, Vec<String>>,
    /// Columns of the table that are left out.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// An IDX or `.npy` file of pictures,
    pub images: Option<PathBuf>,
    /// and the one of their labels.
    pub labels: Option<PathBuf>,
    /// Height and width that pictures are resized to; IDX files have their own.
    pub size: Option<[usize; 2]>,
    /// 1 (grey) or 3 (colour).
    #[serde(default = "three")]
    pub channels: usize,
    /// Samples a second that sounds are resampled to.
    pub rate: Option<u32>,
    /// Seconds of a sound.
    pub seconds: Option<f32>,
    /// A folder of WAV files to mix in.
    pub background: Option<PathBuf>,
    /// Which part of a file's name is its group, such as the speaker: a group lies in one part of the split.
    pub group: Option<Pattern>,
    /// The groups of the validation samples, in place of a share,
    #[serde(default)]
    pub validation_groups: Vec<String>,
    /// and those of the test samples.
    #[serde(default)]
    pub test_groups: Vec<String>,
    /// Share of the samples that the best state is chosen by.
    #[serde(default = "share")]
    pub validation: f32,
    /// Share of the samples that the reported figures come from.
    #[serde(default = "share")]
    pub test: f32,
    /// Whether a sample that cannot be read ends the run, or is listed and left out.
    #[serde(default)]
    pub refuse_damaged: bool,
}

/// Largest side of the pictures that a network is trained on.
const MAX_SIDE: usize = 2048;
/// Longest sound that a network is trained on, in samples.
const MAX_LENGTH: f64 = 4_000_000.0;

const fn three() -> usize {
    3
}

const fn share() -> f32 {
    0.15
}

impl Data {
    /// What the samples are.
    pub(super) const fn kind(&self) -> Kind {
        match (&self.table, &self.sounds) {
            (Some(_), _) => Kind::Rows,
            (None, Some(_)) => Kind::Sounds,
            _ => Kind::Pictures,
        }
    }

    /// What is wrong with the description, if anything.
    pub(super) fn mistake(&self) -> Option<String> {
        let sides = self.size.unwrap_or([1, 1]);
        if sides.iter().any(|side| !(1..=MAX_SIDE).contains(side)) {
            return Some(format!(
                "size = {sides:?}: height and width lie between 1 and {MAX_SIDE}"
            ));
        }
        let (validation, test) = (self.validation, self.test);
        if !(validation > 0.0 && test > 0.0 && validation + test < 1.0) {
            return Some(format!(
                "validation = {validation} and test = {test}: both are above 0 and together below 1"
            ));
        }
        let named = !self.validation_groups.is_empty() || !self.test_groups.is_empty();
        if named && self.group.is_none() {
            return Some(
                "validation_groups and test_groups need group = \"PATTERN\", which says what the groups are"
                    .into(),
            );
        }
        None
    }

    /// Reads the samples of a project's folder, with the files that could not be read.
    ///
    /// # Errors
    /// Data that are absent, damaged, or described in two ways.
    pub(super) fn samples(
        &self,
        folder: &Path,
        features: Option<&Features>,
    ) -> Result<(Samples, Damaged), TrainingError> {
        let wrong = |what: &str| Err(TrainingError::Project(format!("[data] {what}")));
        if self.sounds.is_none() {
            if features.is_some() {
                return wrong(
                    "sounds is missing, of which [features] are made: name a folder of WAV files",
                );
            }
            if self.background.is_some() || self.rate.is_some() || self.seconds.is_some() {
                return wrong("rate, seconds and background belong to `sounds`");
            }
            if self.group.is_some() {
                return wrong("group belongs to `sounds`");
            }
        }
        if self.table.is_none()
            && (self.target.is_some() || !self.categories.is_empty() || !self.ignore.is_empty())
        {
            return wrong("target, categories and ignore belong to `table`");
        }
        if self.annotations.is_none() && self.crops {
            return wrong(
                "crops = true needs annotations = \"FILE\", which says where the boxes are",
            );
        }
        if self.annotations.is_some() && self.pictures.is_none() {
            return wrong("annotations need pictures = \"FOLDER\", in which the pictures are");
        }
        if self.pictures.is_some() && !matches!(self.channels, 1 | 3) {
            return wrong("channels is 1 (grey) or 3 (colour)");
        }
        let idx = self.images.as_ref().zip(self.labels.as_ref());
        let alone = self.images.is_some() != self.labels.is_some();
        let others = (&self.sounds, &self.table, &self.arrays);
        let (samples, damaged) = match (&self.pictures, others, idx) {
            _ if alone => return wrong("`images` and `labels` (IDX or .npy files) go together"),
            (None, (None, None, Some(arrays)), None) => {
                (read_npz(&folder.join(arrays))?, Damaged::new())
            }
            (None, (None, Some(table), None), None) => {
                let columns = Columns {
                    target: self.target.as_deref(),
                    categories: &self.categories,
                    ignore: &self.ignore,
                };
                read_table(&folder.join(table), &columns)?
            }
            (Some(pictures), (None, None, None), None) => {
                let Some([h, w]) = self.size else {
                    return wrong("size = [height, width] is missing: pictures are resized to it");
                };
                let (pictures, shape) = (folder.join(pictures), [h, w, self.channels]);
                match &self.annotations {
                    None => read_pictures(&pictures, shape)?,
                    Some(export) => {
                        read_annotated(&folder.join(export), &pictures, shape, self.crops)?
                    }
                }
            }
            (None, (Some(sounds), None, None), None) => self.sounds(folder, sounds, features)?,
            (None, (None, None, None), Some((images, labels))) => {
                let numpy = images.extension().is_some_and(|e| e == "npy");
                let read = if numpy { read_npy } else { read_idx };
                let samples = read(&folder.join(images), &folder.join(labels))?;
                (samples, Damaged::new())
            }
            _ => {
                return wrong(
                    "name either `pictures` or `sounds` (a folder with a folder for each class), or `table` (a CSV file), or `arrays` (an .npz file), or `images` and `labels` (IDX or .npy files)",
                );
            }
        };
        if let (true, Some((file, why))) = (self.refuse_damaged, damaged.first()) {
            return Err(TrainingError::Data(format!(
                "{} of the samples cannot be read, the first {}: {why}",
                damaged.len(),
                file.display()
            )));
        }
        Ok((samples, damaged))
    }

    fn sounds(
        &self,
        folder: &Path,
        sounds: &Path,
        features: Option<&Features>,
    ) -> Result<(Samples, Damaged), TrainingError> {
        let wrong = |what: String| Err(TrainingError::Project(what));
        let (Some(rate), Some(seconds)) = (self.rate, self.seconds) else {
            return wrong(
                "[data] rate (samples a second, such as 16000) and seconds (of a sound) are missing"
                    .into(),
            );
        };
        let length = (f64::from(seconds) * f64::from(rate)).round();
        if !(1_000..=768_000).contains(&rate) || !(2.0..=MAX_LENGTH).contains(&length) {
            return wrong(format!(
                "[data] rate = {rate} and seconds = {seconds}: a rate is 1000 to 768000, and a sound has at most {MAX_LENGTH} samples"
            ));
        }
        let background = self.background.as_ref().map(|b| folder.join(b));
        let recording = Recording {
            rate,
            length: length as usize,
            group: self.group.as_ref(),
            background: background.as_deref(),
        };
        let default = Features::default();
        let spectrum = match Spectrum::new(features.unwrap_or(&default), rate, recording.length) {
            Ok(spectrum) => spectrum,
            Err(mistake) => return wrong(format!("[features] {mistake}")),
        };
        let (mut samples, damaged) = read_sounds(&folder.join(sounds), &recording)?;
        samples.front = Front::Spectrum(spectrum);
        Ok((samples, damaged))
    }

    /// Splits the samples, by group where there are groups.
    ///
    /// # Errors
    /// Named groups that are not there.
    pub fn split(&self, samples: &Samples) -> Result<Split, TrainingError> {
        let shares = Shares {
            validation: self.validation,
            test: self.test,
        };
        if samples.groups.is_empty() {
            return Ok(Split::by_content(samples, shares));
        }
        let named = Named {
            validation: &self.validation_groups,
            test: &self.test_groups,
        };
        Split::by_group(samples, shares, named)
    }
}
