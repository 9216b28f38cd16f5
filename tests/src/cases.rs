//! The backend node tests of the onnx package: one folder a test, a model and data sets.

use crate::{Tensor, path, proto};
use std::path::{Path, PathBuf};

/// One node test.
pub struct Case {
    /// Folder name, such as `test_abs`.
    pub name: String,
    /// The serialised model.
    pub bytes: Vec<u8>,
    /// Its interface.
    pub model: proto::Model,
    /// Inputs and expected outputs of each data set, in the order of the graph; an error says which kind of value
    /// has no counterpart in programs.
    pub data: Vec<Result<DataSet, String>>,
}

/// Inputs and expected outputs.
pub struct DataSet {
    /// One tensor a graph input.
    pub inputs: Vec<Tensor>,
    /// One tensor a graph output.
    pub outputs: Vec<Tensor>,
}

/// Values of an output.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// Of an `i8` tensor.
    I8(&'static [i8]),
    /// Of an `f32` tensor.
    F32(&'static [f32]),
}

/// Outputs (test, index, values) whose recordings contradict the specification.
///
/// QLinearMatMul saturates ("y = saturate((x / y_scale) + y_zero_point)"); four recordings wrapped around instead, so
/// that -236 became 20. The Adam test was recorded with an epsilon of 0.01, which its model does not state: the default
/// of 1e-6 holds.
pub const CORRECTED: [(&str, usize, Values); 6] = [
    ("test_adam_multiple", 0, Values::F32(&[0.755_959_3])),
    (
        "test_adam_multiple",
        1,
        Values::F32(&[0.624_939_2, 1.974_504_4]),
    ),
    ("test_qlinearmatmul_2D_int8_float16", 0, MATRIX),
    ("test_qlinearmatmul_2D_int8_float32", 0, MATRIX),
    ("test_qlinearmatmul_3D_int8_float16", 0, MATRICES),
    ("test_qlinearmatmul_3D_int8_float32", 0, MATRICES),
];
const MATRIX: Values = Values::I8(&[41, -12, -9, 1, -75, -128]);
const MATRICES: Values = Values::I8(&[
    -86, -128, -128, 115, 39, -121, -86, -128, -128, 115, 39, -121,
]);

/// Tests of transforms whose recorded zeros are single-precision rounding noise of up to 2e-7, above the runner's
/// absolute tolerance.
pub const NOISY: [&str; 2] = ["test_dft_inverse", "test_dft_inverse_opset19"];

/// Folders of the base cases: those whose operator is not replaced by its function body (`_expanded`).
///
/// # Errors
/// When the onnx test data are not in the cache.
pub fn folders() -> Result<Vec<PathBuf>, String> {
    let root = path::cache().join("onnx").join("node");
    let missing = |error: std::io::Error| {
        format!(
            "{}: {error}\n  the onnx package's test data are not there: run tests/fetch.py",
            root.display()
        )
    };
    let entries = std::fs::read_dir(&root).map_err(missing)?;
    let mut folders = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(missing)?;
    folders.retain(|folder| folder.is_dir() && !name(folder).contains("_expanded"));
    folders.sort();
    Ok(folders)
}

/// Reads the test of a folder.
///
/// # Errors
/// When a file is missing or malformed.
pub fn load(folder: &Path) -> Result<Case, String> {
    let bytes = path::read(&folder.join("model.onnx"))?;
    let model = proto::model(&bytes)?;
    let mut data = Vec::new();
    for index in 0.. {
        let set = folder.join(format!("test_data_set_{index}"));
        if !set.is_dir() {
            break;
        }
        data.push(data_set(&set, &model));
    }
    if data.is_empty() {
        return Err(format!("{}: no data set", folder.display()));
    }
    for (_, output, values) in CORRECTED.iter().filter(|(test, ..)| *test == name(folder)) {
        for set in data.iter_mut().flatten() {
            set.outputs[*output].bytes = match values {
                Values::I8(values) => values.iter().map(|value| *value as u8).collect(),
                Values::F32(values) => values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            };
        }
    }
    Ok(Case {
        name: name(folder),
        bytes,
        model,
        data,
    })
}

fn name(folder: &Path) -> String {
    folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn data_set(folder: &Path, model: &proto::Model) -> Result<DataSet, String> {
    let read = |kind: &str, values: &[(String, bool)]| {
        let tensor = |(i, (name, is_tensor)): (usize, &(String, bool))| {
            if !is_tensor {
                return Err(format!("{kind} {name} is a sequence, an optional or a map"));
            }
            let file = folder.join(format!("{kind}_{i}.pb"));
            proto::tensor(&path::read(&file)?).map_err(|reason| format!("{kind} {name}: {reason}"))
        };
        values
            .iter()
            .enumerate()
            .map(tensor)
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(DataSet {
        inputs: read("input", &model.inputs)?,
        outputs: read("output", &model.outputs)?,
    })
}
