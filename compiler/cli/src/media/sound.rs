//! WAV files become mono f32 samples.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// Samples in -1..=1 and their rate.
pub struct Sound {
    /// Mono samples.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

/// Reads a WAV file: any channel count is averaged to mono.
pub fn read(path: &Path) -> Result<Sound> {
    let mut reader = hound::WavReader::open(path)
        .with_context(|| format!("{} is not a readable WAV file", path.display()))?;
    let spec = reader.spec();
    let bad = || format!("{} is damaged", path.display());
    let flat: Vec<f32> = match spec.sample_format {
        hound::SampleFormat::Float => reader
            .samples::<f32>()
            .collect::<Result<_, _>>()
            .with_context(bad)?,
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample.max(1) - 1)) as f32;
            reader
                .samples::<i32>()
                .map(|s| s.map(|v| v as f32 / full))
                .collect::<Result<_, _>>()
                .with_context(bad)?
        }
    };
    let channels = spec.channels.max(1) as usize;
    if flat.is_empty() || spec.sample_rate == 0 {
        bail!("{} holds no samples", path.display());
    }
    let samples = flat
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();
    Ok(Sound {
        samples,
        rate: spec.sample_rate,
    })
}

/// Changes the rate by linear interpolation, after a moving average of the step's length when the rate falls.
pub fn resample(sound: Sound, rate: u32) -> Sound {
    if rate == sound.rate || rate == 0 {
        return sound;
    }
    let step = sound.rate as f64 / rate as f64;
    let source = if step > 1.0 {
        let radius = (step / 2.0).floor() as usize;
        (0..sound.samples.len())
            .map(|i| {
                let window = &sound.samples
                    [i.saturating_sub(radius)..(i + radius + 1).min(sound.samples.len())];
                window.iter().sum::<f32>() / window.len() as f32
            })
            .collect()
    } else {
        sound.samples
    };
    let count = (source.len() as f64 / step).floor() as usize;
    let samples = (0..count)
        .map(|i| {
            let at = i as f64 * step;
            let (left, part) = (at as usize, at.fract() as f32);
            let a = source[left.min(source.len() - 1)];
            let b = source[(left + 1).min(source.len() - 1)];
            a + (b - a) * part
        })
        .collect();
    Sound { samples, rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_the_rate_halves_the_samples() {
        let sound = Sound {
            samples: vec![0.25; 1000],
            rate: 16000,
        };
        let out = resample(sound, 8000);
        assert_eq!((out.samples.len(), out.rate), (500, 8000));
        assert!(out.samples.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn doubling_the_rate_interpolates() {
        let sound = Sound {
            samples: vec![0.0, 1.0],
            rate: 8000,
        };
        assert_eq!(resample(sound, 16000).samples, [0.0, 0.5, 1.0, 1.0]);
    }
}
