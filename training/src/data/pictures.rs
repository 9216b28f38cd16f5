//! A folder of pictures: a folder a class.
use super::folder::{Labelled, labelled, nothing};
use super::{Damaged, Samples, Values};
use crate::error::TrainingError;
use image::imageops::FilterType;
use rayon::prelude::*;
use std::path::Path;

/// Files that are pictures.
const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
/// Largest side of a picture that is decoded.
const MAX_SIDE: u32 = 16_384;

/// Reads `folder/CLASS/*.png` and so on, resized to `[height, width, channels]` with 1 (grey) or 3 channels; with the
/// files that could not be read, and why.
///
/// # Errors
/// A folder that cannot be read, without two classes, or of which no picture can be read.
pub fn read_pictures(
    folder: &Path,
    shape: [usize; 3],
) -> Result<(Samples, Damaged), TrainingError> {
    let Labelled { classes, files } = labelled(folder, &EXTENSIONS, "pictures", None)?;
    let read: Vec<_> = files
        .par_iter()
        .map(|(file, label)| {
            let mut made = decode(file, &[None], shape).unwrap_or_else(|why| vec![Err(why)]);
            let made = made.pop().unwrap_or_else(|| Err("no picture".into()));
            (file, *label, made)
        })
        .collect();
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    let mut damaged = Damaged::new();
    for (file, label, picture) in read {
        match picture {
            Ok(picture) => {
                values.extend(picture);
                labels.push(label);
            }
            Err(why) => damaged.push((file.clone(), why)),
        }
    }
    if labels.is_empty() {
        return Err(nothing(folder, "picture", &EXTENSIONS, &damaged));
    }
    let samples = Samples {
        shape,
        values: Values::Bytes(values),
        labels,
        classes,
        ..Samples::default()
    };
    Ok((samples, damaged))
}

/// A part of a picture: left, upper, right and lower edge, in pixels or as shares of the sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Edges {
    pub edges: [f64; 4],
    pub relative: bool,
}

/// Decodes a picture once and gives these parts of it, or all of it for `None`, resized.
pub(super) fn decode(
    file: &Path,
    parts: &[Option<Edges>],
    shape: [usize; 3],
) -> Result<Vec<Result<Vec<u8>, String>>, String> {
    let mut reader = image::ImageReader::open(file)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| e.to_string())?;
    let part = |edges: &Option<Edges>| match edges {
        None => Ok(resized(&picture, shape)),
        Some(edges) => {
            let [x, y, w, h] = edges.pixels(picture.width(), picture.height())?;
            Ok(resized(&picture.crop_imm(x, y, w, h), shape))
        }
    };
    Ok(parts.iter().map(part).collect())
}

impl Edges {
    /// Left and upper edge, width and height in whole pixels inside a picture.
    fn pixels(&self, width: u32, height: u32) -> Result<[u32; 4], String> {
        let [left, top, right, bottom] = self.edges;
        let inside = |v: f64, side: u32| {
            let v = if self.relative {
                v * f64::from(side)
            } else {
                v
            };
            v.clamp(0.0, f64::from(side))
        };
        let (left, right) = (inside(left, width).floor(), inside(right, width).ceil());
        let (top, bottom) = (inside(top, height).floor(), inside(bottom, height).ceil());
        // Not a number is not larger.
        if !(right > left && bottom > top) {
            return Err(format!(
                "the box {:?} is empty, or lies outside of the {width} x {height} pixels",
                self.edges
            ));
        }
        Ok([left, top, right - left, bottom - top].map(|v| v as u32))
    }
}

fn resized(picture: &image::DynamicImage, [h, w, c]: [usize; 3]) -> Vec<u8> {
    let (w, h) = (w as u32, h as u32);
    if c == 1 {
        image::imageops::resize(&picture.to_luma8(), w, h, FilterType::Triangle).into_raw()
    } else {
        image::imageops::resize(&picture.to_rgb8(), w, h, FilterType::Triangle).into_raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn reads_classes_and_lists_what_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        for (class, value) in [("cat", 10u8), ("dog", 200)] {
            let class = folder.path().join(class);
            fs::create_dir(&class).unwrap();
            for i in 0..2 {
                image::GrayImage::from_pixel(8, 6, image::Luma([value]))
                    .save(class.join(format!("{i}.png")))
                    .unwrap();
            }
        }
        fs::write(folder.path().join("dog/broken.png"), b"no picture").unwrap();
        fs::write(folder.path().join("dog/notes.txt"), b"text").unwrap();
        let (samples, damaged) = read_pictures(folder.path(), [4, 4, 3]).unwrap();
        assert_eq!(samples.classes, ["cat", "dog"]);
        assert_eq!(samples.labels, [0, 0, 1, 1]);
        assert_eq!(samples.balance(), [2, 2]);
        assert!(samples.bytes(3).iter().all(|v| *v == 200));
        assert_eq!(damaged.len(), 1);
        assert!(damaged[0].0.ends_with("dog/broken.png"));
        fs::remove_dir_all(folder.path().join("cat")).unwrap();
        let message = read_pictures(folder.path(), [4, 4, 3])
            .unwrap_err()
            .to_string();
        assert!(message.contains("two classes at least"), "{message}");
    }
}
