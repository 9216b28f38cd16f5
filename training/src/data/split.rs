//! Splits into training, validation and test samples, by content: what is equal lies in one part, whatever else the data
//! holds, so that nothing leaks and added data moves nothing.
use super::Samples;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Shares of the samples that are kept back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// For choosing: early stopping, the best checkpoint.
    pub validation: f32,
    /// For the figures that are reported.
    pub test: f32,
}

/// Numbers of samples by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// What is learnt from.
    pub train: Vec<usize>,
    /// What is chosen by.
    pub validation: Vec<usize>,
    /// What is reported.
    pub test: Vec<usize>,
}

impl Split {
    /// Splits by the SHA-256 of each sample's values.
    pub fn by_content(samples: &Samples, shares: Shares) -> Self {
        let mut split = Self::default();
        for i in 0..samples.len() {
            let digest = Sha256::digest(samples.sample(i));
            let mut first = [0; 8];
            first.copy_from_slice(&digest[..8]);
            let at = u64::from_be_bytes(first) as f64 / u64::MAX as f64;
            let (validation, test) = (f64::from(shares.validation), f64::from(shares.test));
            if at < test {
                split.test.push(i);
            } else if at < test + validation {
                split.validation.push(i);
            } else {
                split.train.push(i);
            }
        }
        split
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_samples_lie_in_one_part() {
        let mut samples = Samples {
            shape: [1, 2, 1],
            classes: vec!["a".into()],
            ..Samples::default()
        };
        for i in 0..2000u32 {
            let i = i % 1000;
            samples.values.extend([(i % 256) as u8, (i / 256) as u8]);
            samples.labels.push(0);
        }
        let shares = Shares {
            validation: 0.2,
            test: 0.1,
        };
        let split = Split::by_content(&samples, shares);
        assert!(
            (330..470).contains(&split.validation.len()),
            "{}",
            split.validation.len()
        );
        assert!(
            (150..260).contains(&split.test.len()),
            "{}",
            split.test.len()
        );
        for part in [&split.train, &split.validation, &split.test] {
            for i in part.iter().filter(|i| **i < 1000) {
                assert!(part.contains(&(i + 1000)));
            }
        }
    }
}
