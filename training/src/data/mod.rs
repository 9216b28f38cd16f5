//! Labelled samples: how they are read, split and varied.
mod annotations;
mod arrays;
mod augment;
mod blend;
pub mod coco;
mod disturb;
mod folder;
mod group;
mod idx;
mod pictures;
mod sounds;
mod split;
mod table;
mod values;
pub mod wav;

pub use annotations::read_annotated;
pub use arrays::{read_npy, read_npz};
pub use augment::{Augment, Kind};
pub use group::Pattern;
pub use idx::read_idx;
pub use pictures::read_pictures;
pub use sounds::{Recording, read_sounds};
pub use split::{Named, Shares, Split};
pub use table::{Columns, read_table};
pub use values::Values;

use crate::front::Front;
use crate::random::Random;
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;
use std::path::PathBuf;

/// Files, or rows of files, that could not be read, and why.
pub type Damaged = Vec<(PathBuf, String)>;

/// Samples of one shape with a class each.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Sizes of a sample: `[height, width, channels]` of a picture, `[1, length, 1]` of a sound.
    pub shape: [usize; 3],
    /// The samples one after the other.
    pub values: Values,
    /// Class of each.
    pub labels: Vec<u32>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// What each belongs to and must not be parted from, such as the speaker; empty when nothing is known.
    pub groups: Vec<String>,
    /// What a sample becomes before the network reads it.
    pub front: Front,
    /// Sounds to mix in while training.
    pub background: Vec<Vec<i16>>,
    /// What is learnt of them.
    pub task: Task,
}

/// What is learnt of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// Their classes.
    #[default]
    Classes,
    /// The samples themselves, of the class of that number: what is reconstructed badly is of another kind.
    Reconstruction(u32),
}

/// A batch as the trainer takes it.
#[derive(Debug)]
pub struct Batch {
    /// `[batch, height, width, channels]`; pictures from 0 to 1.
    pub x: Tensor,
    /// What the network is to say: the share of each class, `[batch, classes]`, or what it reads, `[batch, numbers]`.
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

    /// Numbers of a sample.
    pub const fn size(&self) -> usize {
        self.shape[0] * self.shape[1] * self.shape[2]
    }

    /// Sizes of what the network reads, `[height, width, channels]`.
    pub fn input_shape(&self) -> [usize; 3] {
        self.front.shape(self.shape)
    }

    /// Sample `i` as it was read, as floats.
    pub fn floats(&self, i: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.size()];
        self.values
            .write(i * self.size()..(i + 1) * self.size(), &mut out);
        out
    }

    /// The bytes of sample `i`, for digests.
    pub fn bytes(&self, i: usize) -> Vec<u8> {
        self.values.to_bytes(i * self.size()..(i + 1) * self.size())
    }

    /// Numbers that a network says of a sample.
    pub fn outputs(&self) -> usize {
        match self.task {
            Task::Classes => self.classes.len(),
            Task::Reconstruction(_) => self.input_shape().iter().product(),
        }
    }

    /// Takes what the front end needs to know from the samples to learn from.
    ///
    /// # Errors
    /// Samples that do not fit the front end.
    pub fn settle(&mut self, train: &[usize]) -> std::result::Result<(), crate::TrainingError> {
        let mut front = std::mem::take(&mut self.front);
        let settled = front.settle(self, train);
        self.front = front;
        settled
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

    /// Samples `numbers` as the network reads them.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn plain(&self, numbers: &[usize], device: &Device) -> Result<Tensor> {
        self.tensor(numbers, device, |i, out| {
            self.front.apply(&self.floats(i), out);
        })
    }

    fn tensor(
        &self,
        numbers: &[usize],
        device: &Device,
        make: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<Tensor> {
        let [h, w, c] = self.input_shape();
        let mut values = vec![0f32; numbers.len() * h * w * c];
        values
            .par_chunks_mut((h * w * c).max(1))
            .zip(numbers)
            .for_each(|(out, &i)| make(i, out));
        Tensor::from_vec(values, (numbers.len(), h, w, c), device)
    }

    /// Sample `i` varied, as the network reads it.
    fn vary(&self, i: usize, augment: &Augment, random: &mut Random, out: &mut [f32]) {
        let mut source = self.floats(i);
        match &self.front {
            Front::Plain => augment.apply(&source, self.shape, random, out),
            Front::Spectrum(spectrum) => {
                augment.disturb(&mut source, &self.background, random);
                spectrum.apply(&source, out);
                augment.mask(out, spectrum.width(), random);
            }
            Front::Table(table) => {
                table.apply(&source, out);
                augment.blur(out, random);
            }
        }
    }

    /// What the network is to say of samples `numbers`, of which a share is spread over all classes.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn targets(&self, numbers: &[usize], smoothing: f32, device: &Device) -> Result<Tensor> {
        match self.task {
            Task::Reconstruction(_) => self.plain(numbers, device)?.flatten_from(1),
            Task::Classes => {
                let shape = (numbers.len(), self.classes.len());
                Tensor::from_vec(self.shares(numbers, smoothing), shape, device)
            }
        }
    }

    /// Shares of the classes.
    fn shares(&self, numbers: &[usize], smoothing: f32) -> Vec<f32> {
        let classes = self.classes.len();
        let mut shares = vec![smoothing / classes as f32; numbers.len() * classes];
        for (row, &i) in shares.chunks_exact_mut(classes.max(1)).zip(numbers) {
            row[self.labels[i] as usize] += 1.0 - smoothing;
        }
        shares
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
        let classes = self.classes.len();
        let x = self.tensor(numbers, &Device::Cpu, |i, out| {
            let mut random = Random::new(seed ^ (epoch << 32), 16 + i as u64);
            self.vary(i, augment, &mut random, out);
        })?;
        if self.task != Task::Classes {
            return Ok(Batch {
                x: x.to_device(device)?,
                targets: self.targets(numbers, smoothing, device)?,
            });
        }
        let mut targets = self.shares(numbers, smoothing);
        let (x, targets) = match numbers.first() {
            Some(&first) if augment.mixes() => {
                let mut random = Random::new(seed ^ (epoch << 32), 8 + (first as u64) * 16);
                let shape = x.dims4()?;
                let mut values = x.flatten_all()?.to_vec1::<f32>()?;
                let size = self.input_shape();
                augment.mix(&mut values, size, &mut targets, classes, &mut random);
                (Tensor::from_vec(values, shape, &Device::Cpu)?, targets)
            }
            _ => (x, targets),
        };
        Ok(Batch {
            x: x.to_device(device)?,
            targets: Tensor::from_vec(targets, (numbers.len(), classes), device)?,
        })
    }
}
