//! Architectures, each a function over [`crate::network::Builder`] to use or to copy.
mod mlp;
mod mobilenet;
mod small;

pub use mlp::{autoencoder, mlp};
pub use mobilenet::{efficientnet_lite0, mobilenet_v1, mobilenet_v2, mobilenet_v3_small};
pub use small::{ds_cnn, gru, resnet, tiny};

use crate::error::TrainingError;
use crate::network::{Builder, Network};
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// Largest factor of channels.
const MOST_WIDTH: f32 = 16.0;
/// Most channels or units of a layer.
const MOST_UNITS: usize = 1 << 16;
/// Most halvings of a residual network.
const MOST_STAGES: usize = 8;

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
    /// [`mobilenet_v3_small`].
    MobilenetV3Small {
        /// Factor of the channels.
        width: f32,
        /// Share of the last features that dropout zeroes while training.
        #[serde(default)]
        dropout: f32,
    },
    /// [`efficientnet_lite0`].
    #[serde(rename = "efficientnet-lite0")]
    EfficientnetLite0 {
        /// Share of the last features that dropout zeroes while training.
        #[serde(default)]
        dropout: f32,
    },
    /// [`ds_cnn`].
    DsCnn {
        /// Channels of every layer.
        channels: usize,
    },
    /// [`gru`].
    Gru {
        /// Numbers of the state.
        units: usize,
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
    /// What is wrong with its sizes, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        let positive = |name: &str, value: f32| {
            let wrong = !(value > 0.0 && value <= MOST_WIDTH);
            wrong.then(|| format!("{name} = {value}: it is above 0, and {MOST_WIDTH} at most"))
        };
        let some = |name: &str, value: usize| {
            let wrong = !(1..=MOST_UNITS).contains(&value);
            wrong.then(|| format!("{name} = {value}: it lies between 1 and {MOST_UNITS}"))
        };
        let share = |name: &str, value: f32| {
            let wrong = !(0.0..1.0).contains(&value);
            wrong.then(|| format!("{name} = {value}: it lies between 0 and 1"))
        };
        match *self {
            Self::MobilenetV1 { width } | Self::MobilenetV2 { width } => positive("width", width),
            Self::MobilenetV3Small { width, dropout } => {
                positive("width", width).or(share("dropout", dropout))
            }
            Self::EfficientnetLite0 { dropout } => share("dropout", dropout),
            Self::DsCnn { channels } | Self::Tiny { channels } => some("channels", channels),
            Self::Gru { units } => some("units", units),
            Self::Resnet {
                stages,
                blocks,
                width,
            } => positive("width", width)
                .or((!(1..=MOST_STAGES).contains(&stages))
                    .then(|| format!("stages = {stages}: it lies between 1 and {MOST_STAGES}")))
                .or(some("blocks", blocks)),
            Self::Mlp {
                hidden, dropout, ..
            } => some("hidden", hidden).or(share("dropout", dropout)),
            Self::Autoencoder {
                hidden, bottleneck, ..
            } => some("hidden", hidden).or(some("bottleneck", bottleneck)),
        }
    }

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
            Self::MobilenetV3Small { width, dropout } => {
                mobilenet_v3_small(&mut b, x, (width, dropout), classes)?
            }
            Self::EfficientnetLite0 { dropout } => efficientnet_lite0(&mut b, x, dropout, classes)?,
            Self::DsCnn { channels } => ds_cnn(&mut b, x, channels, classes)?,
            Self::Gru { units } => gru(&mut b, x, units, classes)?,
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
