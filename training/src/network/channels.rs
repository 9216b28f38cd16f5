//! Which channels of a network belong together, and the network without some of them.
use super::{Layer, Network, Running};
use crate::op::Kind;
use candle_core::{Result, Tensor, Var, bail};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The channels of a network: values that are added, or that a depthwise convolution makes of each other, have the same.
#[derive(Clone, Debug)]
pub struct Channels {
    /// The set of each node's channels.
    of: Vec<usize>,
    /// How often the set is repeated in the last dimension of a node's value: a flattened image has it for every pixel.
    repeat: Vec<usize>,
    /// Channels of each set.
    pub sizes: Vec<usize>,
    /// Sets whose channels are those of the input or the output, or cannot be told apart.
    pub fixed: Vec<bool>,
}

/// What a network computes and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-adds for one sample.
    pub macs: u64,
    /// Weights of convolutions and dense layers.
    pub weights: u64,
}

impl Channels {
    /// The set of a node's channels.
    pub fn set(&self, node: usize) -> usize {
        self.of[node]
    }

    /// The places in the last dimension of a node's value that are left where these channels are.
    fn places(&self, node: usize, keep: &[Vec<usize>]) -> Vec<usize> {
        let set = self.of[node];
        let size = self.sizes[set];
        (0..self.repeat[node])
            .flat_map(|r| keep[set].iter().map(move |k| r * size + k))
            .collect()
    }
}

impl Network {
    /// The sets of channels.
    pub fn channels(&self) -> Channels {
        let nodes = &self.nodes;
        let (mut of, mut repeat): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let (mut sizes, mut fixed): (Vec<usize>, Vec<bool>) = (Vec::new(), Vec::new());
        for node in nodes.iter() {
            let last = node.shape.last().copied().unwrap_or(1);
            let from = node.inputs.first().map(|v| v.index());
            let makes = match &node.layer {
                Layer::Input | Layer::Linear { .. } | Layer::Gru => true,
                Layer::Block { geometry, .. } | Layer::Convolution { geometry, .. } => {
                    geometry.kind == Kind::Dense
                }
                _ => false,
            };
            match from {
                Some(from) if !makes => {
                    let set = of[from];
                    of.push(set);
                    repeat.push(last / sizes[set].max(1));
                }
                _ => {
                    of.push(sizes.len());
                    repeat.push(1);
                    sizes.push(last);
                    fixed.push(matches!(node.layer, Layer::Input));
                }
            }
            if let (Layer::Gru, Some(from)) = (&node.layer, from) {
                // Its columns belong to gates: it stays as it is.
                fixed[of[from]] = true;
                fixed[of[of.len() - 1]] = true;
            }
            if let (Layer::Add | Layer::Gate, [a, b]) = (&node.layer, &node.inputs[..]) {
                let (a, b) = (a.index(), b.index());
                let (x, y) = (of[a], of[b]);
                if repeat[a] != repeat[b] {
                    (fixed[x], fixed[y]) = (true, true);
                } else if x != y {
                    fixed[x] |= fixed[y];
                    // What is left of it is nobody's.
                    fixed[y] = true;
                    of.iter_mut().filter(|s| **s == y).for_each(|s| *s = x);
                }
            }
        }
        if let Some(last) = of.last() {
            fixed[*last] = true;
        }
        Channels {
            of,
            repeat,
            sizes,
            fixed,
        }
    }

    /// What the network takes with so many channels in each set.
    ///
    /// # Errors
    /// None in a network that was built.
    pub fn cost(&self, channels: &Channels, counts: &[usize]) -> Result<Cost> {
        let mut cost = Cost::default();
        let count = |n: usize| (counts[channels.of[n]] * channels.repeat[n]) as u64;
        for (n, node) in self.nodes.iter().enumerate() {
            if !node.layer.has_weights() {
                continue;
            }
            let weight = self.parameter(&format!("{}.weight", node.name))?.dims();
            if let (Layer::Gru, [inputs, columns]) = (&node.layer, weight) {
                let weights = (columns * (inputs + count(n) as usize)) as u64;
                let steps = self.nodes[node.inputs[0].index()].shape[0];
                cost.weights += weights;
                cost.macs += weights * steps as u64;
                continue;
            }
            let from = count(node.inputs[0].index());
            let weights = match weight {
                [h, w, _, _] => (h * w) as u64 * from * count(n),
                [h, w, _] => (h * w) as u64 * count(n),
                _ => from * count(n),
            };
            let pixels: usize = node.shape.iter().rev().skip(1).product();
            cost.weights += weights;
            cost.macs += weights * pixels as u64;
        }
        Ok(cost)
    }

    /// The network with these channels of each set alone.
    ///
    /// # Errors
    /// Sets without a channel, channels of a fixed set that are left out, networks in integers.
    pub fn pruned(&self, channels: &Channels, keep: &[Vec<usize>]) -> Result<Self> {
        if self.points.is_some() {
            bail!("a network in 8-bit integers is not pruned: prune it before");
        }
        for (set, keep) in keep.iter().enumerate() {
            let (size, fixed) = (channels.sizes[set], channels.fixed[set]);
            if keep.is_empty() || fixed && keep.len() != size {
                bail!("of set {set} of {size} channels {} are kept", keep.len());
            }
        }
        let mut nodes = self.nodes.to_vec();
        let mut parameters = BTreeMap::new();
        let mut running = BTreeMap::new();
        let select = |tensor: &Tensor, places: &[usize], dim: usize| {
            let places: Vec<u32> = places.iter().map(|p| *p as u32).collect();
            let count = places.len();
            let places = Tensor::from_vec(places, count, tensor.device())?;
            tensor.contiguous()?.index_select(&places, dim)
        };
        for (n, node) in nodes.iter_mut().enumerate() {
            let places = channels.places(n, keep);
            if let Some(last) = node.shape.last_mut() {
                *last = places.len();
            }
            let name = &node.name;
            if let Layer::Gru = node.layer {
                let prefix = format!("{name}.");
                let own = self
                    .parameters
                    .iter()
                    .filter(|(n, _)| n.starts_with(&prefix));
                for (name, var) in own {
                    parameters.insert(name.clone(), Var::from_tensor(&var.as_tensor().copy()?)?);
                }
                continue;
            }
            for kind in ["weight", "affine", "bias"] {
                let name = format!("{name}.{kind}");
                let Some(var) = self.parameters.get(&name) else {
                    continue;
                };
                let mut tensor = var.as_tensor().clone();
                let rank = tensor.rank();
                // Depthwise filters have no channels of their input beside those of their output.
                if kind == "weight" && rank != 3 {
                    let from = channels.places(node.inputs[0].index(), keep);
                    tensor = select(&tensor, &from, rank - 2)?;
                }
                tensor = select(&tensor, &places, rank - 1)?;
                parameters.insert(name, Var::from_tensor(&tensor)?);
            }
            if let Some(old) = self.running.get(name) {
                let pick = |values: &[f32]| places.iter().map(|p| values[*p]).collect();
                let kept = Running {
                    mean: pick(&old.mean),
                    variance: pick(&old.variance),
                };
                running.insert(name.clone(), kept);
            }
        }
        Ok(Self {
            nodes: Arc::new(nodes),
            parameters,
            running,
            frozen: self.frozen.clone(),
            device: self.device.clone(),
            points: None,
            memory: Arc::default(),
            kernels: self.kernels,
        })
    }
}
