//! Architectures, each a function over [`crate::network::Builder`] to use or to copy.
mod mlp;
mod mobilenet;
mod small;

pub use mlp::{autoencoder, mlp};
pub use mobilenet::{mobilenet_v1, mobilenet_v2};
pub use small::{ds_cnn, resnet, tiny};

use crate::error::TrainingError;
use crate::network::{Builder, Network};
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// An architecture by name, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Architecture {
    /// [`mobilenet_v1`].
    MobilenetV1 {
        /// Factor of the channels.
        width: f32,
    },
    /// [`mobilenet_v2`].
    MobilenetV2 {
        /// Factor of the channels.
        width: f32,
    },
    /// [`ds_cnn`].
    DsCnn {
        /// Channels of every layer.
        channels: usize,
    },
    /// [`resnet`].
    Resnet {
        /// Halvings, plus one.
        stages: usize,
        /// Residual blocks of a stage.
        blocks: usize,
        /// Factor of the channels.
        width: f32,
    },
    /// [`mlp`].
    Mlp {
        /// Dense layers before the last.
        layers: usize,
        /// Units of each.
        hidden: usize,
        /// Share of the units that dropout zeroes while training.
        #[serde(default)]
        dropout: f32,
    },
    /// [`autoencoder`].
    Autoencoder {
        /// Dense layers before and behind the narrow one.
        layers: usize,
        /// Units of each.
        hidden: usize,
        /// Units of the narrow one.
        bottleneck: usize,
    },
    /// [`tiny`].
    Tiny {
        /// Channels of the first layer.
        channels: usize,
    },
}

impl Architecture {
    /// The network with seeded initial parameters.
    ///
    /// # Errors
    /// Inputs that are too small.
    pub fn build(
        &self,
        input: [usize; 3],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Network, TrainingError> {
        let mut b = Builder::new(device, seed);
        let x = b.input(&input)?;
        match *self {
            Self::MobilenetV1 { width } => mobilenet_v1(&mut b, x, width, classes)?,
            Self::MobilenetV2 { width } => mobilenet_v2(&mut b, x, width, classes)?,
            Self::DsCnn { channels } => ds_cnn(&mut b, x, channels, classes)?,
            Self::Resnet {
                stages,
                blocks,
                width,
            } => resnet(&mut b, x, (stages, blocks), width, classes)?,
            Self::Mlp {
                layers,
                hidden,
                dropout,
            } => mlp(&mut b, x, (layers, hidden, dropout), classes)?,
            Self::Autoencoder {
                layers,
                hidden,
                bottleneck,
            } => autoencoder(&mut b, x, (layers, hidden, bottleneck))?,
            Self::Tiny { channels } => tiny(&mut b, x, channels, classes)?,
        };
        Ok(b.finish()?)
    }
}
