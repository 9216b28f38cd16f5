//! What users write after `--input` becomes arrays.

use crate::args::Media;
use crate::failure::usage;
use crate::media::{npy, picture, sound};
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{Array, Manifest, Preprocess, Tensor, picture_input};
use cygnet_format::DType;
use cygnet_sdk::Axis;
use std::path::{Path, PathBuf};

/// A feed for one input.
pub enum Feed {
    /// An array.
    Array(Array),
    /// A picture and the size of the original (width, height), for boxes.
    Picture(Array, (u32, u32)),
    /// A sound, to be cut into frames or used whole.
    Sound(Vec<f32>, u32),
    /// Arrays, to be fed one after the other.
    Frames(Vec<Array>),
}

/// The flags laid over what the manifest says.
pub fn wish(media: &Media, recorded: Option<&Preprocess>) -> Preprocess {
    let mut wish = recorded.cloned().unwrap_or_default();
    let fit = [
        (media.resize, "stretch"),
        (media.letterbox, "letterbox"),
        (media.centre, "centre"),
        (media.crop, "crop"),
    ];
    if let Some((_, name)) = fit.iter().find(|(given, _)| *given) {
        wish.fit = Some((*name).to_owned());
    }
    wish.fill = media.fill.or(wish.fill);
    wish.scale = media.scale.or(wish.scale);
    if !media.mean.is_empty() {
        wish.mean = media.mean.clone();
    }
    if !media.std.is_empty() {
        wish.std = media.std.clone();
    }
    wish.channel_order = media.channel_order.clone().or(wish.channel_order);
    wish.layout = media.layout.clone().or(wish.layout);
    wish.sample_rate = media.sample_rate.or(wish.sample_rate);
    wish
}

/// The bounds of every axis of an input.
pub fn bounds(tensor: &Tensor, manifest: &Manifest) -> Vec<(usize, usize)> {
    use cygnet_compiler::bundle::Length;
    tensor
        .shape
        .iter()
        .zip(&tensor.max_shape)
        .map(|(length, &max)| match length {
            Length::Fixed(v) => (*v as usize, *v as usize),
            Length::Symbolic(name) => {
                let lo = manifest
                    .symbols
                    .iter()
                    .find(|s| s.name == *name)
                    .map_or(0, |s| s.lo.max(0));
                (lo as usize, max as usize)
            }
        })
        .collect()
}

/// `1,3,224` or `[1,3,width]`.
pub fn shape_text(tensor: &Tensor) -> String {
    let dims: Vec<String> = tensor.shape.iter().map(|d| d.to_string()).collect();
    format!("[{}]", dims.join(","))
}

/// Splits `NAME=REST`; without a known name the whole text is the rest.
pub fn split<'a>(text: &'a str, names: &[&str]) -> (Option<&'a str>, &'a str) {
    match text.split_once('=') {
        Some((name, rest)) if names.contains(&name) => (Some(name), rest),
        _ => (None, text),
    }
}

/// Numbers written out, such as `16000` or `0.5,0.25`.
pub fn numbers(text: &str) -> Option<Vec<f64>> {
    text.split(',')
        .map(|t| match t.trim() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            t => t.parse().ok(),
        })
        .collect()
}

fn extension(path: &Path) -> String {
    path.extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default()
}

/// Reads every `--input`. The result holds a feed per input of the manifest.
pub fn read(
    texts: &[String],
    manifest: &Manifest,
    wish: &Preprocess,
    multiple: usize,
) -> Result<Vec<Feed>> {
    let names: Vec<&str> = manifest.inputs.iter().map(|i| i.name.as_str()).collect();
    let mut feeds: Vec<Option<Feed>> = manifest.inputs.iter().map(|_| None).collect();
    for text in texts {
        let (name, rest) = split(text, &names);
        let path = PathBuf::from(rest);
        if name.is_none() && extension(&path) == "npz" {
            let arrays = npy::read_npz(&path)?;
            let mut used = 0;
            for (stem, array) in arrays {
                if let Some(i) = names.iter().position(|n| *n == stem) {
                    feeds[i] = Some(Feed::Array(check(
                        array,
                        &manifest.inputs[i],
                        manifest,
                        rest,
                    )?));
                    used += 1;
                }
            }
            if used == 0 {
                bail!(
                    "{rest} holds no array named like an input ({})",
                    names.join(", ")
                );
            }
            continue;
        }
        if name.is_none()
            && let Some((wrong, file)) = text.split_once('=')
            && !path.exists()
        {
            return Err(usage(format!(
                "the bundle has no input `{wrong}` (for {file}); its inputs are: {}",
                names.join(", ")
            )));
        }
        let index = match name {
            Some(name) => names.iter().position(|n| *n == name),
            None => feeds.iter().position(Option::is_none),
        };
        let Some(index) = index else {
            return Err(usage(format!(
                "there are more --input values than inputs ({})",
                names.join(", ")
            )));
        };
        let tensor = &manifest.inputs[index];
        feeds[index] = Some(read_one(rest, &path, tensor, manifest, wish, multiple)?);
    }
    let mut out = Vec::new();
    for (feed, tensor) in feeds.into_iter().zip(&manifest.inputs) {
        let Some(feed) = feed else {
            return Err(usage(format!(
                "input `{}` ({}{}) is missing: add --input {}=FILE",
                tensor.name,
                tensor.dtype,
                shape_text(tensor),
                tensor.name
            )));
        };
        out.push(feed);
    }
    Ok(out)
}

/// An array that fits an input, or whose parts along the first axis do.
fn array_or_frames(array: Array, tensor: &Tensor, manifest: &Manifest, text: &str) -> Result<Feed> {
    let parts = array.shape.first().copied().unwrap_or(0);
    let whole = check(array.clone(), tensor, manifest, text);
    if whole.is_ok() || parts < 2 || array.shape.len() < 2 {
        return Ok(Feed::Array(whole?));
    }
    let part = |bytes: &[u8]| {
        let part = Array::new(array.dtype, array.shape[1..].to_vec(), bytes.to_vec())?;
        check(part, tensor, manifest, text).ok()
    };
    let size = (array.data.len() / parts).max(1);
    match array.data.chunks(size).map(part).collect() {
        Some(frames) => Ok(Feed::Frames(frames)),
        None => Ok(Feed::Array(whole?)),
    }
}

/// Reads what is fed to one input.
pub fn read_one(
    text: &str,
    path: &Path,
    tensor: &Tensor,
    manifest: &Manifest,
    wish: &Preprocess,
    multiple: usize,
) -> Result<Feed> {
    let dtype = DType::from_name(&tensor.dtype)
        .with_context(|| format!("the manifest's type `{}` is unknown", tensor.dtype))?;
    let limits = bounds(tensor, manifest);
    let ext = extension(path);
    match ext.as_str() {
        "npy" => array_or_frames(npy::read(path)?, tensor, manifest, text),
        "npz" => {
            let arrays = npy::read_npz(path)?;
            let (_, array) = arrays
                .into_iter()
                .find(|(n, _)| *n == tensor.name)
                .with_context(|| format!("{text} holds no array `{}`", tensor.name))?;
            Ok(Feed::Array(check(array, tensor, manifest, text)?))
        }
        "png" | "jpg" | "jpeg" | "webp" | "bmp" => {
            let picture = picture::read(path)?;
            let max: Vec<usize> = limits.iter().map(|l| l.1).collect();
            let recipe = picture_input(wish, &max, dtype.is_integer())
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("cannot feed {text} to input `{}`", tensor.name))?;
            let rank = limits.len();
            let (h, w) = if recipe.channels_last && rank >= 3 {
                (limits[rank - 3], limits[rank - 2])
            } else {
                (limits[rank - 2], limits[rank - 1])
            };
            let axis = |(least, most): (usize, usize)| Axis { least, most };
            let size = (picture.width(), picture.height());
            let (height, width) = cygnet_sdk::target_size(
                axis(h),
                axis(w),
                (size.1 as usize, size.0 as usize),
                multiple,
            );
            if height == 0 || width == 0 {
                bail!("input `{}` has no pixels to fill", tensor.name);
            }
            let mut array = picture::to_tensor(&picture, height, width, &recipe)?;
            match rank {
                2 => array.shape = vec![height, width],
                3 if limits[0].1 == 1 && !recipe.channels_last => {}
                4 => array.shape.insert(0, 1),
                _ => {}
            }
            Ok(Feed::Picture(
                check(array.cast(dtype), tensor, manifest, text)?,
                size,
            ))
        }
        "wav" => {
            let mut sound = sound::read(path)?;
            if let Some(rate) = wish.sample_rate {
                sound = sound::resample(sound, rate);
            }
            Ok(Feed::Sound(sound.samples, sound.rate))
        }
        "raw" | "bin" => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let shape =
                raw_shape(bytes.len() / dtype.size().max(1), &limits).with_context(|| {
                    format!(
                        "{text} has {} bytes, input `{}` wants {}{}",
                        bytes.len(),
                        tensor.name,
                        tensor.dtype,
                        shape_text(tensor)
                    )
                })?;
            let array = Array::new(dtype, shape, bytes)
                .with_context(|| format!("{text} is not a whole number of elements"))?;
            Ok(Feed::Array(check(array, tensor, manifest, text)?))
        }
        _ => {
            let Some(values) = numbers(text) else {
                if !path.exists() {
                    bail!("cannot read {text}: there is no such file");
                }
                bail!(
                    "cannot tell what {text} is: use .npy, .npz, .png, .jpg, .webp, .bmp, .wav, .raw or numbers"
                );
            };
            Ok(Feed::Array(check(
                literal(&values, dtype, &limits).with_context(|| {
                    format!(
                        "{} numbers do not fill input `{}` ({}{})",
                        values.len(),
                        tensor.name,
                        tensor.dtype,
                        shape_text(tensor)
                    )
                })?,
                tensor,
                manifest,
                text,
            )?))
        }
    }
}

/// An array of numbers: one number fills the whole (smallest) shape.
pub fn literal(values: &[f64], dtype: DType, limits: &[(usize, usize)]) -> Option<Array> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let exact = Array::new(DType::F64, vec![values.len()], bytes)?.cast(dtype);
    if let [_] = values {
        let shape: Vec<usize> = limits.iter().map(|l| l.0.max(1)).collect();
        let count: usize = shape.iter().product();
        return Array::new(dtype, shape, exact.data.repeat(count));
    }
    Array::new(dtype, raw_shape(values.len(), limits)?, exact.data)
}

/// The shape of `count` elements when at most one axis is free.
fn raw_shape(count: usize, limits: &[(usize, usize)]) -> Option<Vec<usize>> {
    let fixed: usize = limits.iter().filter(|l| l.0 == l.1).map(|l| l.0).product();
    let free = limits.iter().filter(|l| l.0 != l.1).count();
    let rest = count.checked_div(fixed)?;
    if free > 1 || rest * fixed != count || (free == 0 && rest != 1) {
        return None;
    }
    Some(
        limits
            .iter()
            .map(|l| if l.0 == l.1 { l.0 } else { rest })
            .collect(),
    )
}

/// Casts and checks an array against an input; missing leading axes of length 1 are added.
pub fn check(array: Array, tensor: &Tensor, manifest: &Manifest, what: &str) -> Result<Array> {
    let limits = bounds(tensor, manifest);
    let dtype = DType::from_name(&tensor.dtype)
        .with_context(|| format!("the manifest's type `{}` is unknown", tensor.dtype))?;
    let mut array = array;
    while array.shape.len() < limits.len() && limits[limits.len() - 1 - array.shape.len()].0 <= 1 {
        array.shape.insert(0, 1);
    }
    let fits = array.shape.len() == limits.len()
        && array
            .shape
            .iter()
            .zip(&limits)
            .all(|(d, l)| (l.0..=l.1).contains(d));
    if !fits {
        let limits: Vec<String> = manifest
            .symbols
            .iter()
            .filter(|s| shape_text(tensor).contains(&s.name))
            .map(|s| format!("{} in {}..{}", s.name, s.lo, s.hi))
            .collect();
        let note = if limits.is_empty() {
            String::new()
        } else {
            format!(" with {}", limits.join(", "))
        };
        bail!(
            "{what} has shape {:?}, input `{}` wants {}{note}",
            array.shape,
            tensor.name,
            shape_text(tensor)
        );
    }
    if array.dtype != dtype {
        if array.dtype.is_float()
            && dtype.is_integer()
            && array.to_f64().iter().any(|v| !v.is_finite())
        {
            bail!(
                "{what} holds values that are not finite, input `{}` takes {dtype}",
                tensor.name
            );
        }
        array = array.cast(dtype);
    }
    Ok(array)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_compiler::bundle::{Length, Symbol};

    fn manifest() -> Manifest {
        Manifest {
            inputs: vec![Tensor {
                name: "x".into(),
                dtype: "f32".into(),
                shape: vec![Length::Fixed(1), Length::Symbolic("n".into())],
                max_shape: vec![1, 10],
                declared: None,
            }],
            symbols: vec![Symbol {
                name: "n".into(),
                lo: 2,
                hi: 10,
            }],
            ..Default::default()
        }
    }

    #[test]
    fn shapes_are_checked_against_bounds() {
        let m = manifest();
        let ok = check(Array::from_f32(&[4], &[0.0; 4]), &m.inputs[0], &m, "a.npy").unwrap();
        assert_eq!(ok.shape, [1, 4]);
        let text = check(
            Array::from_f32(&[1, 11], &[0.0; 11]),
            &m.inputs[0],
            &m,
            "a.npy",
        )
        .unwrap_err()
        .to_string();
        assert!(
            text.contains("n in 2..10") && text.contains("[1, 11]"),
            "{text}"
        );
    }

    #[test]
    fn numbers_and_names() {
        assert_eq!(split("x=1,2", &["x"]), (Some("x"), "1,2"));
        assert_eq!(split("a=b.npy", &["x"]), (None, "a=b.npy"));
        let a = literal(&[1.0, 2.0, 3.0], DType::I64, &[(1, 1), (2, 10)]).unwrap();
        assert_eq!((a.shape, a.data.len()), (vec![1, 3], 24));
        assert_eq!(
            literal(&[7.0], DType::U8, &[(3, 3)]).unwrap().data,
            [7, 7, 7]
        );
        assert!(literal(&[1.0, 2.0], DType::U8, &[(3, 3)]).is_none());
    }
}
