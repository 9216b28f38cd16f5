//! NumPy's arrays.
use super::{Samples, Values};
use crate::error::TrainingError;
use crate::front::{Column, Front, Table};
use candle_core::{DType, Tensor};
use std::collections::BTreeSet;
use std::path::Path;

/// Reads the arrays `x` and `y` of an `.npz` file.
///
/// # Errors
/// Files that are no NumPy files, arrays that are absent or do not belong together.
pub fn read_npz(path: &Path) -> Result<Samples, TrainingError> {
    let wrong = |what: String| TrainingError::Data(format!("{}: {what}", path.display()));
    let arrays = Tensor::read_npz(path).map_err(|e| {
        wrong(format!(
            "it cannot be read: {e}; numpy.savez (not compressed, little-endian, in C order) writes what can"
        ))
    })?;
    let names: Vec<&str> = arrays.iter().map(|(name, _)| name.as_str()).collect();
    let find = |name: &str| {
        let found = arrays.iter().find(|(n, _)| n == name);
        let array = found.map(|(_, array)| array);
        array.ok_or_else(|| {
            wrong(format!(
                "no array is called `{name}` (the samples are `x`, the classes `y`): there are {}",
                names.join(", ")
            ))
        })
    };
    samples(find("x")?, find("y")?).map_err(wrong)
}

/// Reads an `.npy` file of samples and one of their classes.
///
/// # Errors
/// As [`read_npz`].
pub fn read_npy(x: &Path, y: &Path) -> Result<Samples, TrainingError> {
    let read = |path: &Path| {
        Tensor::read_npy(path).map_err(|e| {
            let what = "it cannot be read";
            TrainingError::Data(format!("{}: {what}: {e}", path.display()))
        })
    };
    samples(&read(x)?, &read(y)?)
        .map_err(|what| TrainingError::Data(format!("{}: {what}", x.display())))
}

/// Pictures `[samples, height, width]` or `[samples, height, width, channels]`, or rows `[samples, numbers]`; bytes are
/// pixels from 0 to 255, other types are taken as they are.
fn samples(x: &Tensor, y: &Tensor) -> Result<Samples, String> {
    let text = |e: candle_core::Error| e.to_string();
    let (n, shape) = match *x.dims() {
        [n, k] => (n, [1, 1, k]),
        [n, h, w] => (n, [h, w, 1]),
        [n, h, w, c] => (n, [h, w, c]),
        ref other => {
            return Err(format!(
                "the samples have shape {other:?}: rows are [samples, numbers], pictures [samples, height, width] or [samples, height, width, channels]"
            ));
        }
    };
    if y.dims() != [n] || n == 0 {
        return Err(format!(
            "there are {n} samples, and classes of shape {:?}: each sample needs one",
            y.dims()
        ));
    }
    let numbers = y
        .to_dtype(DType::F64)
        .and_then(|y| y.to_vec1::<f64>())
        .map_err(text)?;
    if let Some(i) = numbers
        .iter()
        .position(|v| v.fract() != 0.0 || v.abs() > 1e9)
    {
        return Err(format!(
            "the class of sample {i} is {}, no whole number",
            numbers[i]
        ));
    }
    let numbers: Vec<i64> = numbers.iter().map(|v| *v as i64).collect();
    let classes: Vec<i64> = numbers
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let place = |v: &i64| classes.binary_search(v).unwrap_or(0) as u32;
    let flat = x.flatten_all().map_err(text)?;
    let values = if x.dtype() == DType::U8 && x.rank() > 2 {
        Values::Bytes(flat.to_vec1().map_err(text)?)
    } else {
        let floats = flat.to_dtype(DType::F32).map_err(text)?;
        let floats: Vec<f32> = floats.to_vec1().map_err(text)?;
        if let Some(at) = floats.iter().position(|v| !v.is_finite()) {
            let size = (floats.len() / n).max(1);
            return Err(format!(
                "sample {} holds {} (its number {}): remove it, or fill it in",
                at / size,
                floats[at],
                at % size
            ));
        }
        Values::Floats(floats)
    };
    let front = match x.rank() {
        2 => {
            let columns = (0..shape[2]).map(|i| Column::number(&format!("x{i}")));
            Front::Table(Table::new(columns.collect()))
        }
        _ => Front::Plain,
    };
    Ok(Samples {
        shape,
        values,
        labels: numbers.iter().map(place).collect(),
        classes: classes.iter().map(i64::to_string).collect(),
        front,
        ..Samples::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_and_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let write = |x: &Tensor, y: &Tensor| {
            Tensor::write_npz(&[("x", x), ("y", y)], &path).unwrap();
            read_npz(&path).map_err(|e| e.to_string())
        };
        let device = Device::Cpu;
        let y = Tensor::new(&[7i64, -1, 7], &device).unwrap();
        let pixels = Tensor::arange(0u8, 18, &device)
            .unwrap()
            .reshape((3, 2, 3))
            .unwrap();
        let samples = write(&pixels, &y).unwrap();
        assert_eq!(samples.classes, ["-1", "7"]);
        assert_eq!(samples.labels, [1, 0, 1]);
        assert_eq!(samples.shape, [2, 3, 1]);
        assert_eq!(samples.bytes(1), [6, 7, 8, 9, 10, 11]);
        let rows = Tensor::new(&[[1f64, 2.0], [3.0, 4.0], [5.0, 6.0]], &device).unwrap();
        let samples = write(&rows, &y).unwrap();
        assert_eq!(samples.floats(2), [5.0, 6.0]);
        assert!(matches!(samples.front, Front::Table(_)));

        let bad = Tensor::new(&[[1f32, 2.0], [3.0, f32::NAN], [5.0, 6.0]], &device).unwrap();
        let message = write(&bad, &y).unwrap_err();
        assert!(message.contains("a.npz: sample 1 holds NaN"), "{message}");
        let few = Tensor::new(&[7i64, 1], &device).unwrap();
        assert!(
            write(&rows, &few)
                .unwrap_err()
                .contains("classes of shape [2]")
        );
        let half = Tensor::new(&[0.5f32, 1.0, 2.0], &device).unwrap();
        assert!(write(&rows, &half).unwrap_err().contains("no whole number"));
        Tensor::write_npz(&[("data", &rows)], &path).unwrap();
        let message = read_npz(&path).unwrap_err().to_string();
        assert!(
            message.contains("no array is called `x`") && message.contains("data"),
            "{message}"
        );
        std::fs::write(&path, "nothing").unwrap();
        assert!(
            read_npz(&path)
                .unwrap_err()
                .to_string()
                .contains("numpy.savez")
        );
        let one = folder.path().join("y.npy");
        y.write_npy(&one).unwrap();
        let other = folder.path().join("x.npy");
        pixels.write_npy(&other).unwrap();
        assert_eq!(read_npy(&other, &one).unwrap().labels, [1, 0, 1]);
    }
}
