//! A network by candle's own operators: on devices without kernels here, and what the gradients are tested against.
use super::{EPSILON, Layer, Network, Node};
use crate::op::Statistics;
use crate::random::Random;
use candle_core::{Result, Tensor, bail};
use cygnet_kernels::Activation;

/// How a network runs here.
pub(super) struct Run<'a> {
    /// The network.
    pub network: &'a Network,
    /// Dropout's randomness, in training.
    pub random: Option<&'a mut Random>,
    /// Statistics of the batch by block.
    pub statistics: Vec<(String, Statistics)>,
}

impl Run<'_> {
    /// The value of every node.
    pub fn all(&mut self, x: &Tensor) -> Result<Vec<Tensor>> {
        if self.network.points.is_some() {
            bail!("networks in 8-bit integers are trained on the CPU alone");
        }
        let mut values: Vec<Tensor> = Vec::new();
        for node in self.network.nodes.iter() {
            let inputs: Vec<&Tensor> = node.inputs.iter().map(|v| &values[v.index()]).collect();
            let value = self.step(node, x, &inputs)?;
            values.push(value);
        }
        Ok(values)
    }

    fn step(&mut self, node: &Node, x: &Tensor, inputs: &[&Tensor]) -> Result<Tensor> {
        let name = &node.name;
        let network = self.network;
        match &node.layer {
            Layer::Input => Ok(x.clone()),
            Layer::Block {
                geometry,
                activation,
            } => {
                let z =
                    geometry.by_candle(inputs[0], network.parameter(&format!("{name}.weight"))?)?;
                let c = z.dim(3)?;
                let learns = self.random.is_some() && !network.frozen.contains(name);
                let y = if learns {
                    let affine = network.parameter(&format!("{name}.affine"))?;
                    let flat = z.reshape(((), c))?;
                    let mean = flat.mean_keepdim(0)?;
                    let centred = flat.broadcast_sub(&mean)?;
                    let variance = centred.sqr()?.mean_keepdim(0)?;
                    let deviation = (&variance + f64::from(EPSILON))?.sqrt()?;
                    let statistics = Statistics {
                        mean: mean.flatten_all()?.to_vec1()?,
                        variance: variance.flatten_all()?.to_vec1()?,
                        pixels: flat.dim(0)?,
                    };
                    self.statistics.push((name.clone(), statistics));
                    centred
                        .broadcast_div(&deviation)?
                        .broadcast_mul(&affine.get(0)?)?
                        .broadcast_add(&affine.get(1)?)?
                        .reshape(z.shape())?
                } else {
                    let affine = network.running_affine(name)?;
                    let affine = Tensor::from_vec(affine, (2, c), &network.device)?;
                    z.broadcast_mul(&affine.get(0)?)?
                        .broadcast_add(&affine.get(1)?)?
                };
                activate(&y, *activation)
            }
            Layer::Convolution {
                geometry,
                activation,
            } => {
                let weight = network.parameter(&format!("{name}.weight"))?;
                let bias = network.parameter(&format!("{name}.bias"))?;
                let y = geometry.by_candle(inputs[0], weight)?.broadcast_add(bias)?;
                activate(&y, *activation)
            }
            Layer::Linear { activation } => {
                let weight = network.parameter(&format!("{name}.weight"))?;
                let bias = network.parameter(&format!("{name}.bias"))?;
                let (i, o) = weight.dims2()?;
                let mut shape = inputs[0].dims().to_vec();
                if let Some(last) = shape.last_mut() {
                    *last = o;
                }
                let y = inputs[0]
                    .reshape(((), i))?
                    .matmul(weight)?
                    .broadcast_add(bias)?
                    .reshape(shape)?;
                activate(&y, *activation)
            }
            Layer::Add => inputs[0] + inputs[1],
            Layer::Gru => {
                let parameter = |kind: &str| network.parameter(&format!("{name}.{kind}"));
                let (recurrent, width) = (parameter("recurrent")?, node.shape[0]);
                let x = inputs[0].flatten_from(2)?;
                let mut state = Tensor::zeros((x.dim(0)?, width), x.dtype(), x.device())?;
                for t in 0..x.dim(1)? {
                    let row = x.narrow(1, t, 1)?.squeeze(1)?.contiguous()?;
                    let own = row
                        .matmul(parameter("weight")?)?
                        .broadcast_add(parameter("bias")?)?;
                    let back = state.matmul(recurrent)?;
                    let back = back.broadcast_add(parameter("recurrent_bias")?)?;
                    let part = |of: &Tensor, gate: usize| of.narrow(1, gate * width, width);
                    let sigmoid = |of: Tensor| (of.neg()?.exp()? + 1.0)?.recip();
                    let z = sigmoid((part(&own, 0)? + part(&back, 0)?)?)?;
                    let r = sigmoid((part(&own, 1)? + part(&back, 1)?)?)?;
                    let n = (part(&own, 2)? + (r * part(&back, 2)?)?)?.tanh()?;
                    state = (&n + (z * (state - &n)?)?)?;
                }
                Ok(state)
            }
            Layer::Gate => inputs[0].broadcast_mul(&inputs[1].unsqueeze(1)?.unsqueeze(1)?),
            Layer::MeanPixels => inputs[0].mean((1, 2)),
            Layer::Flatten => inputs[0].flatten_from(1),
            Layer::Dropout { share } => match &mut self.random {
                Some(random) => {
                    let mask = dropout(random, *share, inputs[0].elem_count());
                    inputs[0] * Tensor::from_vec(mask, inputs[0].shape(), &network.device)?
                }
                None => Ok(inputs[0].clone()),
            },
        }
    }
}

/// Factors of dropout: 0, or what keeps the mean.
pub(super) fn dropout(random: &mut Random, share: f32, n: usize) -> Vec<f32> {
    let keep = 1.0 - share;
    (0..n)
        .map(|_| if random.chance(keep) { 1.0 / keep } else { 0.0 })
        .collect()
}

fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::None => Ok(x.clone()),
        Activation::Relu => x.relu(),
        Activation::Clip(lo, hi) => x.clamp(lo, hi),
        Activation::HardSigmoid(alpha, beta) => x
            .affine(f64::from(alpha), f64::from(beta))?
            .clamp(0f32, 1f32),
        Activation::HardSwish => x * ((x / 6.0)? + 0.5)?.clamp(0f32, 1f32)?,
        other => bail!("layers do not take the activation {other:?}"),
    }
}
