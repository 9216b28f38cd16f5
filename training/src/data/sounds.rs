//! A folder of sounds: a folder a class.
use super::folder::{Labelled, labelled, nothing, with_extension};
use super::wav::{Sound, decode, resample};
use super::{Damaged, Pattern, Samples, Values};
use crate::error::TrainingError;
use rayon::prelude::*;
use std::path::Path;

/// Files that are sounds.
const EXTENSIONS: [&str; 1] = ["wav"];

/// How sounds are read.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// Samples a second; files of other rates are resampled.
    pub rate: u32,
    /// Samples of a sound: silence fills up behind a shorter one, of a longer one the loudest part is taken.
    pub length: usize,
    /// What part of a file's name is its group.
    pub group: Option<&'a Pattern>,
    /// A folder of sounds to mix in, which is no class.
    pub background: Option<&'a Path>,
}

/// Reads `folder/CLASS/*.wav`; with the files that could not be read, and why.
///
/// # Errors
/// A folder that cannot be read, without two classes, or of which no sound can be read; names without a group.
pub fn read_sounds(
    folder: &Path,
    recording: &Recording<'_>,
) -> Result<(Samples, Damaged), TrainingError> {
    let Labelled { classes, files } =
        labelled(folder, &EXTENSIONS, "WAV files", recording.background)?;
    let mut groups = Vec::new();
    if let Some(pattern) = recording.group {
        for (file, _) in &files {
            let stem = file.file_stem().map(|s| s.to_string_lossy());
            let stem = stem.unwrap_or_default();
            let Some(group) = pattern.group(&stem) else {
                return Err(TrainingError::Data(format!(
                    "{}: the name has no group by [data] group = \"{}\": rename the file, or mend the pattern",
                    file.display(),
                    pattern.text()
                )));
            };
            groups.push(group.to_owned());
        }
    }
    let read: Vec<_> = files
        .par_iter()
        .map(|(file, label)| {
            let sound = decode(file).map(|s| fitted(resample(s, recording.rate), recording.length));
            (file, *label, sound)
        })
        .collect();
    let mut samples = Samples {
        shape: [1, recording.length, 1],
        classes,
        ..Samples::default()
    };
    let mut values = Vec::new();
    let mut damaged = Damaged::new();
    for (i, (file, label, sound)) in read.into_iter().enumerate() {
        match sound {
            Ok(sound) => {
                values.extend(sound);
                samples.labels.push(label);
                samples.groups.extend(groups.get(i).cloned());
            }
            Err(why) => damaged.push((file.clone(), why)),
        }
    }
    if samples.is_empty() {
        return Err(nothing(folder, "sound", &EXTENSIONS, &damaged));
    }
    samples.values = Values::Sound(values);
    if let Some(folder) = recording.background {
        for file in with_extension(folder, &EXTENSIONS)? {
            match decode(&file).map(|s| integers(&resample(s, recording.rate).samples)) {
                Ok(sound) if sound.is_empty() => {
                    damaged.push((file, "the file holds no samples".into()));
                }
                Ok(sound) => samples.background.push(sound),
                Err(why) => damaged.push((file, why)),
            }
        }
        if samples.background.is_empty() {
            return Err(nothing(folder, "sound", &EXTENSIONS, &damaged));
        }
    }
    Ok((samples, damaged))
}

fn integers(sound: &[f32]) -> Vec<i16> {
    let integer = |v: &f32| (v * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
    sound.iter().map(integer).collect()
}

/// Exactly `length` samples of a sound.
fn fitted(sound: Sound, length: usize) -> Vec<i16> {
    let mut all = integers(&sound.samples);
    if all.len() > length {
        let from = loudest(&all, length);
        all.drain(..from);
    }
    all.resize(length, 0);
    all
}

/// Where the loudest `length` samples begin.
fn loudest(sound: &[i16], length: usize) -> usize {
    let power = |v: &i16| u64::from(v.unsigned_abs()).pow(2);
    let mut sum: u64 = sound[..length].iter().map(power).sum();
    let (mut best, mut most) = (0, sum);
    for from in 1..=sound.len() - length {
        sum = sum + power(&sound[from + length - 1]) - power(&sound[from - 1]);
        if sum > most {
            (best, most) = (from, sum);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn write(path: &Path, rate: u32, channels: u16, samples: &[i16]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for s in samples {
            writer.write_sample(*s).unwrap();
        }
        writer.finalize().unwrap();
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        write(&path.join("yes/anna_1.wav"), 8000, 1, &[1000; 50]);
        // Two channels, of which one is silent.
        let stereo: Vec<i16> = (0..400)
            .map(|i| if i % 2 == 0 { 2000 } else { 0 })
            .collect();
        write(&path.join("yes/ben_1.wav"), 8000, 2, &stereo);
        write(&path.join("no/anna_1.wav"), 16_000, 1, &[-3000; 200]);
        write(&path.join("noise/hum.wav"), 8000, 1, &[5; 30]);
        (folder, path)
    }

    fn recording(length: usize) -> Recording<'static> {
        Recording {
            rate: 8000,
            length,
            group: None,
            background: None,
        }
    }

    #[test]
    fn sounds_become_mono_of_one_rate_and_length() {
        let (_kept, path) = folder();
        std::fs::write(path.join("no/broken.wav"), "no sound").unwrap();
        let pattern = Pattern::try_from("{group}_*".to_owned()).unwrap();
        // The damaged file needs a group as well.
        std::fs::rename(path.join("no/broken.wav"), path.join("no/carl_1.wav")).unwrap();
        let noise = path.join("noise");
        let wanted = Recording {
            group: Some(&pattern),
            background: Some(&noise),
            ..recording(100)
        };
        let (samples, damaged) = read_sounds(&path, &wanted).unwrap();
        assert_eq!(samples.classes, ["no", "yes"]);
        assert_eq!(samples.labels, [0, 1, 1]);
        assert_eq!(samples.groups, ["anna", "anna", "ben"]);
        assert_eq!(samples.background, [vec![5; 30]]);
        let Values::Sound(values) = &samples.values else {
            panic!("sounds are integers");
        };
        assert_eq!(values.len(), 300);
        assert!(values[..100].iter().all(|v| (v + 3000).abs() <= 2));
        assert!(values[100..150].iter().all(|v| *v == 1000));
        assert!(values[150..200].iter().all(|v| *v == 0));
        assert!(values[200..].iter().all(|v| *v == 1000));
        assert!(damaged[0].0.ends_with("no/carl_1.wav"), "{damaged:?}");
        assert!(damaged[0].1.contains("no readable WAV"), "{damaged:?}");
    }

    #[test]
    fn names_without_a_group_are_refused() {
        let (_kept, path) = folder();
        let pattern = Pattern::try_from("{group}-*".to_owned()).unwrap();
        let wanted = Recording {
            group: Some(&pattern),
            ..recording(100)
        };
        let message = read_sounds(&path, &wanted).unwrap_err().to_string();
        assert!(
            message.contains("anna_1.wav") && message.contains("{group}-*"),
            "{message}"
        );
    }

    #[test]
    fn the_loudest_part_is_taken() {
        let mut sound = vec![1i16; 100];
        sound[60..70].fill(900);
        assert_eq!(loudest(&sound, 10), 60);
        assert_eq!(loudest(&sound, 100), 0);
    }
}
