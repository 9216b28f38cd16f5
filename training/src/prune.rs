//! Structured pruning: whole channels go, with everything that reads or makes them, so that tensors are smaller and not
//! merely full of zeros.
use crate::data::Samples;
use crate::error::TrainingError;
use crate::fit::{Settings, loss_of};
use crate::network::{Channels, Cost, Network, Node};
use crate::random::Random;
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

/// Samples of a batch that importance is found with.
const BATCH: usize = 64;
/// Batches at most.
const BATCHES: usize = 16;

/// What `[prune]` says; what is not here is as in `[train]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prune {
    /// The share that is left.
    pub keep: f32,
    /// Of what.
    pub of: Of,
    /// Which channels go first.
    pub importance: Importance,
    /// Channels of a layer are left in multiples of this: as many as a device computes at once.
    pub multiple: usize,
    /// Epochs of training after it.
    pub epochs: usize,
    /// Their largest learning rate.
    pub rate: f32,
}

/// What is made less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Of {
    /// Multiply-adds.
    #[default]
    Macs,
    /// Bytes of weights.
    Weights,
}

/// How much a channel means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// The square of what the loss would change without it, to first order, by the gradients of its normalisation (Molchanov et
    /// al., "Importance Estimation for Neural Network Pruning", 2019).
    #[default]
    Taylor,
    /// The sum of the magnitudes of its filter (Li et al., "Pruning Filters for Efficient ConvNets", 2017), normalised; as a
    /// share of the mean of its layer.
    Norm,
    /// The factor of its normalisation (Liu et al., "Network Slimming", 2017); as a share of the mean of its layer.
    Scale,
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            keep: 0.5,
            of: Of::Macs,
            importance: Importance::Taylor,
            multiple: 4,
            epochs: 10,
            rate: 1e-3,
        }
    }
}

impl Prune {
    /// The settings of the training after it where those of the one before are given.
    pub fn settings(&self, train: &Settings) -> Settings {
        Settings {
            epochs: self.epochs,
            rate: self.rate,
            ..train.clone()
        }
    }

    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        if !(self.keep > 0.0 && self.keep < 1.0) {
            return Some(format!("keep = {}: it lies between 0 and 1", self.keep));
        }
        (self.multiple == 0).then(|| "multiple = 0: it is at least 1".into())
    }

    /// The network without its least important channels; `samples[numbers]` tell which those are.
    ///
    /// # Errors
    /// A share that cannot be reached, samples that do not fit.
    pub fn apply(
        &self,
        network: &Network,
        samples: &Samples,
        numbers: &[usize],
        seed: u64,
    ) -> Result<Network, TrainingError> {
        let channels = network.channels();
        let importance = match self.importance {
            Importance::Taylor => taylor(network, &channels, samples, numbers, seed)?,
            Importance::Norm => by_weights(network, &channels, norm)?,
            Importance::Scale => by_weights(network, &channels, scale)?,
        };
        let keep = self.choose(network, &channels, &importance)?;
        Ok(network.pruned(&channels, &keep)?)
    }

    /// The channels that are left of each set: again and again those go that mean least for what they cost.
    fn choose(
        &self,
        network: &Network,
        channels: &Channels,
        importance: &[Vec<f64>],
    ) -> Result<Vec<Vec<usize>>, TrainingError> {
        let of = |cost: Cost| match self.of {
            Of::Macs => cost.macs,
            Of::Weights => cost.weights,
        };
        let mut counts = channels.sizes.clone();
        let at = |counts: &[usize]| network.cost(channels, counts).map(of);
        let whole = at(&counts)?;
        let target = (whole as f64 * f64::from(self.keep)) as u64;
        // Least important first.
        let orders: Vec<Vec<usize>> = importance
            .iter()
            .map(|of| {
                let mut order: Vec<usize> = (0..of.len()).collect();
                order.sort_by(|&a, &b| of[a].total_cmp(&of[b]).then(b.cmp(&a)));
                order
            })
            .collect();
        let mut now = whole;
        while now > target {
            let mut best: Option<(f64, usize, usize)> = None;
            for set in 0..counts.len() {
                let count = counts[set];
                // To the next multiple below.
                let fewer = count.saturating_sub(1) / self.multiple * self.multiple;
                if channels.fixed[set] || fewer == 0 {
                    continue;
                }
                let gone = channels.sizes[set] - count;
                let lost = &orders[set][gone..gone + count - fewer];
                let lost: f64 = lost.iter().map(|&k| importance[set][k]).sum();
                counts[set] = fewer;
                let saved = now.saturating_sub(at(&counts)?);
                counts[set] = count;
                let price = lost / saved.max(1) as f64;
                if best.is_none_or(|b| price < b.0) {
                    best = Some((price, set, fewer));
                }
            }
            let Some((_, set, fewer)) = best else {
                return Err(TrainingError::Project(format!(
                    "[prune] keep = {}: with {} channels in every layer, {:.0} % are left: raise keep, lower multiple, or begin with a smaller model",
                    self.keep,
                    self.multiple,
                    100.0 * now as f64 / whole.max(1) as f64
                )));
            };
            counts[set] = fewer;
            now = at(&counts)?;
        }
        let kept = |(set, order): (usize, &Vec<usize>)| {
            let mut kept = order[channels.sizes[set] - counts[set]..].to_vec();
            kept.sort_unstable();
            kept
        };
        Ok(orders.iter().enumerate().map(kept).collect())
    }
}

fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// Adds up, over the layers that make a set's channels, what `of` says of each channel, as a share of the layer's mean.
fn by_weights(
    network: &Network,
    channels: &Channels,
    of: fn(&Network, &Node) -> candle_core::Result<Vec<f64>>,
) -> candle_core::Result<Vec<Vec<f64>>> {
    let mut all: Vec<Vec<f64>> = channels.sizes.iter().map(|n| vec![0.0; *n]).collect();
    for (n, node) in network.nodes.iter().enumerate() {
        if !node.layer.has_weights() {
            continue;
        }
        let own = of(network, node)?;
        let mean = (own.iter().sum::<f64>() / own.len().max(1) as f64).max(1e-30);
        for (sum, own) in all[channels.set(n)].iter_mut().zip(own) {
            *sum += own / mean;
        }
    }
    Ok(all)
}

/// The sum of magnitudes of each channel's filter.
fn norm(network: &Network, node: &Node) -> candle_core::Result<Vec<f64>> {
    let weight = floats(network.parameter(&format!("{}.weight", node.name))?)?;
    let c = node.shape.last().copied().unwrap_or(1).max(1);
    let mut sums = vec![0.0; c];
    for row in weight.chunks_exact(c) {
        for (sum, w) in sums.iter_mut().zip(row) {
            *sum += f64::from(w.abs());
        }
    }
    if network.running.contains_key(&node.name) {
        let affine = network.running_affine(&node.name)?;
        for (sum, s) in sums.iter_mut().zip(&affine) {
            *sum *= f64::from(s.abs());
        }
    }
    Ok(sums)
}

/// The factor of each channel's normalisation; where there is none, the magnitudes of its filter.
fn scale(network: &Network, node: &Node) -> candle_core::Result<Vec<f64>> {
    let Ok(affine) = network.parameter(&format!("{}.affine", node.name)) else {
        return norm(network, node);
    };
    let gamma = floats(&affine.get(0)?)?;
    Ok(gamma.iter().map(|g| f64::from(g.abs())).collect())
}

/// The squared first-order change of the loss without each channel, over batches of samples. (Molchanov et al., 2019, equation
/// 8, for the factor and the shift of a normalisation together.)
fn taylor(
    network: &Network,
    channels: &Channels,
    samples: &Samples,
    numbers: &[usize],
    seed: u64,
) -> Result<Vec<Vec<f64>>, TrainingError> {
    let mut all: Vec<Vec<f64>> = channels.sizes.iter().map(|n| vec![0.0; *n]).collect();
    // What a pass changes, statistics that are kept up, is the copy's.
    let every: Vec<Vec<usize>> = channels.sizes.iter().map(|n| (0..*n).collect()).collect();
    let mut copy = network.pruned(channels, &every)?;
    copy.frozen.clear();
    let mut order = numbers.to_vec();
    Random::new(seed, 7).shuffle(&mut order);
    for (k, batch) in order.chunks(BATCH).take(BATCHES).enumerate() {
        let x = samples.plain(batch, &network.device)?;
        let targets = samples.targets(batch, 0.0, &network.device)?;
        let pass = copy.train(&x, &mut Random::new(seed ^ k as u64, 8), &[])?;
        let gradients = pass.gradients(&copy, &loss_of(samples.task, pass.output(), &targets)?)?;
        for (n, node) in network.nodes.iter().enumerate() {
            let c = node.shape.last().copied().unwrap_or(1).max(1);
            let mut change = vec![0f64; c];
            let kinds: &[&str] = match network.running.contains_key(&node.name) {
                true => &["affine"],
                false => &["weight", "bias"],
            };
            for kind in kinds {
                let name = format!("{}.{kind}", node.name);
                let (Some(gradient), Ok(value)) = (gradients.get(&name), network.parameter(&name))
                else {
                    continue;
                };
                let product = floats(&(value * gradient)?)?;
                for row in product.chunks_exact(c) {
                    for (sum, p) in change.iter_mut().zip(row) {
                        *sum += f64::from(*p);
                    }
                }
            }
            for (sum, change) in all[channels.set(n)].iter_mut().zip(change) {
                *sum += change * change;
            }
        }
    }
    Ok(all)
}
