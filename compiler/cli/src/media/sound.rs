//! WAV files become mono f32 samples, as they do for training.

use anyhow::Result;
use std::path::Path;

pub use cygnet_training::data::wav::{Sound, resample};

/// Reads a WAV file: any channel count is averaged to mono.
pub fn read(path: &Path) -> Result<Sound> {
    Ok(cygnet_training::data::wav::read(path)?)
}
