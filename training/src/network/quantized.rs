//! A network in the arithmetic of the runtime's 8-bit integers, for quantisation-aware training (Jacob et al., 2018): what
//! it computes is what the compiled bundle computes, bit for bit, and gradients pass as if nothing were rounded (Bengio,
//! Leonard and Courville, 2013).
//!
//! A value on the tape holds integers less their zero point, as floats. Sums of products of such are exact below 2^24.
use super::pass::{Saved, Tape, floats, with_floats};
use super::{Layer, Network, Node};
use crate::op::work::accumulate;
use crate::op::{Geometry, Memory, conv};
use candle_core::{Result, Tensor, Var, bail};
use cygnet_kernels::Activation;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Least and greatest integer of a value.
const LOW: i32 = -128;
const HIGH: i32 = 127;
/// Largest magnitude of a weight.
const LARGEST: f32 = 127.0;
/// Largest bias in units of the sums.
const MAX_BIAS: f32 = (1u32 << 28) as f32;
/// Sums up to here are exact as floats.
const EXACT: f32 = (1u32 << 24) as f32;
/// Scales of channels without weights.
const LEAST_SCALE: f32 = 1e-20;
/// Values of a node that its range is chosen by.
const SEEN: usize = 1 << 16;
/// Ranges that are tried.
const TRIED: usize = 40;

/// How the reals of a node's values are integers: `real = scale * (integer - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The distance of two integers.
    pub scale: f32,
    /// The integer of zero.
    pub zero: i32,
}

impl Point {
    /// That of a range, widened to hold zero.
    fn of(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low) / (HIGH - LOW) as f32;
        if !scale.is_normal() {
            return Self {
                scale: 1.0,
                zero: 0,
            };
        }
        let zero = (LOW as f32 - low / scale).round_ties_even() as i32;
        Self {
            scale,
            zero: zero.clamp(LOW, HIGH),
        }
    }

    /// That of values, of the least squared error among ranges of the same shape.
    fn of_values(values: &[f32]) -> Self {
        let (mut low, mut high) = (0f32, 0f32);
        for v in values {
            (low, high) = (low.min(*v), high.max(*v));
        }
        let mut best = (f64::INFINITY, Self::of(low, high));
        for step in 0..TRIED {
            let share = 1.0 - step as f32 / (2 * TRIED) as f32;
            let point = Self::of(low * share, high * share);
            let loss = values
                .iter()
                .map(|v| f64::from(point.scale * point.centred(*v, point.bounds()) - v).powi(2))
                .sum();
            if loss < best.0 {
                best = (loss, point);
            }
        }
        best.1
    }

    /// The integer of a real less the zero point.
    fn centred(&self, v: f32, bounds: Bounds) -> f32 {
        bounds.round(v / self.scale)
    }

    /// Bounds of the integers less the zero point.
    fn bounds(&self) -> Bounds {
        Bounds {
            low: (LOW - self.zero) as f32,
            high: (HIGH - self.zero) as f32,
            slack: [0.5; 2],
        }
    }

    /// Bounds after an activation.
    fn bounds_of(&self, activation: Activation, name: &str) -> Result<Bounds> {
        let (low, high) = match activation {
            Activation::None => return Ok(self.bounds()),
            Activation::Relu => (0.0, f32::INFINITY),
            Activation::Clip(low, high) => (low, high),
            other => bail!(
                "{name} ends with {other:?}: layers of quantisation-aware training end with none, ReLU or a clip"
            ),
        };
        let all = self.bounds();
        let [low, high] = [low, high].map(|v| self.centred(v, all));
        // Where the activation cuts, it cuts at once; where the integers end, what is rounded to the last one is not cut.
        let slack = |cut: bool| if cut { 0.0 } else { 0.5 };
        Ok(Bounds {
            low,
            high,
            slack: [
                slack(low > all.low || self.zero == LOW),
                slack(high < all.high),
            ],
        })
    }
}

/// Where integers, less their zero point, end.
#[derive(Clone, Copy)]
struct Bounds {
    low: f32,
    high: f32,
    /// How far beyond, before rounding, gradients still pass.
    slack: [f32; 2],
}

impl Bounds {
    fn round(&self, v: f32) -> f32 {
        let v = v.round_ties_even();
        // A value that is no number is zero, as it is to the runtime.
        if v.is_nan() { 0.0 } else { v }.clamp(self.low, self.high)
    }

    fn cuts(&self, v: f32) -> bool {
        v < self.low - self.slack[0] || v > self.high + self.slack[1]
    }

    /// Rounds values, and says which were cut if that is asked for.
    fn finish(&self, y: &mut [f32], say: bool) -> Option<Vec<bool>> {
        const PIECE: usize = 1 << 14;
        if !say {
            let pieces = y.par_chunks_mut(PIECE).flatten_iter();
            pieces.for_each(|y| *y = self.round(*y));
            return None;
        }
        let mut cut = vec![false; y.len()];
        y.par_chunks_mut(PIECE)
            .zip(cut.par_chunks_mut(PIECE))
            .for_each(|(y, cut)| {
                for (y, cut) in y.iter_mut().zip(cut) {
                    *cut = self.cuts(*y);
                    *y = self.round(*y);
                }
            });
        Some(cut)
    }
}

/// Weights of a layer as the runtime has them.
#[derive(Clone, Debug)]
pub struct RoundedWeights {
    /// Integers in the order of the parameter, as floats.
    pub integers: Vec<f32>,
    /// The distance of two, for each output channel.
    pub scales: Vec<f32>,
    /// Biases in units of the sums: the input's scale times the channel's.
    pub bias: Vec<i32>,
}

impl RoundedWeights {
    /// Rounds weights whose last dimension is the output channel.
    fn of(weights: &[f32], bias: &[f32], x_scale: f32) -> Self {
        let c = bias.len();
        let mut scales = vec![0f32; c];
        for row in weights.chunks_exact(c) {
            for (s, w) in scales.iter_mut().zip(row) {
                *s = s.max(w.abs());
            }
        }
        for (s, b) in scales.iter_mut().zip(bias) {
            *s = (*s / LARGEST)
                .max(b.abs() / (x_scale * MAX_BIAS))
                .max(LEAST_SCALE);
        }
        let integer = |(w, s): (&f32, &f32)| (w / s).round_ties_even().clamp(-LARGEST, LARGEST);
        let integers = weights
            .chunks_exact(c)
            .flat_map(|row| row.iter().zip(&scales).map(integer))
            .collect();
        let unit = |(b, s): (&f32, &f32)| {
            let unit = f64::from(x_scale * s);
            (f64::from(*b) / unit).round_ties_even() as i32
        };
        let bias = bias.iter().zip(&scales).map(unit).collect();
        Self {
            integers,
            scales,
            bias,
        }
    }

    /// Whether sums of products with 8-bit values are exact however large these are.
    pub fn is_exact(&self) -> bool {
        let c = self.bias.len();
        let mut sums = vec![0f32; c];
        for row in self.integers.chunks_exact(c) {
            for (s, w) in sums.iter_mut().zip(row) {
                *s += w.abs();
            }
        }
        sums.iter().all(|s| s * 255.0 <= EXACT)
    }

    /// The weights that the integers stand for.
    pub(super) fn reals(&self) -> Vec<f32> {
        let rows = self.integers.chunks_exact(self.scales.len());
        rows.flat_map(|row| row.iter().zip(&self.scales).map(|(w, s)| w * s))
            .collect()
    }
}

impl Network {
    /// The network with its normalisations, by their running statistics, in the weights.
    ///
    /// # Errors
    /// None in a network that was built.
    pub fn folded(&self) -> Result<Self> {
        let mut nodes = self.nodes.to_vec();
        let mut parameters = BTreeMap::new();
        let mut keep = |name: String, shape: &[usize], values: Vec<f32>| {
            let tensor = Tensor::from_vec(values, shape, &self.device)?;
            parameters.insert(name, Var::from_tensor(&tensor)?);
            Ok::<_, candle_core::Error>(())
        };
        for node in &mut nodes {
            let name = &node.name;
            let of = |kind: &str| self.parameter(&format!("{name}.{kind}"));
            match node.layer {
                Layer::Block {
                    geometry,
                    activation,
                } => {
                    let affine = self.running_affine(name)?;
                    let c = affine.len() / 2;
                    let mut weights = floats(of("weight")?)?;
                    for row in weights.chunks_exact_mut(c) {
                        for (w, s) in row.iter_mut().zip(&affine) {
                            *w *= s;
                        }
                    }
                    keep(format!("{name}.weight"), of("weight")?.dims(), weights)?;
                    keep(format!("{name}.bias"), &[c], affine[c..].to_vec())?;
                    node.layer = Layer::Convolution {
                        geometry,
                        activation,
                    };
                }
                Layer::Convolution { .. } | Layer::Linear { .. } => {
                    for kind in ["weight", "bias"] {
                        keep(
                            format!("{name}.{kind}"),
                            of(kind)?.dims(),
                            floats(of(kind)?)?,
                        )?;
                    }
                }
                Layer::Gru => {
                    for kind in ["weight", "recurrent", "bias", "recurrent_bias"] {
                        let shape = of(kind)?.dims().to_vec();
                        keep(format!("{name}.{kind}"), &shape, floats(of(kind)?)?)?;
                    }
                }
                _ => {}
            }
        }
        Ok(Self {
            nodes: Arc::new(nodes),
            parameters,
            running: BTreeMap::new(),
            frozen: self.frozen.clone(),
            device: self.device.clone(),
            points: None,
            memory: Arc::default(),
            kernels: self.kernels,
        })
    }

    /// The network, folded, in 8-bit integers; ranges come from what `x` makes of every value.
    ///
    /// # Errors
    /// Activations that integers do not have, and inputs of another shape.
    pub fn quantized(&self, x: &Tensor) -> Result<Self> {
        let other = |n: &&Node| matches!(n.layer, Layer::Gate | Layer::Gru);
        if let Some(other) = self.nodes.iter().find(other) {
            bail!(
                "{} is no sum of products, which alone training in integers knows: take [quantize_aware] out, [build] quantize = \"int8\" calibrates them",
                other.name
            );
        }
        let mut network = self.folded()?;
        let all: Vec<_> = (0..network.nodes.len()).map(super::Value).collect();
        let values = network.evaluate_with(x, &all)?;
        let mut points: Vec<Point> = Vec::new();
        for (node, value) in network.nodes.iter().zip(&values) {
            points.push(match node.layer {
                Layer::Flatten | Layer::Dropout { .. } => points[node.inputs[0].index()],
                _ => {
                    let all = floats(value)?;
                    let step = all.len().div_ceil(SEEN).max(1);
                    let some: Vec<f32> = all.into_iter().step_by(step).collect();
                    Point::of_values(&some)
                }
            });
        }
        for (node, point) in network.nodes.iter().zip(&points) {
            if let Layer::Convolution { activation, .. } | Layer::Linear { activation } = node.layer
            {
                point.bounds_of(activation, &node.name)?;
            }
        }
        network.points = Some(Arc::new(points));
        Ok(network)
    }

    /// The integers of a layer's weights; none of a layer without weights or of a network in floats.
    ///
    /// # Errors
    /// None in a network that was built.
    pub fn rounded(&self, node: &Node) -> Result<Option<RoundedWeights>> {
        let Some(points) = self.points.as_ref().filter(|_| node.layer.has_weights()) else {
            return Ok(None);
        };
        let weights = floats(self.parameter(&format!("{}.weight", node.name))?)?;
        let bias = floats(self.parameter(&format!("{}.bias", node.name))?)?;
        let x = points[node.inputs[0].index()];
        Ok(Some(RoundedWeights::of(&weights, &bias, x.scale)))
    }
}

impl Tape {
    fn rounded(&self, points: &[Point], node: &Node) -> Result<RoundedWeights> {
        let x_scale = points[node.inputs[0].index()].scale;
        let bias = floats(self.parameter(node, "bias")?)?;
        with_floats(self.parameter(node, "weight")?, |w| {
            Ok(RoundedWeights::of(w, &bias, x_scale))
        })
    }

    /// The integers of a node's value, less its zero point, and where they were cut.
    pub(super) fn integers(
        &self,
        points: &[Point],
        n: usize,
        x: &Tensor,
        memory: &mut Memory,
    ) -> Result<(Arc<Vec<f32>>, Saved)> {
        let node = &self.nodes[n];
        let to = points[n];
        let input = |i: usize| self.value(node.inputs[i].index());
        let scale = |i: usize| points[node.inputs[i].index()].scale;
        let mut bounds = to.bounds();
        let mut weights = None;
        let mut y;
        match node.layer {
            Layer::Input => {
                y = floats(x)?;
                for y in &mut y {
                    *y /= to.scale;
                }
            }
            Layer::Flatten | Layer::Dropout { .. } => {
                return Ok((Arc::clone(input(0)?), Saved::Nothing));
            }
            Layer::Add => {
                let (a, b) = (scale(0) / to.scale, scale(1) / to.scale);
                y = memory.take(input(0)?.len());
                for ((y, p), q) in y.iter_mut().zip(input(0)?.iter()).zip(input(1)?.iter()) {
                    *y = p * a + q * b;
                }
            }
            Layer::MeanPixels => {
                let [batch, pixels, c] = self.pixels(node);
                let multiplier = scale(0) / to.scale / pixels.max(1) as f32;
                y = memory.take(batch * c);
                y.fill(0.0);
                let images = input(0)?.chunks_exact(pixels * c);
                for (y, x) in y.chunks_exact_mut(c).zip(images) {
                    x.chunks_exact(c).for_each(|x| accumulate(y, x));
                    y.iter_mut().for_each(|y| *y *= multiplier);
                }
            }
            Layer::Block { .. } | Layer::Gate | Layer::Gru => {
                bail!("{} is not in integers", node.name)
            }
            Layer::Convolution { activation, .. } | Layer::Linear { activation } => {
                bounds = to.bounds_of(activation, &node.name)?;
                let p = self.shape_of(n, geometry(&node.layer))?;
                let w = self.rounded(points, node)?;
                let multipliers: Vec<f32> =
                    w.scales.iter().map(|s| scale(0) * s / to.scale).collect();
                y = conv::forward(&p, input(0)?, &w.integers, memory, |_| Ok(()))?.0;
                let c = p.out_channels;
                y.par_chunks_mut((c * p.output[2]).max(1)).for_each(|y| {
                    for row in y.chunks_exact_mut(c) {
                        for ((y, m), b) in row.iter_mut().zip(&multipliers).zip(&w.bias) {
                            *y = (*y as i32).wrapping_add(*b) as f32 * m;
                        }
                    }
                });
                weights = Some(w);
            }
        }
        let saved = match bounds.finish(&mut y, self.learns[n]) {
            Some(cut) => Saved::Integers { cut, weights },
            None => Saved::Nothing,
        };
        Ok((Arc::new(y), saved))
    }

    /// Takes away from a gradient what does not pass where integers were cut; gives the weights that made them.
    pub(super) fn hold_back(&mut self, n: usize, dy: &mut [f32]) -> Option<RoundedWeights> {
        let saved = std::mem::replace(&mut self.saved[n], Saved::Nothing);
        let Saved::Integers { cut, weights } = saved else {
            return None;
        };
        for (d, cut) in dy.iter_mut().zip(cut) {
            if cut {
                *d = 0.0;
            }
        }
        weights
    }
}

/// That of the convolution that a layer with weights is.
pub(super) const fn geometry(layer: &Layer) -> Geometry {
    match layer {
        Layer::Block { geometry, .. } | Layer::Convolution { geometry, .. } => *geometry,
        _ => Geometry::POINTWISE,
    }
}
