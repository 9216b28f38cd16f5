//! Calibration samples: folders of pictures, sounds or arrays, and `.npz` files with an axis of samples.

use crate::failure::usage;
use crate::feed::{self, Feed};
use crate::media::npy;
use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::bundle::{Array, Manifest, Preprocess, Tensor};
use cygnet_compiler::quantize::Sample;
use std::path::{Path, PathBuf};

/// Files that are samples, by extension.
const EXTENSIONS: [&str; 10] = [
    "png", "jpg", "jpeg", "webp", "bmp", "wav", "npy", "npz", "raw", "bin",
];

/// Sides of pictures are rounded to this when both are free.
const MULTIPLE: usize = 32;

/// Deepest nesting of folders.
const MAX_DEPTH: usize = 8;

/// Reads samples for the inputs of a manifest, at most `limit`, spread evenly over what there is.
pub fn read(
    path: &Path,
    manifest: &Manifest,
    wish: &Preprocess,
    limit: usize,
) -> Result<Vec<Sample>> {
    let shown = path.display();
    if !path.exists() {
        let random = if path == Path::new("random") {
            "; there is no random calibration, for noise has other ranges than data"
        } else {
            ""
        };
        return Err(usage(format!(
            "--calibrate {shown}: there is no such folder or file{random}: give a folder of pictures, sounds or arrays, or an .npz file, that look like what the model will see"
        )));
    }
    let reader = Reader { manifest, wish };
    let samples = if path.is_dir() {
        let mut files = Vec::new();
        list(path, 0, &mut files)?;
        if files.is_empty() {
            bail!(
                "--calibrate {shown}: the folder holds no samples: put files in it that end in .{}",
                EXTENSIONS.join(", .")
            );
        }
        // Arrays may hold many samples, files of other kinds are one sample or one stream.
        let many = files.len() > limit;
        let chosen = spread(files.len(), if many { limit } else { files.len() });
        let mut samples = Vec::new();
        for i in chosen {
            samples.extend(reader.file(&files[i])?);
        }
        samples
    } else {
        reader.file(path)?
    };
    let streams = samples.iter().any(|s| s.continues);
    Ok(if streams {
        some_streams(samples, limit.max(1))
    } else if samples.len() <= limit {
        samples
    } else {
        let keep = spread(samples.len(), limit);
        let mut samples: Vec<Option<Sample>> = samples.into_iter().map(Some).collect();
        keep.into_iter().filter_map(|i| samples[i].take()).collect()
    })
}

/// Whole streams, evenly spread, with at most so many samples; of one that is longer its beginning.
fn some_streams(samples: Vec<Sample>, limit: usize) -> Vec<Sample> {
    let all = samples.len();
    let mut streams: Vec<Vec<Sample>> = Vec::new();
    for sample in samples {
        match streams.last_mut() {
            Some(stream) if sample.continues => stream.push(sample),
            _ => streams.push(vec![sample]),
        }
    }
    let count = (streams.len() * limit / all.max(1)).clamp(1, streams.len());
    let chosen = spread(streams.len(), count);
    let chosen = chosen
        .into_iter()
        .flat_map(|i| std::mem::take(&mut streams[i]));
    chosen.take(limit).collect()
}

/// `count` of `all` indices, evenly spread.
fn spread(all: usize, count: usize) -> Vec<usize> {
    (0..count).map(|i| i * all / count.max(1)).collect()
}

pub fn extension(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Files that are samples, in the order of their names.
fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let mut entries = std::fs::read_dir(folder)
        .with_context(cannot)?
        .map(|e| Ok(e?.path()))
        .collect::<Result<Vec<PathBuf>>>()
        .with_context(cannot)?;
    entries.sort();
    for path in entries {
        if path.is_dir() && depth < MAX_DEPTH {
            list(&path, depth + 1, files)?;
        } else if EXTENSIONS.contains(&extension(&path).as_str()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The samples of one file.
pub fn file(path: &Path, manifest: &Manifest, wish: &Preprocess) -> Result<Vec<Sample>> {
    if !path.exists() {
        bail!("cannot read {}: there is no such file", path.display());
    }
    Reader { manifest, wish }.file(path)
}

/// The files of a folder that are samples, in the order of their names.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    list(folder, 0, &mut files)?;
    Ok(files)
}

/// The samples of named arrays: one for each input, each with an axis of samples.
pub fn columns(
    arrays: Vec<(String, Array)>,
    shown: &str,
    manifest: &Manifest,
    wish: &Preprocess,
) -> Result<Vec<Sample>> {
    Reader { manifest, wish }.columns(arrays, shown)
}

struct Reader<'a> {
    manifest: &'a Manifest,
    wish: &'a Preprocess,
}

impl Reader<'_> {
    /// Whether a sample of a file continues the one before: those of a model with states are frames of one stream.
    fn continues(&self, sample: usize) -> bool {
        sample > 0 && !self.manifest.states.is_empty()
    }

    /// The one input of the model.
    fn only(&self, path: &Path) -> Result<&Tensor> {
        match &self.manifest.inputs[..] {
            [one] => Ok(one),
            [] => bail!("the model has no inputs: nothing calibrates it"),
            many => {
                let names: Vec<&str> = many.iter().map(|t| t.name.as_str()).collect();
                bail!(
                    "{} cannot feed {} inputs: give .npz files with an array for each of {}",
                    path.display(),
                    many.len(),
                    names.join(", ")
                )
            }
        }
    }

    /// The samples of a file.
    fn file(&self, path: &Path) -> Result<Vec<Sample>> {
        let shown = path.display().to_string();
        let alone = |array: Array, name: String, continues: bool| Sample {
            name,
            inputs: vec![array],
            continues,
        };
        match extension(path).as_str() {
            "npz" => self.arrays(path, &shown),
            "npy" => {
                let tensor = self.only(path)?;
                let rows = self.rows(npy::read(path)?, tensor, &shown)?;
                let many = rows.len() > 1;
                let name = |i| {
                    if many {
                        format!("{shown}[{i}]")
                    } else {
                        shown.clone()
                    }
                };
                let rows = rows.into_iter().enumerate();
                let sample = |(i, row)| alone(row, name(i), self.continues(i));
                Ok(rows.map(sample).collect())
            }
            ext if EXTENSIONS.contains(&ext) => {
                let tensor = self.only(path)?;
                match feed::read_one(&shown, path, tensor, self.manifest, self.wish, MULTIPLE)? {
                    Feed::Array(array) | Feed::Picture(array, _) => {
                        Ok(vec![alone(array, shown, false)])
                    }
                    Feed::Sound(samples, _) => {
                        let frames = self.frames(&samples, tensor, &shown)?;
                        let frames = frames.into_iter().enumerate();
                        let sample = |(i, f)| alone(f, format!("{shown}, frame {i}"), i > 0);
                        Ok(frames.map(sample).collect())
                    }
                    Feed::Frames(_) => bail!("{shown}: only .npy files hold frames"),
                }
            }
            _ => Err(usage(format!(
                "--calibrate {shown}: give a folder, or a file that ends in .{}",
                EXTENSIONS.join(", .")
            ))),
        }
    }

    /// A sound cut into frames of the input's length, the last filled up with silence.
    fn frames(&self, samples: &[f32], tensor: &Tensor, shown: &str) -> Result<Vec<Array>> {
        let Some(&(low, high)) = feed::bounds(tensor, self.manifest).last() else {
            bail!("{shown}: input `{}` is a number, not a sound", tensor.name);
        };
        let length = samples.len().clamp(low, high).max(1);
        let frame = |chunk: &[f32]| {
            let mut frame = chunk.to_vec();
            frame.resize(length, 0.0);
            feed::check(
                Array::from_f32(&[length], &frame),
                tensor,
                self.manifest,
                shown,
            )
        };
        samples.chunks(length).map(frame).collect()
    }

    /// The samples of an `.npz` file: an array for each input, each with an axis of samples or each one sample.
    fn arrays(&self, path: &Path, shown: &str) -> Result<Vec<Sample>> {
        self.columns(npy::read_npz(path)?, shown)
    }

    fn columns(&self, mut arrays: Vec<(String, Array)>, shown: &str) -> Result<Vec<Sample>> {
        let inputs = &self.manifest.inputs;
        let mut columns: Vec<Vec<Array>> = Vec::new();
        for tensor in inputs {
            let at = match arrays.iter().position(|(name, _)| *name == tensor.name) {
                // One array for one input needs no name.
                None if inputs.len() == 1 && arrays.len() == 1 => 0,
                None => {
                    let names: Vec<&str> = arrays.iter().map(|(n, _)| n.as_str()).collect();
                    bail!(
                        "{shown} holds no array `{}` (it holds {}): name an array like each input",
                        tensor.name,
                        names.join(", ")
                    );
                }
                Some(at) => at,
            };
            let (name, array) = arrays.swap_remove(at);
            columns.push(self.rows(array, tensor, &format!("{shown}, array `{name}`"))?);
        }
        let count = columns.first().map_or(0, Vec::len);
        if let Some(i) = columns.iter().position(|c| c.len() != count) {
            bail!(
                "{shown}: array `{}` holds {} samples, `{}` {count}: all arrays need as many",
                inputs[i].name,
                columns[i].len(),
                inputs[0].name
            );
        }
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        let sample = |i| {
            let inputs: Option<Vec<Array>> = columns.iter_mut().map(Iterator::next).collect();
            let inputs = inputs.ok_or_else(|| anyhow!("{shown}: sample {i} is not whole"))?;
            Ok(Sample {
                name: format!("{shown}[{i}]"),
                inputs,
                continues: self.continues(i),
            })
        };
        (0..count).map(sample).collect()
    }

    /// The samples in an array: itself if it fits the input, else along its first axis.
    fn rows(&self, array: Array, tensor: &Tensor, what: &str) -> Result<Vec<Array>> {
        let limits = feed::bounds(tensor, self.manifest);
        let count = array.shape.first().copied().unwrap_or(0);
        // Leading axes of length 1 may be left out, as everywhere.
        let fits = |shape: &[usize]| {
            let missing = limits.len().checked_sub(shape.len());
            missing.is_some_and(|n| {
                let (absent, present) = limits.split_at(n);
                let inside = |(d, l): (&usize, &(usize, usize))| (l.0..=l.1).contains(d);
                absent.iter().all(|l| l.0 <= 1) && shape.iter().zip(present).all(inside)
            })
        };
        let rows = array.shape.len() > 1 || array.shape.get(1..).is_some_and(fits);
        if fits(&array.shape) || !rows {
            return Ok(vec![feed::check(array, tensor, self.manifest, what)?]);
        }
        let shape = array.shape[1..].to_vec();
        let size = array.data.len().checked_div(count).unwrap_or(0);
        if size == 0 {
            bail!("{what} is empty (shape {:?})", array.shape);
        }
        let row = |(i, data): (usize, &[u8])| {
            let what = format!("{what}, sample {i}");
            let row = Array::new(array.dtype, shape.clone(), data.to_vec())
                .with_context(|| format!("{what} does not fit its shape"))?;
            feed::check(row, tensor, self.manifest, &what)
        };
        array.data.chunks(size).enumerate().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_compiler::bundle::Length;

    fn manifest(shape: &[u64]) -> Manifest {
        Manifest {
            inputs: vec![Tensor {
                name: "x".into(),
                dtype: "f32".into(),
                shape: shape.iter().map(|&d| Length::Fixed(d)).collect(),
                max_shape: shape.to_vec(),
                declared: None,
            }],
            ..Default::default()
        }
    }

    fn rows(input: &[u64], array: &[usize]) -> Result<Vec<Vec<usize>>> {
        let manifest = manifest(input);
        let wish = Preprocess::default();
        let reader = Reader {
            manifest: &manifest,
            wish: &wish,
        };
        let values = vec![0.5; array.iter().product()];
        let array = Array::from_f32(array, &values);
        let rows = reader.rows(array, &manifest.inputs[0], "a.npy")?;
        Ok(rows.into_iter().map(|a| a.shape).collect())
    }

    #[test]
    fn samples_lie_along_an_axis_of_their_own() {
        let three = vec![vec![1, 4]; 3];
        assert_eq!(rows(&[1, 4], &[3, 1, 4]).unwrap(), three);
        assert_eq!(rows(&[1, 4], &[3, 4]).unwrap(), three);
        assert_eq!(rows(&[1, 4], &[1, 4]).unwrap(), [[1, 4]]);
        assert_eq!(rows(&[1, 4], &[4]).unwrap(), [[1, 4]]);
        assert_eq!(rows(&[4], &[3, 4]).unwrap(), vec![vec![4]; 3]);
        let text = rows(&[1, 4], &[3, 5]).unwrap_err().to_string();
        assert!(
            text.contains("a.npy, sample 0") && text.contains("[1,4]"),
            "{text}"
        );
        assert!(rows(&[1, 4], &[0, 1, 4]).is_err());
    }

    #[test]
    fn chosen_files_are_spread() {
        assert_eq!(spread(10, 3), [0, 3, 6]);
        assert_eq!(spread(3, 3), [0, 1, 2]);
        assert!(spread(0, 0).is_empty());
    }
}
