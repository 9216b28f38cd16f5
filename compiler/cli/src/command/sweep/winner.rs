//! The best candidate as a project of its own.

use super::record::Values;
use super::trial::Site;
use crate::failure::usage;
use anyhow::{Context, Result};
use cygnet_compiler::bundle::write_atomically;
use cygnet_training::project::{FILE, PATHS};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The first line of what is written here.
const MARK: &str = "# Written by `cygnet sweep`";

/// Writes a project with these settings to a folder, and what was trained for it.
pub fn write(site: &Site, values: &Values, folder: &Path) -> Result<()> {
    let path = folder.join(FILE);
    let cannot = || format!("cannot write {}", path.display());
    if std::fs::read_to_string(&path).is_ok_and(|text| !text.starts_with(MARK)) {
        return Err(usage(format!(
            "{} is there, and was not written by a sweep: choose another folder with --output",
            path.display()
        )));
    }
    std::fs::create_dir_all(folder).with_context(cannot)?;
    let mut table = site.with(values)?;
    let way = way(folder, &site.folder)?;
    for place in PATHS {
        let parts: Vec<&str> = place.split('.').collect();
        rebase(&mut table, &parts, &way);
    }
    let text = format!(
        "{MARK}: the best of {} trials of {}.\n{}",
        site.sweep.trials,
        way.join(FILE).display(),
        toml::to_string(&table)?
    );
    let (_, places) = site.trial(values)?;
    write_atomically(&path, text.as_bytes()).with_context(cannot)?;
    write_atomically(&folder.join(".gitignore"), b"/runs\n/build\n").with_context(cannot)?;
    for stage in ["model", "pruned", "quantized"] {
        copy(&places.runs.join(stage), &folder.join("runs").join(stage))?;
    }
    if let Some(teachers) = &places.teachers {
        // Whichever is the right one is found by its digest; the others are another's.
        let used = std::fs::read_to_string(places.runs.join("teacher")).ok();
        if let Some(used) = used {
            copy(&teachers.join(used.trim()), &folder.join("runs/teacher"))?;
        }
    }
    Ok(())
}

/// Copies the files of a folder, if it is there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let Ok(files) = std::fs::read_dir(from) else {
        return Ok(());
    };
    let cannot = || format!("cannot copy {} to {}", from.display(), to.display());
    std::fs::create_dir_all(to).with_context(cannot)?;
    for file in files {
        let file = file.with_context(cannot)?;
        std::fs::copy(file.path(), to.join(file.file_name())).with_context(cannot)?;
    }
    Ok(())
}

/// The way from a folder to the project's: upwards where it lies inside, else from the root.
fn way(folder: &Path, project: &Path) -> Result<PathBuf> {
    let whole = |path: &Path| {
        path.canonicalize()
            .with_context(|| format!("cannot find {}", path.display()))
    };
    let (folder, project) = (whole(folder)?, whole(project)?);
    Ok(match folder.strip_prefix(&project) {
        Ok(inside) => inside.components().map(|_| "..").collect(),
        Err(_) => project,
    })
}

/// Changes relative paths, wherever they stand, to begin with the way to where they were.
fn rebase(table: &mut Table, parts: &[&str], way: &Path) {
    let [first, rest @ ..] = parts else {
        return;
    };
    match (table.get_mut(*first), rest) {
        (Some(Value::String(path)), []) if Path::new(path).is_relative() => {
            *path = way.join(&*path).display().to_string();
        }
        (Some(Value::Table(inside)), _) => rebase(inside, rest, way),
        (Some(Value::Array(list)), _) => {
            for inside in list.iter_mut().filter_map(Value::as_table_mut) {
                rebase(inside, rest, way);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_where_they_did() {
        let text = "[data]\npictures = 'p'\nimages = '/root/i'\n[[test.examples]]\nfile = 'x.png'\nclass = 'a'\n";
        let mut table: Table = text.parse().unwrap();
        for place in PATHS {
            let parts: Vec<&str> = place.split('.').collect();
            rebase(&mut table, &parts, Path::new("../.."));
        }
        assert_eq!(table["data"]["pictures"].as_str(), Some("../../p"));
        assert_eq!(table["data"]["images"].as_str(), Some("/root/i"));
        assert_eq!(
            table["test"]["examples"][0]["file"].as_str(),
            Some("../../x.png")
        );
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("build/best");
        std::fs::create_dir_all(&inside).unwrap();
        assert_eq!(way(&inside, folder.path()).unwrap(), Path::new("../.."));
    }
}
