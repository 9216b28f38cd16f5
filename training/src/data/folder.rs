//! Folders of files: a folder a class.
use crate::error::TrainingError;
use std::fs;
use std::path::{Path, PathBuf};

/// The classes of a folder, and its files with their classes.
pub(super) struct Labelled {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Files in the order of their names.
    pub files: Vec<(PathBuf, u32)>,
}

/// Finds `folder/CLASS/*.EXTENSION`; `what` is what the files are, `apart` a folder that is no class.
///
/// # Errors
/// A folder that cannot be read, or without two classes.
pub(super) fn labelled(
    folder: &Path,
    extensions: &[&str],
    what: &str,
    apart: Option<&Path>,
) -> Result<Labelled, TrainingError> {
    let mut classes = sorted(folder)?;
    classes.retain(|path| path.is_dir() && apart != Some(path.as_path()));
    if classes.len() < 2 {
        return Err(TrainingError::Data(format!(
            "{} holds {} folders: put the {what} of each class in a folder called as the class, two classes at least",
            folder.display(),
            classes.len()
        )));
    }
    let mut files = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        let found = with_extension(class, extensions)?;
        files.extend(found.into_iter().map(|file| (file, label as u32)));
    }
    Ok(Labelled {
        classes: classes.iter().map(|c| name(c)).collect(),
        files,
    })
}

/// The files of a folder that end so, in the order of their names.
pub(super) fn with_extension(
    folder: &Path,
    extensions: &[&str],
) -> Result<Vec<PathBuf>, TrainingError> {
    let mut files = sorted(folder)?;
    files.retain(|file| {
        let extension = file.extension().and_then(|e| e.to_str()).unwrap_or("");
        file.is_file() && extensions.contains(&extension.to_ascii_lowercase().as_str())
    });
    Ok(files)
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, TrainingError> {
    let mut found = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(TrainingError::io(folder))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| !name(path).starts_with('.'))
        .collect::<Vec<_>>();
    found.sort();
    Ok(found)
}

/// What is said when nothing in a folder can be read.
pub(super) fn nothing(
    folder: &Path,
    what: &str,
    extensions: &[&str],
    damaged: &super::Damaged,
) -> TrainingError {
    TrainingError::Data(format!(
        "{}: no {what} could be read: of {} files that end in .{}{}",
        folder.display(),
        damaged.len(),
        extensions.join(", ."),
        damaged.first().map_or(String::new(), |(f, why)| format!(
            "; {}: {why}",
            f.display()
        ))
    ))
}
