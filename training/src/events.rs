//! Event files as TensorBoard reads them: records of TensorFlow's format that hold `tensorflow.Event` messages.
use crate::error::TrainingError;
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How the names of event files begin.
const PREFIX: &str = "events.out.tfevents.";
/// The first event of every file.
const VERSION: &str = "brain.Event:2";

/// `tensorflow.Event`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Scalar>,
}

/// `tensorflow.Summary.Value` of a number.
#[derive(Clone, PartialEq, Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file that grows.
#[derive(Debug)]
pub struct Events {
    file: File,
    path: PathBuf,
}

impl Events {
    /// A new file in a folder; `goes_on` keeps those of an earlier part of the run, which TensorBoard joins with it.
    ///
    /// # Errors
    /// Folders that cannot be written to.
    pub fn create(folder: &Path, goes_on: bool) -> Result<Self, TrainingError> {
        if !goes_on {
            for entry in std::fs::read_dir(folder).map_err(TrainingError::io(folder))? {
                let path = entry.map_err(TrainingError::io(folder))?.path();
                let name = path.file_name().and_then(|n| n.to_str());
                if name.is_some_and(|n| n.starts_with(PREFIX)) {
                    std::fs::remove_file(&path).map_err(TrainingError::io(&path))?;
                }
            }
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        // The parts of a run are read in the order of their names.
        let name = format!(
            "{PREFIX}{:010}.{:09}.cygnet",
            now.as_secs(),
            now.subsec_nanos()
        );
        let path = folder.join(name);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut events = Self {
            file: file.map_err(TrainingError::io(&path))?,
            path,
        };
        events.write(&Event {
            wall_time: now.as_secs_f64(),
            file_version: Some(VERSION.to_owned()),
            ..Event::default()
        })?;
        Ok(events)
    }

    /// Adds numbers by their names at a step.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn scalars(&mut self, step: usize, values: &[(&str, f32)]) -> Result<(), TrainingError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let scalar = |(tag, value): &(&str, f32)| Scalar {
            tag: (*tag).to_owned(),
            simple_value: Some(*value),
        };
        self.write(&Event {
            wall_time: now.unwrap_or_default().as_secs_f64(),
            step: step as i64,
            file_version: None,
            summary: Some(Summary {
                value: values.iter().map(scalar).collect(),
            }),
        })
    }

    /// Its length, a checksum of that, the message, a checksum of that; written at once, so that who reads meanwhile sees
    /// whole records.
    fn write(&mut self, event: &Event) -> Result<(), TrainingError> {
        let message = event.encode_to_vec();
        let length = (message.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(&message);
        record.extend(masked(&message).to_le_bytes());
        self.file
            .write_all(&record)
            .map_err(TrainingError::io(&self.path))
    }
}

/// A checksum as records have it: turned and shifted, so that one of data that hold checksums is none of them.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The cyclic redundancy check of Castagnoli's polynomial (RFC 3720, appendix B.4).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, b: &u8| (0..8).fold(crc ^ u32::from(*b), step);
    !bytes.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }

    #[test]
    fn records_are_whole_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("events.out.tfevents.1.old"), "x").unwrap();
        let mut events = Events::create(folder.path(), false).unwrap();
        events.scalars(1, &[("loss", 0.5), ("rate", 0.25)]).unwrap();
        let mut more = Events::create(folder.path(), true).unwrap();
        more.scalars(2, &[("loss", 0.125)]).unwrap();
        let mut names: Vec<PathBuf> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        assert_eq!(names.len(), 2);
        let bytes = std::fs::read(&names[0]).unwrap();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
            let length = word(at) as usize;
            assert_eq!(word(at + 8), masked(&bytes[at..at + 8]));
            let message = &bytes[at + 12..at + 12 + length];
            assert_eq!(word(at + 12 + length), masked(message));
            found.push(Event::decode(message).unwrap());
            at += length + 16;
        }
        assert_eq!(found[0].file_version.as_deref(), Some(VERSION));
        let summary = found[1].summary.as_ref().unwrap();
        assert_eq!((found[1].step, summary.value.len()), (1, 2));
        assert_eq!(summary.value[1].tag, "rate");
        assert_eq!(summary.value[1].simple_value, Some(0.25));
    }
}
