//! A pass through a network: forward, and backward through candle's gradient of a loss.
//!
//! On the CPU the whole network is one operator to candle: it keeps its values in memory of its own from step to step,
//! and gives each gradient to the one layer that takes it. Losses over its outputs are candle's.
use super::by_candle::{Run, dropout};
use super::gru;
use super::quantized::geometry;
use super::{EPSILON, Layer, Network, Node, Point, RoundedWeights, Value};
use crate::op::work::{accumulate, by_pixels};
use crate::op::{Geometry, Memory, Statistics, block, conv, pool};
use crate::random::Random;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, Var, bail};
use cygnet_kernels::{Activation, Conv};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Gradients of parameters, by their names.
pub type Gradients = BTreeMap<String, Tensor>;

/// A forward pass in training.
pub struct Pass {
    /// The values asked for, then the network's output.
    pub outputs: Vec<Tensor>,
    /// On the CPU.
    tape: Option<Arc<Mutex<Tape>>>,
}

impl Pass {
    /// The network's output.
    pub fn output(&self) -> &Tensor {
        &self.outputs[self.outputs.len() - 1]
    }

    /// The gradients of `loss`, a number made from the outputs, with respect to the network's parameters.
    ///
    /// # Errors
    /// Operators in `loss` that have no gradient.
    pub fn gradients(&self, network: &Network, loss: &Tensor) -> Result<Gradients> {
        let store = loss.backward()?;
        match &self.tape {
            Some(tape) => {
                let mut tape = lock(tape);
                Ok(std::mem::take(&mut tape.gradients))
            }
            None => Ok(network
                .parameters
                .iter()
                .filter(|(name, _)| !network.is_frozen(name))
                .filter_map(|(name, var)| Some((name.clone(), store.get(var)?.clone())))
                .collect()),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a layer's gradient needs beside its input.
pub(super) enum Saved {
    Nothing,
    Block(Box<block::Saved>),
    Gru(Box<gru::Saved>),
    /// Factors of dropout.
    Factors(Vec<f32>),
    /// Which integers end where their bounds are, and the weights that made them.
    Integers {
        cut: Vec<bool>,
        weights: Option<RoundedWeights>,
    },
}

/// The values of a pass, and the gradients once it has been run backwards.
pub(super) struct Tape {
    pub(super) nodes: Arc<Vec<Node>>,
    parameters: BTreeMap<String, Tensor>,
    pub(super) batch: usize,
    values: Vec<Option<Arc<Vec<f32>>>>,
    pub(super) saved: Vec<Saved>,
    /// Whether anything at or before a node learns.
    pub(super) learns: Vec<bool>,
    frozen: Vec<bool>,
    /// As those of the network.
    pub(super) points: Option<Arc<Vec<Point>>>,
    /// The nodes whose values leave the network.
    outputs: Vec<usize>,
    memory: Arc<Mutex<Memory>>,
    /// Whether it was run backwards.
    done: bool,
    gradients: Gradients,
}

pub(super) fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
}

/// Calls `f` with the elements of a contiguous tensor of f32 on the CPU.
pub(crate) fn with_floats<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        bail!("this layer's values lie on another device");
    };
    let Some((begin, end)) = layout.contiguous_offsets() else {
        bail!("a contiguous tensor is not contiguous");
    };
    f(&storage.as_slice::<f32>()?[begin..end])
}

impl Network {
    /// A forward pass in training: with the batch's statistics, which go into the running ones, and dropout. The values
    /// `keep` come back before the output.
    ///
    /// # Errors
    /// An input of another shape.
    pub fn train(&mut self, x: &Tensor, random: &mut Random, keep: &[Value]) -> Result<Pass> {
        self.check_input(x)?;
        if !self.device.is_cpu() || !self.kernels {
            let mut run = Run {
                network: self,
                random: Some(random),
                statistics: Vec::new(),
            };
            let values = run.all(x)?;
            for (name, statistics) in run.statistics {
                self.keep_up(&name, &statistics);
            }
            let kept = keep.iter().map(|v| values[v.index()].clone());
            let outputs = kept.chain(values.last().cloned()).collect();
            return Ok(Pass {
                outputs,
                tape: None,
            });
        }
        let (tape, statistics) = Tape::forward(self, x, Some(random), keep)?;
        for (name, statistics) in statistics {
            self.keep_up(&name, &statistics);
        }
        let sizes: Vec<(usize, Vec<usize>)> = tape
            .outputs
            .iter()
            .map(|n| {
                let mut shape = vec![tape.batch];
                shape.extend_from_slice(&tape.nodes[*n].shape);
                (shape.iter().product(), shape)
            })
            .collect();
        let tape = Arc::new(Mutex::new(tape));
        // The input has no gradient: a variable of no consequence makes candle ask for that of the network.
        let asks = Var::zeros(1, DType::F32, &self.device)?;
        let all = asks.apply_op1(Whole {
            tape: Arc::clone(&tape),
        })?;
        let mut outputs = Vec::new();
        let mut at = 0;
        for (len, shape) in sizes {
            outputs.push(all.narrow(0, at, len)?.reshape(shape)?);
            at += len;
        }
        Ok(Pass {
            outputs,
            tape: Some(tape),
        })
    }

    /// The output with the running statistics and without dropout; it has no gradient.
    ///
    /// # Errors
    /// An input of another shape.
    pub fn evaluate(&self, x: &Tensor) -> Result<Tensor> {
        let mut outputs = self.evaluate_with(x, &[])?;
        Ok(outputs.swap_remove(0))
    }

    /// As [`Network::evaluate`], with the values `keep` before the output.
    ///
    /// # Errors
    /// An input of another shape.
    pub fn evaluate_with(&self, x: &Tensor, keep: &[Value]) -> Result<Vec<Tensor>> {
        self.check_input(x)?;
        if !self.device.is_cpu() || !self.kernels {
            let mut run = Run {
                network: self,
                random: None,
                statistics: Vec::new(),
            };
            let values = run.all(x)?;
            let kept = keep.iter().map(|v| values[v.index()].detach());
            return Ok(kept.chain(values.last().map(Tensor::detach)).collect());
        }
        let (mut tape, _) = Tape::forward(self, x, None, keep)?;
        let outputs = tape.outputs.clone();
        let mut tensors = Vec::new();
        for n in outputs {
            let mut shape = vec![tape.batch];
            shape.extend_from_slice(&tape.nodes[n].shape);
            let values = tape.reals(n)?;
            tensors.push(Tensor::from_vec(values, shape, &self.device)?);
        }
        tape.clear();
        Ok(tensors)
    }

    fn check_input(&self, x: &Tensor) -> Result<()> {
        if x.dims().get(1..) != Some(self.input_shape()) {
            bail!(
                "the network takes [batch, {}], not {:?}",
                self.input_shape()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
                x.dims()
            );
        }
        Ok(())
    }
}

impl Tape {
    pub(super) fn value(&self, n: usize) -> Result<&Arc<Vec<f32>>> {
        match &self.values[n] {
            Some(value) => Ok(value),
            None => bail!("the value of {} is gone", self.nodes[n].name),
        }
    }

    /// The value of a node that leaves the network.
    fn reals(&self, n: usize) -> Result<Vec<f32>> {
        let value = self.value(n)?;
        Ok(match &self.points {
            Some(points) => value.iter().map(|v| v * points[n].scale).collect(),
            None => value.to_vec(),
        })
    }

    pub(super) fn parameter(&self, node: &Node, kind: &str) -> Result<&Tensor> {
        let name = format!("{}.{kind}", node.name);
        match self.parameters.get(&name) {
            Some(tensor) => Ok(tensor),
            None => bail!("the network has no parameter {name}"),
        }
    }

    /// The convolution that a block or a dense layer is.
    pub(super) fn shape_of(&self, n: usize, geometry: Geometry) -> Result<Conv> {
        let node = &self.nodes[n];
        let input = &self.nodes[node.inputs[0].index()].shape;
        let weight = self.parameter(node, "weight")?.dims();
        if let Layer::Linear { .. } = node.layer {
            let rows = self.batch * input.iter().product::<usize>() / weight[0];
            return geometry.shape(&[rows, 1, 1, weight[0]], &[1, 1, weight[0], weight[1]]);
        }
        let mut shape = vec![self.batch];
        shape.extend_from_slice(input);
        geometry.shape(&shape, weight)
    }

    /// Runs the network; `random` in training.
    fn forward(
        network: &Network,
        x: &Tensor,
        mut random: Option<&mut Random>,
        keep: &[Value],
    ) -> Result<(Self, Vec<(String, Statistics)>)> {
        let count = network.nodes.len();
        let training = random.is_some();
        let mut outputs: Vec<usize> = keep.iter().map(|v| v.index()).collect();
        outputs.push(count - 1);
        let mut tape = Self {
            nodes: Arc::clone(&network.nodes),
            parameters: network
                .parameters
                .iter()
                .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
                .collect(),
            batch: x.dim(0)?,
            values: vec![None; count],
            saved: (0..count).map(|_| Saved::Nothing).collect(),
            learns: vec![false; count],
            frozen: Vec::new(),
            points: network.points.clone(),
            outputs,
            memory: Arc::clone(&network.memory),
            done: false,
            gradients: BTreeMap::new(),
        };
        for (n, node) in network.nodes.iter().enumerate() {
            let frozen = network.frozen.contains(&node.name);
            tape.frozen.push(frozen);
            let own = node.layer.has_weights() && !frozen;
            tape.learns[n] =
                training && (own || node.inputs.iter().any(|v| tape.learns[v.index()]));
        }
        let last_use = tape.last_uses();
        let memory = Arc::clone(&network.memory);
        let mut memory = lock(&memory);
        let mut statistics = Vec::new();
        for n in 0..count {
            let (value, saved) = tape.step(
                network,
                n,
                x,
                random.as_deref_mut(),
                &mut memory,
                &mut statistics,
            )?;
            tape.values[n] = Some(value);
            tape.saved[n] = saved;
            // Values that no gradient needs go as soon as nothing reads them.
            for v in network.nodes[n].inputs.iter().map(|v| v.index()) {
                if last_use[v] == n
                    && let Some(value) = tape.values[v].take()
                {
                    memory.give_shared(value);
                }
            }
        }
        Ok((tape, statistics))
    }

    /// The node after which each value may go: the last that reads it, or none where a gradient or the caller takes it.
    fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.nodes.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            // What a gradient takes its input for.
            let weighs = node.layer.has_weights() || matches!(node.layer, Layer::Gate);
            for v in &node.inputs {
                let kept = self.learns[n] && weighs || last[v.index()] == usize::MAX;
                last[v.index()] = if kept { usize::MAX } else { n };
            }
            // Where it is not above 0, nothing passes back.
            if let (
                Layer::Linear {
                    activation: Activation::Relu,
                },
                true,
            ) = (&node.layer, self.learns[n])
            {
                last[n] = usize::MAX;
            }
        }
        for n in &self.outputs {
            last[*n] = usize::MAX;
        }
        last
    }

    fn step(
        &self,
        network: &Network,
        n: usize,
        x: &Tensor,
        random: Option<&mut Random>,
        memory: &mut Memory,
        statistics: &mut Vec<(String, Statistics)>,
    ) -> Result<(Arc<Vec<f32>>, Saved)> {
        let node = &self.nodes[n];
        if let Some(points) = &self.points {
            return self.integers(points, n, x, memory);
        }
        let input = |i: usize| self.value(node.inputs[i].index());
        match &node.layer {
            Layer::Input => Ok((Arc::new(floats(x)?), Saved::Nothing)),
            Layer::Block {
                geometry,
                activation,
            } => {
                let p = self.shape_of(n, *geometry)?;
                let learns = random.is_some() && !self.frozen[n];
                let affine = if learns {
                    floats(self.parameter(node, "affine")?)?
                } else {
                    network.running_affine(&node.name)?
                };
                let norm = if learns {
                    block::Norm::Batch(&affine, EPSILON)
                } else {
                    block::Norm::Fixed(&affine)
                };
                let (y, saved, batch) = with_floats(self.parameter(node, "weight")?, |w| {
                    block::forward(&p, input(0)?, w, norm, *activation, self.learns[n], memory)
                })?;
                if let Some(batch) = batch {
                    statistics.push((node.name.clone(), batch));
                }
                let saved = saved.map_or(Saved::Nothing, |s| Saved::Block(Box::new(s)));
                Ok((Arc::new(y), saved))
            }
            Layer::Convolution {
                geometry,
                activation,
            } => {
                let p = self.shape_of(n, *geometry)?;
                let mut affine = vec![1.0; p.out_channels];
                affine.extend(floats(self.parameter(node, "bias")?)?);
                let (y, saved, _) = with_floats(self.parameter(node, "weight")?, |w| {
                    let norm = block::Norm::Fixed(&affine);
                    block::forward(&p, input(0)?, w, norm, *activation, self.learns[n], memory)
                })?;
                let saved = saved.map_or(Saved::Nothing, |s| Saved::Block(Box::new(s)));
                Ok((Arc::new(y), saved))
            }
            Layer::Linear { activation } => {
                let p = self.shape_of(n, Geometry::POINTWISE)?;
                let bias = floats(self.parameter(node, "bias")?)?;
                let (mut y, _) = with_floats(self.parameter(node, "weight")?, |w| {
                    conv::forward(&p, input(0)?, w, memory, |_| Ok(()))
                })?;
                let floor = match activation {
                    Activation::Relu => 0.0,
                    _ => f32::NEG_INFINITY,
                };
                for row in y.chunks_exact_mut(bias.len()) {
                    for (y, b) in row.iter_mut().zip(&bias) {
                        *y = (*y + b).max(floor);
                    }
                }
                let Some(curve) = curve(*activation) else {
                    return Ok((Arc::new(y), Saved::Nothing));
                };
                let mut slopes = Vec::with_capacity(y.len());
                for y in &mut y {
                    let (value, slope) = curve(*y);
                    *y = value;
                    slopes.push(slope);
                }
                Ok((Arc::new(y), Saved::Factors(slopes)))
            }
            Layer::Add => {
                let mut y = memory.take(input(0)?.len());
                y.copy_from_slice(input(0)?);
                accumulate(&mut y, input(1)?);
                Ok((Arc::new(y), Saved::Nothing))
            }
            Layer::Gru => {
                let part = |kind: &str| floats(self.parameter(node, kind)?);
                let parameters = gru::Parameters {
                    weight: part("weight")?,
                    recurrent: part("recurrent")?,
                    bias: part("bias")?,
                    recurrent_bias: part("recurrent_bias")?,
                };
                let (y, saved) = gru::forward(self.steps(node), input(0)?, parameters, memory)?;
                let saved = match self.learns[n] {
                    true => Saved::Gru(Box::new(saved)),
                    false => Saved::Nothing,
                };
                Ok((Arc::new(y), saved))
            }
            Layer::Gate => {
                let [_, pixels, c] = self.pixels(node);
                let mut y = memory.take(input(0)?.len());
                y.copy_from_slice(input(0)?);
                let images = y.chunks_exact_mut((pixels * c).max(1));
                for (image, factors) in images.zip(input(1)?.chunks_exact(c)) {
                    for pixel in image.chunks_exact_mut(c) {
                        for (y, f) in pixel.iter_mut().zip(factors) {
                            *y *= f;
                        }
                    }
                }
                Ok((Arc::new(y), Saved::Nothing))
            }
            Layer::MeanPixels => {
                let sizes = self.pixels(node);
                Ok((
                    Arc::new(pool::forward(input(0)?, sizes, memory)?),
                    Saved::Nothing,
                ))
            }
            Layer::Flatten => Ok((Arc::clone(input(0)?), Saved::Nothing)),
            Layer::Dropout { share } => match random {
                Some(random) => {
                    let factors = dropout(random, *share, input(0)?.len());
                    let y = input(0)?.iter().zip(&factors).map(|(x, f)| x * f).collect();
                    Ok((Arc::new(y), Saved::Factors(factors)))
                }
                None => Ok((Arc::clone(input(0)?), Saved::Nothing)),
            },
        }
    }

    /// Sizes of a recurrent layer.
    fn steps(&self, node: &Node) -> gru::Sizes {
        let input = &self.nodes[node.inputs[0].index()].shape;
        gru::Sizes {
            batch: self.batch,
            steps: input[0],
            inputs: input[1] * input[2],
            units: node.shape[0],
        }
    }

    pub(super) fn pixels(&self, node: &Node) -> [usize; 3] {
        let input = &self.nodes[node.inputs[0].index()].shape;
        [self.batch, input[0] * input[1], input[2]]
    }

    /// Gives every value back.
    fn clear(&mut self) {
        let memory = Arc::clone(&self.memory);
        let mut memory = lock(&memory);
        for value in self.values.iter_mut().filter_map(Option::take) {
            memory.give_shared(value);
        }
    }

    /// The gradients of the parameters for that of the outputs, one after the other in `seeds`.
    fn backward(&mut self, seeds: &[f32]) -> Result<()> {
        if std::mem::replace(&mut self.done, true) {
            bail!("this pass ran backwards already: run the network again");
        }
        let memory = Arc::clone(&self.memory);
        let mut memory = lock(&memory);
        let nodes = Arc::clone(&self.nodes);
        let mut gradients: Vec<Option<Vec<f32>>> = vec![None; nodes.len()];
        let mut at = 0;
        for n in self.outputs.clone() {
            let len = self.batch * nodes[n].shape.iter().product::<usize>();
            arrive(&mut gradients[n], seeds[at..at + len].to_vec(), &mut memory);
            at += len;
        }
        for n in (0..nodes.len()).rev() {
            let dy = gradients[n].take();
            if let (Some(dy), true) = (dy, self.learns[n]) {
                self.step_back(&nodes[n], n, dy, &mut gradients, &mut memory)?;
            }
            if let Some(value) = self.values[n].take() {
                memory.give_shared(value);
            }
        }
        Ok(())
    }

    fn step_back(
        &mut self,
        node: &Node,
        n: usize,
        mut dy: Vec<f32>,
        gradients: &mut [Option<Vec<f32>>],
        memory: &mut Memory,
    ) -> Result<()> {
        if let Some(points) = self.points.clone()
            && let Some(weights) = self.hold_back(n, &mut dy)
        {
            let x_scale = points[node.inputs[0].index()].scale;
            return self.product_back(n, dy, &weights.reals(), x_scale, gradients, memory);
        }
        let from = |i: usize| node.inputs[i].index();
        match &node.layer {
            Layer::Input => {}
            Layer::Block { geometry, .. } | Layer::Convolution { geometry, .. } => {
                let p = self.shape_of(n, *geometry)?;
                let Saved::Block(saved) = std::mem::replace(&mut self.saved[n], Saved::Nothing)
                else {
                    bail!("{} kept nothing for its gradient", node.name);
                };
                let want = (self.learns[from(0)], !self.frozen[n]);
                let g = with_floats(self.parameter(node, "weight")?, |w| {
                    block::gradient(&p, self.value(from(0))?, w, *saved, &dy, want, memory)
                })?;
                memory.give(dy);
                if let Some(dx) = g.x {
                    arrive(&mut gradients[from(0)], dx, memory);
                }
                self.learnt(node, "weight", g.weights)?;
                match (&node.layer, g.affine) {
                    (Layer::Convolution { .. }, Some(mut both)) => {
                        let bias = both.split_off(p.out_channels);
                        self.learnt(node, "bias", Some(bias))?;
                    }
                    (_, affine) => self.learnt(node, "affine", affine)?,
                }
            }
            Layer::Linear { activation } => {
                if *activation == Activation::Relu {
                    let y = self.value(n)?;
                    for (dy, y) in dy.iter_mut().zip(y.iter()) {
                        if *y <= 0.0 {
                            *dy = 0.0;
                        }
                    }
                }
                if let Saved::Factors(slopes) = &self.saved[n] {
                    for (dy, slope) in dy.iter_mut().zip(slopes) {
                        *dy *= slope;
                    }
                }
                let weight = self.parameter(node, "weight")?.clone();
                with_floats(&weight, |w| {
                    self.product_back(n, dy, w, 1.0, gradients, memory)
                })?;
            }
            Layer::Add => {
                let [a, b] = [from(0), from(1)];
                if self.learns[a] {
                    let mut copy = memory.take(dy.len());
                    copy.copy_from_slice(&dy);
                    arrive(&mut gradients[a], copy, memory);
                }
                if self.learns[b] {
                    arrive(&mut gradients[b], dy, memory);
                }
            }
            Layer::Gru => {
                let Saved::Gru(saved) = std::mem::replace(&mut self.saved[n], Saved::Nothing)
                else {
                    bail!("{} kept nothing for its gradient", node.name);
                };
                let (sizes, want) = (self.steps(node), self.learns[from(0)]);
                let x = self.value(from(0))?;
                let g = gru::gradient(sizes, x, *saved, &dy, want, memory)?;
                memory.give(dy);
                if let Some(dx) = g.x {
                    arrive(&mut gradients[from(0)], dx, memory);
                }
                if !self.frozen[n] {
                    let p = g.parameters;
                    self.learnt(node, "weight", Some(p.weight))?;
                    self.learnt(node, "recurrent", Some(p.recurrent))?;
                    self.learnt(node, "bias", Some(p.bias))?;
                    self.learnt(node, "recurrent_bias", Some(p.recurrent_bias))?;
                }
            }
            Layer::Gate => {
                let [x, by] = [from(0), from(1)];
                let [batch, pixels, c] = self.pixels(node);
                let image = (pixels * c).max(1);
                let mut factors_gradient = memory.take(batch * c);
                factors_gradient.fill(0.0);
                let pairs = dy
                    .chunks_exact(image)
                    .zip(self.value(x)?.chunks_exact(image));
                for (sums, (dy, x)) in factors_gradient.chunks_exact_mut(c).zip(pairs) {
                    for (dy, x) in dy.chunks_exact(c).zip(x.chunks_exact(c)) {
                        for ((s, dy), x) in sums.iter_mut().zip(dy).zip(x) {
                            *s += dy * x;
                        }
                    }
                }
                for (dy, factors) in dy
                    .chunks_exact_mut(image)
                    .zip(self.value(by)?.chunks_exact(c))
                {
                    for dy in dy.chunks_exact_mut(c) {
                        for (dy, f) in dy.iter_mut().zip(factors) {
                            *dy *= f;
                        }
                    }
                }
                for (to, gradient) in [(x, dy), (by, factors_gradient)] {
                    match self.learns[to] {
                        true => arrive(&mut gradients[to], gradient, memory),
                        false => memory.give(gradient),
                    }
                }
            }
            Layer::MeanPixels => {
                if self.learns[from(0)] {
                    let dx = pool::gradient(&dy, self.pixels(node), memory)?;
                    arrive(&mut gradients[from(0)], dx, memory);
                }
                memory.give(dy);
            }
            Layer::Flatten => arrive(&mut gradients[from(0)], dy, memory),
            Layer::Dropout { .. } => {
                if let Saved::Factors(factors) = &self.saved[n] {
                    by_pixels(1, &mut dy, factors, |dy, f| {
                        for (d, f) in dy.iter_mut().zip(f) {
                            *d *= f;
                        }
                        Ok(())
                    })?;
                }
                arrive(&mut gradients[from(0)], dy, memory);
            }
        }
        Ok(())
    }

    /// Gives the gradients of a product of the inputs, in units of `x_scale`, with weights, plus a bias.
    fn product_back(
        &mut self,
        n: usize,
        dy: Vec<f32>,
        w: &[f32],
        x_scale: f32,
        gradients: &mut [Option<Vec<f32>>],
        memory: &mut Memory,
    ) -> Result<()> {
        let nodes = Arc::clone(&self.nodes);
        let node = &nodes[n];
        let from = node.inputs[0].index();
        let p = self.shape_of(n, geometry(&node.layer))?;
        if !self.frozen[n] {
            let mut bias = vec![0.0; p.out_channels];
            for row in dy.chunks_exact(p.out_channels) {
                for (b, d) in bias.iter_mut().zip(row) {
                    *b += d;
                }
            }
            let mut weights = conv::weights_gradient(&p, self.value(from)?, &dy)?;
            weights.iter_mut().for_each(|w| *w *= x_scale);
            self.learnt(node, "bias", Some(bias))?;
            self.learnt(node, "weight", Some(weights))?;
        }
        if self.learns[from] {
            let dx = conv::input_gradient(&p, &dy, w, memory)?;
            arrive(&mut gradients[from], dx, memory);
        }
        memory.give(dy);
        Ok(())
    }

    fn learnt(&mut self, node: &Node, kind: &str, gradient: Option<Vec<f32>>) -> Result<()> {
        if let Some(gradient) = gradient {
            let parameter = self.parameter(node, kind)?;
            let tensor = Tensor::from_vec(gradient, parameter.shape(), parameter.device())?;
            self.gradients
                .insert(format!("{}.{kind}", node.name), tensor);
        }
        Ok(())
    }
}

/// A value and its derivative of an activation that a dense layer does behind its product.
fn curve(activation: Activation) -> Option<fn(f32) -> (f32, f32)> {
    match activation {
        Activation::HardSigmoid(..) => Some(|z| {
            let y = (z / 6.0 + 0.5).clamp(0.0, 1.0);
            let inside = z > -3.0 && z < 3.0;
            (y, if inside { 1.0 / 6.0 } else { 0.0 })
        }),
        Activation::HardSwish => Some(|z| match z {
            _ if z <= -3.0 => (0.0, 0.0),
            _ if z >= 3.0 => (z, 1.0),
            _ => (z * (z / 6.0 + 0.5), z / 3.0 + 0.5),
        }),
        _ => None,
    }
}

/// Adds a gradient to those that have arrived.
fn arrive(to: &mut Option<Vec<f32>>, gradient: Vec<f32>, memory: &mut Memory) {
    match to {
        Some(to) => {
            accumulate(to, &gradient);
            memory.give(gradient);
        }
        None => *to = Some(gradient),
    }
}

/// The network as one operator: its outputs one after the other.
struct Whole {
    tape: Arc<Mutex<Tape>>,
}

impl CustomOp1 for Whole {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let tape = lock(&self.tape);
        let mut all = Vec::new();
        for n in &tape.outputs {
            all.extend(tape.reals(*n)?);
        }
        let shape = Shape::from(all.len());
        Ok((CpuStorage::F32(all), shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        with_floats(dy, |seeds| lock(&self.tape).backward(seeds))?;
        Ok(None)
    }
}
