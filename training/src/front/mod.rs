//! What a sample becomes before the network reads it: computed by the trainer, and by operators that are exported in front
//! of the network, so that a bundle takes samples as they come.
mod spectrum;
mod table;

pub(crate) use spectrum::FLOOR;
pub use spectrum::{Features, Kind, Spectrum};
pub use table::{Column, Table};

use crate::data::Samples;
use crate::error::TrainingError;

/// What a sample becomes before the network reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Front {
    /// Itself.
    #[default]
    Plain,
    /// Spectral features of a sound.
    Spectrum(Spectrum),
    /// Standardised numbers and categories of a row.
    Table(Table),
}

impl Front {
    /// Sizes of what the network reads, of samples of this shape.
    pub fn shape(&self, sample: [usize; 3]) -> [usize; 3] {
        match self {
            Self::Plain => sample,
            Self::Spectrum(s) => [s.frames(), s.width(), 1],
            Self::Table(t) => [1, 1, t.width()],
        }
    }

    /// Writes what the network reads of a sample.
    pub fn apply(&self, sample: &[f32], out: &mut [f32]) {
        match self {
            Self::Plain => out.copy_from_slice(sample),
            Self::Spectrum(s) => s.apply(sample, out),
            Self::Table(t) => t.apply(sample, out),
        }
    }

    /// Takes what it needs to know from the samples to learn from.
    ///
    /// # Errors
    /// None there to learn from.
    pub fn settle(&mut self, samples: &Samples, train: &[usize]) -> Result<(), TrainingError> {
        if *self != Self::Plain && train.is_empty() {
            return Err(TrainingError::Data(
                "no sample is left to learn from: add samples, or change the shares of the split"
                    .into(),
            ));
        }
        match self {
            Self::Plain => {}
            Self::Spectrum(s) => s.settle(samples, train),
            Self::Table(t) => t.settle(samples, train),
        }
        Ok(())
    }
}
