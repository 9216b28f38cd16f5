//! The IDX format of the MNIST files: big-endian, a magic number (0, 0, type 8 for bytes, rank), the sizes, the bytes.
use super::{Samples, Values};
use crate::error::TrainingError;
use std::fs;
use std::path::Path;

/// Reads pictures (rank 3 or 4) and their labels (rank 1); classes are called by their numbers.
///
/// # Errors
/// Files that are no IDX files of bytes, or do not belong together.
pub fn read_idx(images: &Path, labels: &Path) -> Result<Samples, TrainingError> {
    let (sizes, values) = read(images)?;
    let (label_sizes, label_values) = read(labels)?;
    let shape = match *sizes.as_slice() {
        [_, h, w] => [h, w, 1],
        [_, h, w, c] => [h, w, c],
        _ => {
            return Err(TrainingError::Data(format!(
                "{}: pictures have three or four sizes, not {sizes:?}",
                images.display()
            )));
        }
    };
    if label_sizes != [sizes[0]] {
        return Err(TrainingError::Data(format!(
            "{} holds {} pictures, {} labels of {label_sizes:?}",
            images.display(),
            sizes[0],
            labels.display()
        )));
    }
    let classes = label_values.iter().max().map_or(0, |m| *m as usize + 1);
    Ok(Samples {
        shape,
        values: Values::Bytes(values),
        labels: label_values.iter().map(|v| u32::from(*v)).collect(),
        classes: (0..classes).map(|c| c.to_string()).collect(),
        ..Samples::default()
    })
}

fn read(path: &Path) -> Result<(Vec<usize>, Vec<u8>), TrainingError> {
    let bytes = fs::read(path).map_err(TrainingError::io(path))?;
    let wrong = |what: &str| TrainingError::Data(format!("{}: {what}", path.display()));
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(wrong("the file is compressed; unpack it with gunzip"));
    }
    let (&[0, 0, 8, rank], rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| wrong("the file is too short for an IDX file"))?
    else {
        return Err(wrong("this is no IDX file of bytes"));
    };
    let mut sizes = Vec::new();
    let mut rest = rest;
    for _ in 0..rank {
        let Some((size, after)) = rest.split_first_chunk::<4>() else {
            return Err(wrong("the sizes are cut off"));
        };
        sizes.push(u32::from_be_bytes(*size) as usize);
        rest = after;
    }
    let expected = sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
    if expected != Some(rest.len()) {
        return Err(wrong(&format!(
            "sizes {sizes:?} ask for another number of bytes than the {} that follow",
            rest.len()
        )));
    }
    Ok((sizes, rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 8, sizes.len() as u8];
        for s in sizes {
            bytes.extend_from_slice(&s.to_be_bytes());
        }
        bytes.extend_from_slice(values);
        bytes
    }

    #[test]
    fn reads_pictures_and_refuses_damage() {
        let folder = tempfile::tempdir().unwrap();
        let [images, labels] = ["images", "labels"].map(|n| folder.path().join(n));
        fs::write(
            &images,
            idx(&[2, 2, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        )
        .unwrap();
        fs::write(&labels, idx(&[2], &[3, 1])).unwrap();
        let samples = read_idx(&images, &labels).unwrap();
        assert_eq!((samples.shape, samples.len()), ([2, 3, 1], 2));
        assert_eq!(samples.bytes(1), [7, 8, 9, 10, 11, 12]);
        assert_eq!(samples.labels, [3, 1]);
        assert_eq!(samples.classes.len(), 4);
        for (bytes, said) in [
            (idx(&[2, 2, 3], &[1]), "another number of bytes"),
            (vec![0x1f, 0x8b, 8, 0, 0], "gunzip"),
            (vec![0, 0, 13, 1, 0, 0, 0, 0], "no IDX file"),
            (vec![0, 0], "too short"),
            (
                idx(&[u32::MAX, u32::MAX, u32::MAX, 1], &[]),
                "another number",
            ),
        ] {
            fs::write(&images, bytes).unwrap();
            let message = read_idx(&images, &labels).unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }
}
