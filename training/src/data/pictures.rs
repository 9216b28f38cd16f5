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
    if !matches!(shape[2], 1 | 3) {
        return Err(TrainingError::Data(format!(
            "pictures have 1 or 3 channels, not {}",
            shape[2]
        )));
    }
    let Labelled { classes, files } = labelled(folder, &EXTENSIONS, "pictures", None)?;
    let read: Vec<_> = files
        .par_iter()
        .map(|(file, label)| (file, *label, decode(file, shape)))
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

fn decode(file: &Path, [h, w, c]: [usize; 3]) -> Result<Vec<u8>, String> {
    let mut reader = image::ImageReader::open(file)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|e| e.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| e.to_string())?;
    let (w, h) = (w as u32, h as u32);
    Ok(if c == 1 {
        image::imageops::resize(&picture.to_luma8(), w, h, FilterType::Triangle).into_raw()
    } else {
        image::imageops::resize(&picture.to_rgb8(), w, h, FilterType::Triangle).into_raw()
    })
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
