//! Builds networks layer by layer.
use super::{Layer, Network, Node, Running};
use crate::op::{Geometry, Kind};
use crate::random::Random;
use candle_core::{Device, Result, Tensor, Var, bail};
use cygnet_kernels::Activation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The result of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(super) usize);

impl Value {
    pub(super) const fn at(index: usize) -> Self {
        Self(index)
    }

    /// The node's place in [`Network::nodes`].
    pub const fn index(self) -> usize {
        self.0
    }
}

/// As MobileNetV3 has it.
pub const HARD_SIGMOID: Activation = Activation::HardSigmoid(1.0 / 6.0, 0.5);

/// Builds a [`Network`]; parameters begin as seeded random numbers.
pub struct Builder {
    network: Network,
    nodes: Vec<Node>,
    random: Random,
}

impl Builder {
    /// A builder on a device; the seed decides the initial parameters.
    pub fn new(device: &Device, seed: u64) -> Self {
        Self {
            network: Network {
                nodes: Arc::default(),
                parameters: BTreeMap::new(),
                running: BTreeMap::new(),
                frozen: BTreeSet::new(),
                device: device.clone(),
                points: None,
                memory: Arc::default(),
                kernels: true,
            },
            nodes: Vec::new(),
            random: Random::new(seed, 1),
        }
    }

    /// The input; `shape` leaves the batch out.
    ///
    /// # Errors
    /// When the network has one already.
    pub fn input(&mut self, shape: &[usize]) -> Result<Value> {
        self.push("input", Layer::Input, &[], shape.to_vec())
    }

    fn push(
        &mut self,
        name: &str,
        layer: Layer,
        inputs: &[Value],
        shape: Vec<usize>,
    ) -> Result<Value> {
        if self.nodes.iter().any(|node| node.name == name) {
            bail!("two layers are called {name}");
        }
        if matches!(layer, Layer::Input) != self.nodes.is_empty() {
            bail!("a network begins with its one input");
        }
        self.nodes.push(Node {
            name: name.to_owned(),
            layer,
            inputs: inputs.to_vec(),
            shape,
        });
        Ok(Value(self.nodes.len() - 1))
    }

    fn shape(&self, x: Value) -> &[usize] {
        &self.nodes[x.0].shape
    }

    /// Height and width of an image.
    ///
    /// # Errors
    /// Values that are no images.
    pub fn size(&self, x: Value) -> Result<[usize; 2]> {
        match *self.shape(x) {
            [h, w, _] => Ok([h, w]),
            ref other => bail!("{other:?} is no image"),
        }
    }

    /// Channels of a value.
    pub fn channels(&self, x: Value) -> usize {
        self.shape(x).last().copied().unwrap_or(0)
    }

    fn parameter(&mut self, name: String, shape: &[usize], values: Vec<f32>) -> Result<()> {
        let tensor = Tensor::from_vec(values, shape, &self.network.device)?;
        self.network
            .parameters
            .insert(name, Var::from_tensor(&tensor)?);
        Ok(())
    }

    /// Normal numbers of variance `gain / inputs` (He et al., 2015).
    fn weights(&mut self, name: &str, shape: &[usize], inputs: usize, gain: f32) -> Result<()> {
        let deviation = (gain / inputs.max(1) as f32).sqrt();
        let values = (0..shape.iter().product())
            .map(|_| self.random.normal() * deviation)
            .collect();
        self.parameter(format!("{name}.weight"), shape, values)
    }

    /// Convolution with batch normalisation and activation; `channels` are the output's (a depthwise convolution keeps
    /// its input's).
    ///
    /// # Errors
    /// Windows larger than the padded input, names that exist.
    pub fn block(
        &mut self,
        name: &str,
        x: Value,
        channels: usize,
        kernel: [usize; 2],
        geometry: Geometry,
        activation: Activation,
    ) -> Result<Value> {
        let input = self.channels(x);
        let weights = match geometry.kind {
            Kind::Dense => vec![kernel[0], kernel[1], input, channels],
            Kind::Depthwise => vec![kernel[0], kernel[1], input],
        };
        let mut full = vec![1];
        full.extend_from_slice(self.shape(x));
        let p = geometry.shape(&full, &weights)?;
        let c = p.out_channels;
        let layer = Layer::Block {
            geometry,
            activation,
        };
        let value = self.push(name, layer, &[x], vec![p.output[1], p.output[2], c])?;
        self.weights(name, &weights, geometry.fan_in(&weights), 2.0)?;
        let mut affine = vec![1.0; c];
        affine.resize(2 * c, 0.0);
        self.parameter(format!("{name}.affine"), &[2, c], affine)?;
        let running = Running {
            mean: vec![0.0; c],
            variance: vec![1.0; c],
        };
        self.network.running.insert(name.to_owned(), running);
        Ok(value)
    }

    /// A dense layer on the last dimension.
    ///
    /// # Errors
    /// Names that exist, activations other than `None`, `Relu`, `HardSwish` and `HardSigmoid`.
    pub fn linear(
        &mut self,
        name: &str,
        x: Value,
        outputs: usize,
        activation: Activation,
    ) -> Result<Value> {
        if !matches!(
            activation,
            Activation::None | Activation::Relu | Activation::HardSwish | HARD_SIGMOID
        ) {
            bail!(
                "a dense layer takes the activations None, Relu, HardSwish and HardSigmoid, not {activation:?}"
            );
        }
        let inputs = self.channels(x);
        let mut shape = self.shape(x).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let value = self.push(name, Layer::Linear { activation }, &[x], shape)?;
        let gain = if activation == Activation::None {
            1.0
        } else {
            2.0
        };
        self.weights(name, &[inputs, outputs], inputs, gain)?;
        self.parameter(format!("{name}.bias"), &[outputs], vec![0.0; outputs])?;
        Ok(value)
    }

    /// A gated recurrent unit over the rows `[width, channels]` of an image, `[units]`.
    ///
    /// # Errors
    /// Values that are no images.
    pub fn gru(&mut self, name: &str, x: Value, units: usize) -> Result<Value> {
        let &[_, width, channels] = self.shape(x) else {
            bail!(
                "{name} goes through the rows of an image, not {:?}",
                self.shape(x)
            );
        };
        let inputs = width * channels;
        let value = self.push(name, Layer::Gru, &[x], vec![units])?;
        self.weights(name, &[inputs, 3 * units], inputs, 1.0)?;
        let deviation = (1.0 / units.max(1) as f32).sqrt();
        let recurrent = (0..units * 3 * units)
            .map(|_| self.random.normal() * deviation)
            .collect();
        self.parameter(format!("{name}.recurrent"), &[units, 3 * units], recurrent)?;
        for kind in ["bias", "recurrent_bias"] {
            self.parameter(format!("{name}.{kind}"), &[3 * units], vec![0.0; 3 * units])?;
        }
        Ok(value)
    }

    /// The sum of two values of one shape.
    ///
    /// # Errors
    /// Shapes that differ.
    pub fn add(&mut self, name: &str, a: Value, b: Value) -> Result<Value> {
        if self.shape(a) != self.shape(b) {
            bail!("{name} adds {:?} and {:?}", self.shape(a), self.shape(b));
        }
        let shape = self.shape(a).to_vec();
        self.push(name, Layer::Add, &[a, b], shape)
    }

    /// An image times a number for each of its channels, `[channels]`.
    ///
    /// # Errors
    /// Values that are no image and its channels.
    pub fn gate(&mut self, name: &str, x: Value, factors: Value) -> Result<Value> {
        let (image, by) = (self.shape(x).to_vec(), self.shape(factors));
        if image.len() != 3 || by != &image[2..] {
            bail!(
                "{name} multiplies {image:?} by {by:?}: it takes an image and a number a channel"
            );
        }
        self.push(name, Layer::Gate, &[x, factors], image)
    }

    /// The mean of all pixels: `[height, width, channels]` to `[channels]`.
    ///
    /// # Errors
    /// Values that are no images.
    pub fn mean_pixels(&mut self, name: &str, x: Value) -> Result<Value> {
        let &[_, _, c] = self.shape(x) else {
            bail!("{name} averages images, not {:?}", self.shape(x));
        };
        self.push(name, Layer::MeanPixels, &[x], vec![c])
    }

    /// All dimensions but the batch as one.
    ///
    /// # Errors
    /// Names that exist.
    pub fn flatten(&mut self, name: &str, x: Value) -> Result<Value> {
        let n = self.shape(x).iter().product();
        self.push(name, Layer::Flatten, &[x], vec![n])
    }

    /// Dropout of a share of the values; none for 0.
    ///
    /// # Errors
    /// Shares outside of 0..1.
    pub fn dropout(&mut self, name: &str, x: Value, share: f32) -> Result<Value> {
        if share == 0.0 {
            return Ok(x);
        }
        if !(0.0..1.0).contains(&share) {
            bail!("{name} drops a share of {share}; it lies between 0 and 1");
        }
        let shape = self.shape(x).to_vec();
        self.push(name, Layer::Dropout { share }, &[x], shape)
    }

    /// The network; the last layer's value is its output.
    ///
    /// # Errors
    /// A network without layers.
    pub fn finish(mut self) -> Result<Network> {
        if self.nodes.len() < 2 {
            bail!("a network needs layers");
        }
        self.network.nodes = Arc::new(self.nodes);
        Ok(self.network)
    }
}
