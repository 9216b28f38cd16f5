//! Runs a network.
use super::{EPSILON, Layer, Network, Node, Value};
use crate::op::{self, Geometry};
use crate::random::Random;
use candle_core::{Result, Tensor, bail};
use cygnet_kernels::Activation;

/// How a network runs.
pub enum Mode<'a> {
    /// With the batch's statistics, which go into the running ones, and with dropout.
    Train(&'a mut Random),
    /// With the running statistics.
    Evaluate,
}

/// The values of a run.
pub struct Outputs {
    values: Vec<Option<Tensor>>,
}

impl Outputs {
    /// The value of a node that was kept: the last, and those asked for.
    ///
    /// # Errors
    /// A value that was not kept.
    pub fn get(&self, value: Value) -> Result<&Tensor> {
        match self.values.get(value.0) {
            Some(Some(tensor)) => Ok(tensor),
            _ => bail!("the value of layer {} was not kept", value.0),
        }
    }

    /// The network's output.
    ///
    /// # Errors
    /// None in a network that was built.
    pub fn last(&self) -> Result<&Tensor> {
        self.get(Value(self.values.len() - 1))
    }
}

impl Network {
    /// The output for `x` `[batch, ...]`.
    ///
    /// # Errors
    /// An input of another shape.
    pub fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        self.run(x, mode, &[])?.last().cloned()
    }

    /// Runs the network and keeps the values `keep` beside the last.
    ///
    /// # Errors
    /// An input of another shape.
    pub fn run(&mut self, x: &Tensor, mut mode: Mode, keep: &[Value]) -> Result<Outputs> {
        if x.dims().get(1..) != Some(self.input_shape()) {
            bail!(
                "the network takes [batch, {:?}], not {:?}",
                self.input_shape(),
                x.dims()
            );
        }
        let last_use = self.last_uses(keep);
        let mut values: Vec<Option<Tensor>> = vec![None; self.nodes.len()];
        for i in 0..self.nodes.len() {
            let node = self.nodes[i].clone();
            let inputs = node
                .inputs
                .iter()
                .map(|v| values[v.0].clone().ok_or_else(|| gone(&node)))
                .collect::<Result<Vec<_>>>()?;
            let value = self.step(&node, x, &inputs, &mut mode)?;
            values[i] = Some(value);
            for (v, last) in last_use.iter().enumerate() {
                if *last == i {
                    values[v] = None;
                }
            }
        }
        Ok(Outputs { values })
    }

    /// The step after which each value is no longer needed.
    fn last_uses(&self, keep: &[Value]) -> Vec<usize> {
        let mut last = vec![usize::MAX; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate() {
            for v in &node.inputs {
                last[v.0] = i;
            }
        }
        for v in keep {
            last[v.0] = usize::MAX;
        }
        last
    }

    fn step(
        &mut self,
        node: &Node,
        x: &Tensor,
        inputs: &[Tensor],
        mode: &mut Mode,
    ) -> Result<Tensor> {
        let name = &node.name;
        match &node.layer {
            Layer::Input { .. } => Ok(x.clone()),
            Layer::Block {
                geometry,
                activation,
            } => {
                let weight = self.parameter(&format!("{name}.weight"))?.clone();
                match mode {
                    Mode::Train(_) => {
                        let affine = self.parameter(&format!("{name}.affine"))?.clone();
                        let (y, statistics) = op::block(
                            &inputs[0],
                            &weight,
                            &affine,
                            *geometry,
                            EPSILON,
                            *activation,
                        )?;
                        self.keep_up(name, &statistics);
                        Ok(y)
                    }
                    Mode::Evaluate => {
                        let affine = self.running_affine(name)?;
                        let affine = Tensor::from_vec(affine, (2, node.shape[2]), &self.device)?;
                        let z = op::convolve(&inputs[0], &weight.detach(), *geometry)?;
                        op::affine(&z, &affine, *activation)
                    }
                }
            }
            Layer::Linear { activation } => {
                let weight = self.parameter(&format!("{name}.weight"))?;
                let bias = self.parameter(&format!("{name}.bias"))?;
                let x = &inputs[0];
                let (i, o) = weight.dims2()?;
                let rows = x.elem_count() / i;
                let y = op::convolve(
                    &x.reshape((rows, 1, 1, i))?,
                    &weight.reshape((1, 1, i, o))?,
                    Geometry::POINTWISE,
                )?;
                let mut shape = x.dims().to_vec();
                if let Some(last) = shape.last_mut() {
                    *last = o;
                }
                let y = y.reshape(shape)?.broadcast_add(bias)?;
                match activation {
                    Activation::Relu => y.relu(),
                    _ => Ok(y),
                }
            }
            Layer::Add => &inputs[0] + &inputs[1],
            Layer::MeanPixels => op::mean_pixels(&inputs[0]),
            Layer::Flatten => inputs[0].flatten_from(1),
            Layer::Dropout { share } => match mode {
                Mode::Train(random) => {
                    let keep = 1.0 - share;
                    let mask: Vec<f32> = (0..inputs[0].elem_count())
                        .map(|_| if random.chance(keep) { 1.0 / keep } else { 0.0 })
                        .collect();
                    &inputs[0] * Tensor::from_vec(mask, inputs[0].shape(), &self.device)?
                }
                Mode::Evaluate => Ok(inputs[0].clone()),
            },
        }
    }
}

fn gone(node: &Node) -> candle_core::Error {
    candle_core::Error::Msg(format!("{} reads a value that comes after it", node.name))
}
