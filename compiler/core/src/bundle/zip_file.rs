//! The container: a ZIP with stored entries, each entry's data on a 64-byte boundary, and no clock in it.

use super::{Entry, Manifest};
use sha2::{Digest, Sha256};
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter, write::SimpleFileOptions};

/// Alignment of every entry's data inside the file.
pub const ALIGNMENT: u16 = 64;
/// Largest manifest that is read.
const MANIFEST_LIMIT: u64 = 64 << 20;

/// Why a bundle cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Not a ZIP, or a broken one.
    #[error("not a Cygnet bundle ({0}): a bundle is what `cygnet compile` writes")]
    Container(#[from] zip::result::ZipError),
    /// An entry that must be there is not.
    #[error("the bundle has no `{0}`: it is incomplete, compile the model again")]
    Missing(String),
    /// The manifest is not what this version reads.
    #[error("manifest.json is not valid: {0}")]
    Manifest(#[from] serde_json::Error),
    /// An entry differs from the manifest.
    #[error("`{name}` is damaged: {what}; compile the model again")]
    Damaged {
        /// The entry.
        name: String,
        /// What differs.
        what: &'static str,
    },
    /// The manifest's structure is newer than this tool.
    #[error("manifest version {0} is newer than this tool reads: update cygnet")]
    Version(u32),
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// The bytes of a bundle: `manifest.json` first, then the entries in the given order. The manifest's entry list is
/// filled here.
pub fn to_bytes(
    mut manifest: Manifest,
    entries: &[(String, Vec<u8>)],
) -> Result<Vec<u8>, BundleError> {
    manifest.entries = entries
        .iter()
        .map(|(name, data)| Entry {
            name: name.clone(),
            bytes: data.len() as u64,
            sha256: sha256_hex(data),
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&manifest)?;
    text.push('\n');
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644)
        .with_alignment(ALIGNMENT);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, data: &[u8]| -> Result<(), BundleError> {
        zip.start_file(name, options.large_file(data.len() >= u32::MAX as usize))?;
        zip.write_all(data).map_err(zip::result::ZipError::Io)?;
        Ok(())
    };
    add("manifest.json", text.as_bytes())?;
    for (name, data) in entries {
        add(name, data)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Writes a file so that it is there whole or not at all: a temporary neighbour, then a rename.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let io = |source| BundleError::Io {
        path: path.to_owned(),
        source,
    };
    let name = path
        .file_name()
        .ok_or_else(|| io(std::io::ErrorKind::InvalidInput.into()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(hidden);
    let result = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // Nothing more can be done when the removal fails too; the first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    result.map_err(io)
}

/// A bundle open for reading by tools. (The runtime has its own reader, which maps the file and copies nothing.)
pub struct BundleReader {
    archive: ZipArchive<Cursor<Vec<u8>>>,
    /// The parsed manifest.
    pub manifest: Manifest,
}

impl BundleReader {
    /// Reads a bundle from a file.
    pub fn open(path: &Path) -> Result<BundleReader, BundleError> {
        let bytes = std::fs::read(path).map_err(|source| BundleError::Io {
            path: path.to_owned(),
            source,
        })?;
        BundleReader::from_bytes(bytes)
    }

    /// Reads a bundle from memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<BundleReader, BundleError> {
        let mut archive = ZipArchive::new(Cursor::new(bytes))?;
        let text = read_entry(&mut archive, "manifest.json", MANIFEST_LIMIT)?;
        #[derive(serde::Deserialize)]
        struct Version {
            manifest_version: u32,
        }
        let version = serde_json::from_slice::<Version>(&text)?.manifest_version;
        if version > super::MANIFEST_VERSION {
            return Err(BundleError::Version(version));
        }
        let manifest = serde_json::from_slice(&text)?;
        Ok(BundleReader { archive, manifest })
    }

    /// The bytes of an entry, checked against the manifest.
    pub fn entry(&mut self, name: &str) -> Result<Vec<u8>, BundleError> {
        let listed = self
            .manifest
            .entries
            .iter()
            .find(|e| e.name == name)
            .ok_or_else(|| BundleError::Missing(name.to_owned()))?;
        let damaged = |what| BundleError::Damaged {
            name: name.to_owned(),
            what,
        };
        let data = read_entry(&mut self.archive, name, listed.bytes)?;
        if data.len() as u64 != listed.bytes {
            return Err(damaged("its size is not the manifest's"));
        }
        if sha256_hex(&data) != listed.sha256 {
            return Err(damaged("its SHA-256 is not the manifest's"));
        }
        Ok(data)
    }

    /// The entry's bytes as text, `None` when there is no such entry.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, BundleError> {
        if !self.manifest.entries.iter().any(|e| e.name == name) {
            return Ok(None);
        }
        Ok(Some(
            String::from_utf8_lossy(&self.entry(name)?).into_owned(),
        ))
    }
}

fn read_entry(
    archive: &mut ZipArchive<Cursor<Vec<u8>>>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(BundleError::Missing(name.to_owned()));
        }
        Err(e) => return Err(e.into()),
    };
    let mut data = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut data)
        .map_err(|_| BundleError::Damaged {
            name: name.to_owned(),
            what: "it cannot be read to its end",
        })?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let manifest = Manifest {
            manifest_version: super::super::MANIFEST_VERSION,
            name: "sample".into(),
            ..Default::default()
        };
        let entries = [
            ("program.cyg".to_owned(), vec![7; 100]),
            ("golden/0.cygt".to_owned(), vec![1, 2, 3]),
            ("labels.txt".to_owned(), b"cat\ndog\n".to_vec()),
        ];
        to_bytes(manifest, &entries).unwrap()
    }

    #[test]
    fn same_entries_same_bytes() {
        assert_eq!(sample(), sample());
    }

    #[test]
    fn data_is_stored_and_aligned() {
        let bytes = sample();
        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 4);
        for i in 0..archive.len() {
            let file = archive.by_index(i).unwrap();
            assert_eq!(file.compression(), CompressionMethod::Stored);
            assert_eq!(
                file.data_start().unwrap() % ALIGNMENT as u64,
                0,
                "entry {}",
                i
            );
        }
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = sample();
        let mut good = BundleReader::from_bytes(bytes.clone()).unwrap();
        assert_eq!(good.entry("program.cyg").unwrap(), vec![7; 100]);
        assert_eq!(
            good.text("labels.txt").unwrap().as_deref(),
            Some("cat\ndog\n")
        );
        assert!(matches!(good.entry("absent"), Err(BundleError::Missing(_))));
        let at = bytes.windows(100).position(|w| w == [7; 100]).unwrap();
        let mut bad = bytes;
        bad[at] ^= 1;
        let mut reader = BundleReader::from_bytes(bad).unwrap();
        assert!(matches!(
            reader.entry("program.cyg"),
            Err(BundleError::Damaged { .. })
        ));
        assert!(BundleReader::from_bytes(b"PK no".to_vec()).is_err());
    }

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = std::env::temp_dir().join(format!("cygnet-write-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // The target is a folder: the rename fails after the temporary file was written.
        let target = folder.join("taken");
        std::fs::create_dir_all(target.join("inside")).unwrap();
        assert!(write_atomically(&target, b"x").is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        write_atomically(&folder.join("file"), b"x").unwrap();
        assert_eq!(std::fs::read(folder.join("file")).unwrap(), b"x");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
