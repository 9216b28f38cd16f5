//! A network as data: nodes in order of execution, with their parameters. What trains, prunes, quantises and exports
//! models reads it; a model is a function that builds one.
mod build;
mod by_candle;
mod channels;
mod gru;
mod pass;
mod quantized;
#[cfg(test)]
mod tests;

pub use build::{Builder, HARD_SIGMOID, Value};
pub use channels::{Channels, Cost};
pub use pass::{Gradients, Pass};
pub use quantized::{Point, RoundedWeights};

use crate::op::{Geometry, Memory};
use candle_core::{Device, Result, Tensor, Var, bail};
use cygnet_kernels::Activation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Share of the batch's statistics in the running ones at each step.
const MOMENTUM: f32 = 0.1;
/// Added to variances.
pub const EPSILON: f32 = 1e-3;

/// What a node does.
#[derive(Clone, Debug)]
pub enum Layer {
    /// The input of the network; images are `[batch, height, width, channels]`.
    Input,
    /// Convolution, batch normalisation, activation. Parameters `NAME.weight`, `NAME.affine`, running statistics.
    Block {
        /// The convolution.
        geometry: Geometry,
        /// Applied last.
        activation: Activation,
    },
    /// Convolution with `NAME.weight` plus `NAME.bias`, then the activation: what is left of a block once its
    /// normalisation is folded into its weights.
    Convolution {
        /// The convolution.
        geometry: Geometry,
        /// Applied last.
        activation: Activation,
    },
    /// A product with `NAME.weight` `[in, out]`, plus `NAME.bias`, of the last dimension, then the activation (`None`, `Relu`,
    /// `HardSwish` or `HardSigmoid`).
    Linear {
        /// Applied last.
        activation: Activation,
    },
    /// The sum of two values.
    Add,
    /// A gated recurrent unit over the rows of an image; its value is the last state. Parameters `NAME.weight` `[inputs, 3
    /// units]`, `NAME.recurrent` `[units, 3 units]`, `NAME.bias`, `NAME.recurrent_bias`; gates in the order update, reset, candidate.
    Gru,
    /// An image times a number for each of its channels, the second input (squeeze and excitation: Hu, Shen and Sun, 2018).
    Gate,
    /// The mean of all pixels.
    MeanPixels,
    /// All dimensions but the batch as one.
    Flatten,
    /// Zeroes a share of the values while training and scales the others (Srivastava et al., 2014).
    Dropout {
        /// The share.
        share: f32,
    },
}

impl Layer {
    /// Whether it has a parameter `NAME.weight`.
    pub const fn has_weights(&self) -> bool {
        matches!(
            self,
            Self::Block { .. } | Self::Convolution { .. } | Self::Linear { .. } | Self::Gru
        )
    }
}

/// One step of a network.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name, unique in the network; its parameters begin with it.
    pub name: String,
    /// What it does.
    pub layer: Layer,
    /// The nodes it reads.
    pub inputs: Vec<Value>,
    /// Sizes of its result without the batch.
    pub shape: Vec<usize>,
}

/// Running mean and variance of a normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Means by channel.
    pub mean: Vec<f32>,
    /// Variances by channel.
    pub variance: Vec<f32>,
}

/// A network and its parameters.
#[derive(Debug)]
pub struct Network {
    /// Steps, each after those it reads.
    pub nodes: Arc<Vec<Node>>,
    /// What is learnt, by name.
    pub parameters: BTreeMap<String, Var>,
    /// What is kept up beside learning, by the name of the block.
    pub running: BTreeMap<String, Running>,
    /// Layers that do not learn, whose normalisations keep their running statistics.
    pub frozen: BTreeSet<String>,
    /// Where the parameters lie.
    pub device: Device,
    /// Scale and zero point of every node's values, where the network computes as it will in 8-bit integers.
    pub points: Option<Arc<Vec<Point>>>,
    /// Memory of values from step to step.
    memory: Arc<Mutex<Memory>>,
    /// Whether the CPU runs the kernels here, and not candle's operators.
    kernels: bool,
}

impl Network {
    /// The parameter of that name.
    ///
    /// # Errors
    /// When there is none.
    pub fn parameter(&self, name: &str) -> Result<&Tensor> {
        match self.parameters.get(name) {
            Some(var) => Ok(var.as_tensor()),
            None => bail!("the network has no parameter {name}"),
        }
    }

    /// Numbers that are learnt.
    pub fn parameter_count(&self) -> usize {
        self.parameters.values().map(|v| v.elem_count()).sum()
    }

    /// Whether a parameter belongs to a layer that does not learn.
    pub fn is_frozen(&self, parameter: &str) -> bool {
        let layer = parameter.rsplit_once('.').map_or(parameter, |(l, _)| l);
        self.frozen.contains(layer)
    }

    /// The last value of each picture size, in the order of the first: where a network is cut into stages.
    pub fn last_of_sizes(&self) -> Vec<([usize; 2], Value)> {
        let mut all: Vec<([usize; 2], Value)> = Vec::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let &[h, w, _] = &node.shape[..] else {
                continue;
            };
            if matches!(node.layer, Layer::Input) {
                continue;
            }
            match all.iter_mut().find(|(size, _)| *size == [h, w]) {
                Some((_, value)) => *value = Value::at(n),
                None => all.push(([h, w], Value::at(n))),
            }
        }
        all
    }

    /// The last node's sizes without the batch.
    pub fn output_shape(&self) -> &[usize] {
        self.nodes.last().map_or(&[], |node| &node.shape)
    }

    /// The input's sizes without the batch.
    pub fn input_shape(&self) -> &[usize] {
        self.nodes.first().map_or(&[], |node| &node.shape)
    }

    /// Takes the statistics of a batch into the running ones.
    fn keep_up(&mut self, name: &str, batch: &crate::op::Statistics) {
        let Some(running) = self.running.get_mut(name) else {
            return;
        };
        // Of the population, as frameworks keep it: the estimate from n pixels is n / (n - 1) of the batch's.
        let n = batch.pixels as f32;
        let unbiased = if batch.pixels > 1 { n / (n - 1.0) } else { 1.0 };
        for (r, m) in running.mean.iter_mut().zip(&batch.mean) {
            *r += MOMENTUM * (m - *r);
        }
        for (r, v) in running.variance.iter_mut().zip(&batch.variance) {
            *r += MOMENTUM * (v * unbiased - *r);
        }
    }

    /// Scale and shift of a block's normalisation by its running statistics, `[2][channels]`.
    ///
    /// # Errors
    /// When the node is no block.
    pub fn running_affine(&self, name: &str) -> Result<Vec<f32>> {
        let Some(running) = self.running.get(name) else {
            bail!("{name} is no convolution block");
        };
        let affine = self
            .parameter(&format!("{name}.affine"))?
            .flatten_all()?
            .to_vec1::<f32>()?;
        let c = running.mean.len();
        let mut out = vec![0.0; 2 * c];
        for j in 0..c {
            out[j] = affine[j] / (running.variance[j] + EPSILON).sqrt();
            out[c + j] = affine[c + j] - running.mean[j] * out[j];
        }
        Ok(out)
    }
}
