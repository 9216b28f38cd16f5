//! Anomalies: what an autoencoder that knows normal samples alone reconstructs badly.
use crate::data::{Samples, Split, Task};
use crate::network::Network;
use candle_core::{D, Result};
use serde::{Deserialize, Serialize};

/// How anomalies are told from normal samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anomaly {
    /// The class of normal samples; all others are anomalies, from which nothing is learnt.
    pub normal: String,
    /// Percent of the normal validation samples whose error lies below the threshold.
    pub percentile: f32,
}

impl Default for Anomaly {
    fn default() -> Self {
        Self {
            normal: "normal".into(),
            percentile: 99.0,
        }
    }
}

/// The reconstruction error of samples: the mean of the squared differences.
///
/// # Errors
/// None but those of the device.
pub fn errors(network: &Network, samples: &Samples, numbers: &[usize]) -> Result<Vec<f32>> {
    let mut all = Vec::with_capacity(numbers.len());
    for numbers in numbers.chunks(256) {
        let x = samples.plain(numbers, &network.device)?;
        let y = network.evaluate(&x)?;
        let errors = (y - x.flatten_from(1)?)?.sqr()?.mean(D::Minus1)?;
        all.extend(errors.to_vec1::<f32>()?);
    }
    Ok(all)
}

/// How a network tells anomalies on test samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The error above which a sample is an anomaly.
    pub threshold: f32,
    /// How it does.
    pub found: Found,
}

/// How anomalies are told, of samples that are labelled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Share of the samples that are on the right side of the threshold.
    #[serde(skip)]
    pub right: f32,
    /// Area under the ROC curve, where there are anomalies.
    pub auc: Option<f32>,
    /// Share of the anomalies that are found, where there are any.
    pub found: Option<f32>,
    /// Share of the normal samples that are taken for anomalies.
    pub false_alarms: f32,
}

impl Found {
    /// Compares scores of samples `numbers` with a threshold.
    pub fn of(scores: &[f32], threshold: f32, samples: &Samples, numbers: &[usize]) -> Self {
        let Task::Reconstruction(normal) = samples.task else {
            return Self::default();
        };
        let (mut of_normal, mut of_others) = (Vec::new(), Vec::new());
        for (score, &i) in scores.iter().zip(numbers) {
            match samples.labels[i] == normal {
                true => of_normal.push(f64::from(*score)),
                false => of_others.push(f64::from(*score)),
            }
        }
        let above = |scores: &[f64]| {
            let threshold = f64::from(threshold);
            scores.iter().filter(|s| **s > threshold).count()
        };
        let share = |n: usize, of: usize| n as f32 / of.max(1) as f32;
        let (false_ones, true_ones) = (above(&of_normal), above(&of_others));
        Self {
            right: share(of_normal.len() - false_ones + true_ones, scores.len()),
            auc: auc(&of_normal, &of_others).map(|v| v as f32),
            found: (!of_others.is_empty()).then(|| share(true_ones, of_others.len())),
            false_alarms: share(false_ones, of_normal.len()),
        }
    }
}

impl Anomaly {
    /// Takes the threshold from the validation samples and judges the network on the test samples.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn judge(&self, network: &Network, samples: &Samples, split: &Split) -> Result<Verdict> {
        let threshold = threshold(
            &errors(network, samples, &split.validation)?,
            self.percentile,
        );
        let scores = errors(network, samples, &split.test)?;
        Ok(Verdict {
            threshold,
            found: Found::of(&scores, threshold, samples, &split.test),
        })
    }
}

/// The error below which `percent` of the errors lie.
pub fn threshold(errors: &[f32], percent: f32) -> f32 {
    let mut sorted = errors.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = (percent / 100.0 * sorted.len() as f32).ceil() as usize;
    let found = sorted.get(at.clamp(1, sorted.len().max(1)) - 1);
    found.copied().unwrap_or(0.0).max(f32::MIN_POSITIVE)
}

/// Area under the ROC curve: the probability that an anomaly scores higher than a normal sample, ties half (Mann and
/// Whitney, 1947). `None` without both; scores are numbers.
pub fn auc(normal: &[f64], anomalies: &[f64]) -> Option<f64> {
    if normal.is_empty() || anomalies.is_empty() {
        return None;
    }
    let mut sorted = normal.to_vec();
    sorted.sort_by(f64::total_cmp);
    let higher: f64 = anomalies
        .iter()
        .map(|a| {
            let below = sorted.partition_point(|n| n < a);
            let equal = sorted.partition_point(|n| n <= a) - below;
            below as f64 + equal as f64 / 2.0
        })
        .sum();
    Some(higher / (normal.len() as f64 * anomalies.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_thresholds() {
        assert_eq!(auc(&[1.0, 2.0], &[3.0, 4.0]), Some(1.0));
        assert_eq!(auc(&[1.0, 3.0], &[2.0]), Some(0.5));
        assert_eq!(auc(&[1.0, 1.0], &[1.0]), Some(0.5));
        assert_eq!(auc(&[2.0], &[1.0]), Some(0.0));
        assert_eq!(auc(&[], &[1.0]), None);
        let errors: Vec<f32> = (1..=100).rev().map(|v| v as f32).collect();
        assert_eq!(threshold(&errors, 99.0), 99.0);
        assert_eq!(threshold(&errors, 100.0), 100.0);
        assert_eq!(threshold(&[5.0], 50.0), 5.0);
        assert!(threshold(&[0.0], 50.0) > 0.0);
    }
}
