//! WAV files as mono samples, at the rate that is wanted.
use crate::error::TrainingError;
use std::path::Path;

/// Rates that are read.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Samples in -1..=1 and their rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Mono samples.
    pub samples: Vec<f32>,
    /// Samples a second.
    pub rate: u32,
}

/// Reads a WAV file of integers or floats; channels are averaged.
///
/// # Errors
/// Files that are no WAV files, are damaged or empty, or have a rate below 1 or above 768 kHz.
pub fn read(path: &Path) -> Result<Sound, TrainingError> {
    decode(path).map_err(|why| TrainingError::Data(format!("{}: {why}", path.display())))
}

/// The same with the reason alone in the error.
pub(super) fn decode(path: &Path) -> Result<Sound, String> {
    let mut reader =
        hound::WavReader::open(path).map_err(|e| format!("this is no readable WAV file: {e}"))?;
    let spec = reader.spec();
    if !RATES.contains(&spec.sample_rate) {
        return Err(format!("{} samples a second", spec.sample_rate));
    }
    let flat: Result<Vec<f32>, _> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect(),
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample.max(1) - 1)) as f32;
            reader
                .samples::<i32>()
                .map(|s| s.map(|v| v as f32 / full))
                .collect()
        }
    };
    let flat = flat.map_err(|e| format!("the file is damaged: {e}"))?;
    let channels = usize::from(spec.channels.max(1));
    if flat.len() < channels {
        return Err("the file holds no samples".into());
    }
    if flat.iter().any(|v| !v.is_finite()) {
        return Err("the file holds values that are no numbers".into());
    }
    Ok(Sound {
        samples: flat
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32)
            .collect(),
        rate: spec.sample_rate,
    })
}

/// Changes the rate, as devices do before they run a model.
pub fn resample(sound: Sound, rate: u32) -> Sound {
    if rate == sound.rate || rate == 0 || sound.rate == 0 {
        return sound;
    }
    Sound {
        samples: cygnet_sdk::resample(&sound.samples, sound.rate, rate),
        rate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    fn tone(hz: f64, rate: u32, n: usize) -> Vec<f32> {
        (0..n)
            .map(|i| (2.0 * PI * hz * i as f64 / f64::from(rate)).sin() as f32)
            .collect()
    }

    #[test]
    fn tones_keep_their_pitch_and_those_above_the_band_vanish() {
        for (from, to) in [
            (22_050, 16_000),
            (8_000, 16_000),
            (48_000, 16_000),
            (16_000, 11_025),
        ] {
            let sound = Sound {
                samples: tone(1000.0, from, from as usize),
                rate: from,
            };
            let out = resample(sound, to);
            assert_eq!((out.rate, out.samples.len()), (to, to as usize));
            let want = tone(1000.0, to, out.samples.len());
            let inner = 200..out.samples.len() - 200;
            for (got, want) in out.samples[inner.clone()].iter().zip(&want[inner]) {
                assert!((got - want).abs() < 5e-3, "{from} {to}: {got} {want}");
            }
        }
        let high = Sound {
            samples: tone(11_000.0, 48_000, 9_600),
            rate: 48_000,
        };
        let out = resample(high, 16_000);
        let inner = &out.samples[100..out.samples.len() - 100];
        assert!(inner.iter().all(|v| v.abs() < 0.01));
        let flat = Sound {
            samples: vec![0.25; 1000],
            rate: 16_000,
        };
        let out = resample(flat, 8_000);
        assert!(out.samples.iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn few_samples_are_resampled_too() {
        let sound = Sound {
            samples: vec![0.5],
            rate: 8_000,
        };
        assert_eq!(resample(sound.clone(), 16_000).samples.len(), 2);
        assert_eq!(resample(sound, 1_000).samples.len(), 0);
    }
}
