//! Labelled samples: how they are read, split and varied.
mod augment;
mod idx;
mod pictures;
mod split;

pub use augment::Augment;
pub use idx::read_idx;
pub use pictures::read_pictures;
pub use split::{Shares, Split};

use crate::random::Random;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Samples of one shape with a class each. Values are bytes, 255 for 1.0.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Sizes of a sample, `[height, width, channels]`.
    pub shape: [usize; 3],
    /// The samples one after the other.
    pub values: Vec<u8>,
    /// Class of each.
    pub labels: Vec<u32>,
    /// Names of the classes.
    pub classes: Vec<String>,
}

/// A batch as the trainer takes it.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, height, width, channels]`, 0 to 1.
    pub x: Tensor,
    /// Share of each class, `[batch, classes]`.
    pub targets: Tensor,
}

impl Samples {
    /// Number of samples.
    pub const fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of a sample.
    pub const fn size(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// The bytes of sample `i`.
    pub fn sample(&self, i: usize) -> &[u8] {
        &self.values[i * self.size()..(i + 1) * self.size()]
    }

    /// The samples with those numbers.
    pub fn choose(&self, numbers: &[usize]) -> Self {
        Self {
            shape: self.shape,
            values: numbers
                .iter()
                .flat_map(|&i| self.sample(i))
                .copied()
                .collect(),
            labels: numbers.iter().map(|&i| self.labels[i]).collect(),
            classes: self.classes.clone(),
        }
    }

    /// Samples of each class.
    pub fn balance(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for label in &self.labels {
            if let Some(count) = counts.get_mut(*label as usize) {
                *count += 1;
            }
        }
        counts
    }

    /// Samples `numbers` as they are, as floats from 0 to 1.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn plain(&self, numbers: &[usize], device: &Device) -> Result<Tensor> {
        let values = numbers
            .iter()
            .flat_map(|&i| self.sample(i))
            .map(|v| f32::from(*v) / 255.0)
            .collect();
        let [h, w, c] = self.shape;
        Tensor::from_vec(values, (numbers.len(), h, w, c), device)
    }

    /// Samples `numbers`, varied; each draws from a stream of its own, so that the batch does not depend on threads.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn varied(
        &self,
        numbers: &[usize],
        augment: &Augment,
        smoothing: f32,
        (seed, epoch): (u64, u64),
        device: &Device,
    ) -> Result<Batch> {
        let size = self.size();
        let classes = self.classes.len();
        let mut values = vec![0f32; numbers.len() * size];
        values
            .par_chunks_mut(size.max(1))
            .zip(numbers)
            .for_each(|(out, &i)| {
                let mut random = Random::new(seed ^ (epoch << 32), 16 + i as u64);
                augment.apply(self.sample(i), self.shape, &mut random, out);
            });
        let mut targets = vec![smoothing / classes as f32; numbers.len() * classes];
        for (row, &i) in targets.chunks_exact_mut(classes).zip(numbers) {
            row[self.labels[i] as usize] += 1.0 - smoothing;
        }
        if let Some(&first) = numbers.first() {
            let mut random = Random::new(seed ^ (epoch << 32), 8 + (first as u64) * 16);
            augment.mix(&mut values, size, &mut targets, classes, &mut random);
        }
        let [h, w, c] = self.shape;
        Ok(Batch {
            x: Tensor::from_vec(values, (numbers.len(), h, w, c), device)?,
            targets: Tensor::from_vec(targets, (numbers.len(), classes), device)?,
        })
    }
}
