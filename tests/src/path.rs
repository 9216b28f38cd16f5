//! Where test data lies, and what to run when it does not.

use std::path::{Path, PathBuf};

/// Root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// The cache folder: `CYGNET_CACHE`, or `.cache/models` in the repository.
pub fn cache() -> PathBuf {
    match std::env::var_os("CYGNET_CACHE") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => repository().join(".cache").join("models"),
    }
}

/// Reads a file of the cache.
///
/// # Errors
/// The message names the file and the command that makes it.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| {
        format!(
            "{}: {error}\n  the test data is not there: run tests/fetch.py, tests/make_models.py, tests/make_inputs.py \
             and tests/expect.py, or ./test.sh --data",
            path.display()
        )
    })
}
