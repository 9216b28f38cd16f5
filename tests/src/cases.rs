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
