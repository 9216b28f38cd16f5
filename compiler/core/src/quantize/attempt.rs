//! A way to quantise a graph: which layers, by which ranges, with which weights.

use super::bias::{LayerError, correct, measure};
use super::channels::{Channels, tail};
use super::compile::QuantizeError;
use super::function::Function;
use super::insert::{insert, quantise_weights};
use super::range::{Chosen, HIGH, LOW, choose, choose_wide};
use super::record::finite_db;
use super::rounding::{self, moments};
use super::scheme::{Layer, Scheme, Width};
use super::weights::{ACCUMULATOR, LARGEST, MAX_BIAS, Rounded, largest_sum};
use super::{
    Histogram, LayerRecord, Method, Parameters, Sample, SoftmaxRecord, TensorRecord, calibrate,
};
use crate::ir::{Graph, MAIN, ValueId};
use crate::{CompileError, CompileOptions, Compiled, compile_graph};
use cygnet_format::Op;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bins of the histograms in records.
const RECORDED_BINS: usize = 64;

/// What calibration saw of values.
pub(super) type Seen = Arc<BTreeMap<ValueId, Histogram>>;

/// A way to quantise a graph.
#[derive(Clone)]
pub(super) struct Attempt {
    /// The float graph with its layers recognised.
    pub base: Graph,
    pub scheme: Scheme,
    /// How ranges are found.
    method: Method,
    seen: Seen,
    /// By the value that stands for all that share a scale.
    ranges: BTreeMap<ValueId, (Histogram, Chosen)>,
    /// By point.
    parameters: BTreeMap<ValueId, Parameters>,
    /// By layer.
    pub weights: Vec<Rounded>,
    /// By layer: the bias of the float model.
    biases: Vec<Option<ValueId>>,
}

impl Attempt {
    /// A histogram for each value that gives ranges.
    pub fn look(base: &Graph, scheme: &Scheme, samples: &[Sample]) -> Result<Seen, QuantizeError> {
        let sources = scheme.sources();
        let wanted: Vec<ValueId> = sources.values().flatten().copied().collect();
        calibrate::histograms(base, &wanted, samples).map(Arc::new)
    }

    pub fn new(base: Graph, scheme: Scheme, seen: &Seen, method: Method) -> Attempt {
        let ranges = ranges(&base, &scheme, seen, |_, fresh| fresh(method));
        let mut attempt = Attempt {
            biases: scheme.layers.iter().map(|l| l.bias).collect(),
            parameters: parameters(&scheme, &ranges),
            base,
            scheme,
            method,
            seen: Arc::clone(seen),
            ranges,
            weights: Vec::new(),
        };
        attempt.weights = attempt.rounded();
        attempt
    }

    /// The weights, each rounded to the nearest integer.
    pub fn rounded(&self) -> Vec<Rounded> {
        quantise_weights(&self.base, &self.scheme, &self.parameters)
    }

    /// The same with shifts of means taken out of the biases.
    pub fn corrected(&self, errors: &[LayerError]) -> Attempt {
        let mut corrected = self.clone();
        correct(&mut corrected.base, &mut corrected.scheme.layers, errors);
        let weights = corrected.rounded();
        for (kept, new) in corrected.weights.iter_mut().zip(weights) {
            // A bias changes a scale only where it is large.
            if kept.scales != new.scales {
                *kept = new;
            }
        }
        corrected
    }

    /// The same with weights whose rounding errors compensate each other on the samples.
    pub fn compensated(&self, samples: &[Sample]) -> Result<Attempt, QuantizeError> {
        let moments = moments(&self.base, &self.scheme, samples)?;
        let mut compensated = self.clone();
        let layers = self.scheme.layers.iter().zip(&moments);
        for ((layer, moments), rounded) in layers.zip(&mut compensated.weights) {
            let weights = self.base.constant_f32(layer.weights).expect("constant");
            let step = self.parameters[&layer.x].scale;
            *rounded = rounding::compensated(layer, &weights, rounded, moments, step);
        }
        Ok(compensated)
    }

    /// The same with some layers, by their index, left float.
    pub fn without(&self, float: &BTreeSet<usize>) -> Attempt {
        let mut base = self.base.clone();
        let nodes = &mut base.blocks[MAIN.0 as usize].nodes;
        for &k in float {
            // What its bias was corrected for does not happen.
            if let Some(bias) = nodes[self.scheme.layers[k].node].inputs.get_mut(2) {
                *bias = self.biases[k];
            }
        }
        let more = float.iter().map(|&k| self.scheme.layers[k].node);
        let excluded = self.scheme.excluded.iter().copied().chain(more).collect();
        let scheme = Scheme::without(&base, &excluded, self.scheme.width);
        let before = self.scheme.sources();
        let after = scheme.sources();
        let ranges = ranges(&base, &scheme, &self.seen, |root, fresh| {
            let same = before.get(root) == after.get(root);
            let known = self.ranges.get(root).filter(|_| same);
            known.map_or_else(|| fresh(self.method), |(_, chosen)| *chosen)
        });
        let parameters = parameters(&scheme, &ranges);
        let kept = || (0..self.scheme.layers.len()).filter(|k| !float.contains(k));
        let mut weights = quantise_weights(&base, &scheme, &parameters);
        for (k, (layer, rounded)) in kept().zip(scheme.layers.iter().zip(&mut weights)) {
            if parameters[&layer.x] == self.parameters[&self.scheme.layers[k].x] {
                rounded.clone_from(&self.weights[k]);
            }
        }
        Attempt {
            biases: kept().map(|k| self.biases[k]).collect(),
            base,
            scheme,
            method: self.method,
            seen: Arc::clone(&self.seen),
            ranges,
            parameters,
            weights,
        }
    }

    pub fn compile(&self, choices: &CompileOptions) -> Result<Compiled, CompileError> {
        let graph = insert(&self.base, &self.scheme, &self.parameters, &self.weights);
        compile_graph(graph, choices)
    }

    /// A program with the integer weights and float activations.
    pub fn compile_weights(&self, choices: &CompileOptions) -> Result<Compiled, CompileError> {
        let weights = Scheme {
            layers: self.scheme.layers.clone(),
            ..Scheme::default()
        };
        let graph = insert(&self.base, &weights, &self.parameters, &self.weights);
        compile_graph(graph, choices)
    }

    pub fn measure(&self, samples: &[Sample]) -> Result<Vec<LayerError>, QuantizeError> {
        measure(
            &self.base,
            &self.scheme,
            &self.parameters,
            &self.weights,
            samples,
        )
    }

    pub fn layer_records(&self, errors: &[LayerError]) -> Vec<LayerRecord> {
        let nodes = &self.base.blocks[MAIN.0 as usize].nodes;
        let layers = self.scheme.layers.iter().zip(&self.weights).zip(errors);
        let record = |((layer, weights), error): ((&Layer, &Rounded), &LayerError)| LayerRecord {
            node: nodes[layer.node].source.clone(),
            operator: nodes[layer.node].op.code().name().to_owned(),
            weights: weights.ints.len(),
            weight_snr_db: finite_db(weights.snr_db),
            output_snr_db: Some(finite_db(error.snr_db)),
            input: Some(calibrate::name(&self.base, self.scheme.points[&layer.x])),
            output: self.result(layer),
            input_channels: Channels::of(&error.reach),
            sum_share: Some(self.largest_sum(layer, weights) / ACCUMULATOR),
            ..self.weight_record(layer)
        };
        layers.map(record).collect()
    }

    /// The tensor of the record that a layer's result becomes, behind its clamps and sums.
    fn result(&self, layer: &Layer) -> Option<String> {
        let nodes = &self.base.blocks[MAIN.0 as usize].nodes;
        let mut v = layer.y;
        for node in &nodes[layer.node..] {
            if let Some(root) = self.scheme.points.get(&v) {
                return Some(calibrate::name(&self.base, *root));
            }
            if node.inputs.contains(&Some(v)) {
                v = node.outputs[0]?;
            }
        }
        let root = self.scheme.points.get(&v)?;
        Some(calibrate::name(&self.base, *root))
    }

    /// What is to be told of a layer's float weights.
    fn weight_record(&self, layer: &Layer) -> LayerRecord {
        let weights = self.base.constant_f32(layer.weights).expect("constant");
        let mut largest = vec![0f32; layer.outputs];
        for (i, w) in weights.iter().enumerate() {
            let of = &mut largest[layer.channel(i)];
            *of = of.max(w.abs());
        }
        LayerRecord {
            weight_channels: Channels::of(&largest),
            weight_tail: Some(tail(&weights, |i| layer.channel(i), layer.outputs)),
            ..LayerRecord::default()
        }
    }

    /// The greatest sum of products of a layer, in units of its sums.
    fn largest_sum(&self, layer: &Layer, weights: &Rounded) -> f64 {
        let x = self.parameters[&layer.x];
        let bias = match layer.bias {
            Some(b) => self.base.constant_f32(b).expect("constant"),
            None => vec![0.0; layer.outputs],
        };
        let unit =
            |(b, scale): (&f32, &f32)| f64::from(*b) / (f64::from(*scale) * f64::from(x.scale));
        let bias: Vec<f64> = bias.iter().zip(&weights.scales).map(unit).collect();
        let reach = f64::from(match x.limit {
            0 => (HIGH - x.zero).max(x.zero - LOW),
            limit => limit,
        });
        largest_sum(&weights.ints, |i| layer.channel(i), &bias, reach)
    }

    /// A softmax that reads tensors of this scale as integers, or makes one of them.
    fn softmax(&self, root: ValueId) -> Option<SoftmaxRecord> {
        let nodes = &self.base.blocks[MAIN.0 as usize].nodes;
        let shares =
            |v: Option<ValueId>| v.is_some_and(|v| self.scheme.points.get(&v) == Some(&root));
        nodes.iter().find_map(|node| {
            let Op::Softmax(op) = node.op else {
                return None;
            };
            let (x, y) = (*node.inputs.first()?, *node.outputs.first()?);
            // Others than those that integers compute are rounded for integers alone.
            let reads = shares(x) && x.is_some_and(|x| self.scheme.computed.contains(&x));
            let ty = self.base.ty(y?);
            let axis = usize::try_from(op.axis).ok()?;
            let classes = self.base.dim_bounds(*ty.shape.get(axis)?).1;
            (reads || shares(y)).then(|| SoftmaxRecord {
                node: node.source.clone(),
                reads,
                classes: usize::try_from(classes).unwrap_or(0),
            })
        })
    }

    /// What became of the tensors; `kept_back` are samples that gave no ranges.
    pub fn tensor_records(&self, kept_back: &[Sample]) -> Result<Vec<TensorRecord>, QuantizeError> {
        let sources = self.scheme.sources();
        let others = match kept_back {
            [] => None,
            some => Some(Attempt::look(&self.base, &self.scheme, some)?),
        };
        let kept = |root: &ValueId| {
            let mut all = Histogram::default();
            sources[root].iter().for_each(|v| {
                if let Some(seen) = others.as_ref().and_then(|o| o.get(v)) {
                    all.merge(seen);
                }
            });
            let (low, high) = all.range();
            (all.count() > 0).then_some([low, high])
        };
        let record = |(v, (seen, chosen)): (&ValueId, &(Histogram, Chosen))| {
            let (low, high) = seen.range();
            TensorRecord {
                tensor: calibrate::name(&self.base, *v),
                method: chosen.method,
                scale: chosen.parameters.scale,
                zero: chosen.parameters.zero,
                seen: [low, high],
                kept_back: kept(v),
                saturated: chosen.saturated,
                snr_db: finite_db(chosen.snr_db),
                read_snr_db: chosen.read_snr_db.map(finite_db),
                cut: chosen.cut,
                softmax: self.softmax(*v),
                histogram: seen.coarse(RECORDED_BINS),
            }
        };
        Ok(self.ranges.iter().map(record).collect())
    }
}

/// What was seen of all that share a scale, with its range, by the value that stands for them. `decide` gets that value
/// and what finds a range by a method.
fn ranges(
    base: &Graph,
    scheme: &Scheme,
    seen: &Seen,
    decide: impl Fn(&ValueId, &dyn Fn(Method) -> Chosen) -> Chosen,
) -> BTreeMap<ValueId, (Histogram, Chosen)> {
    let functions = Function::all(base, scheme);
    let limits = match scheme.width {
        Width::Eight => BTreeMap::new(),
        Width::Sixteen => limits(base, scheme),
    };
    let merged = |(root, values): (ValueId, Vec<ValueId>)| {
        let mut all = Histogram::default();
        values.iter().for_each(|v| all.merge(&seen[v]));
        let (low, high) = all.range();
        let read = functions.get(&root).and_then(|f| f.over(base, low, high));
        let chosen = match scheme.width {
            Width::Eight => decide(&root, &|method| choose(&all, method, read.as_ref())),
            Width::Sixteen => {
                let limit = limits.get(&root).copied().unwrap_or(f64::INFINITY);
                decide(&root, &|_| choose_wide(&all, limit))
            }
        };
        (root, (all, chosen))
    };
    scheme.sources().into_iter().map(merged).collect()
}

/// The largest 16-bit integers with which all sums of the layers that read what shares a scale fit 32 bits, by the value
/// that stands for it.
fn limits(base: &Graph, scheme: &Scheme) -> BTreeMap<ValueId, f64> {
    /// What rounding, and compensating for it, may add to the magnitudes of weights.
    const SPARE: f64 = 1.1;
    let room = f64::from(i32::MAX) - f64::from(MAX_BIAS);
    let mut limits: BTreeMap<ValueId, f64> = BTreeMap::new();
    for layer in &scheme.layers {
        let weights = base.constant_f32(layer.weights).expect("constant");
        let (mut sums, mut largest) = (vec![0f64; layer.outputs], vec![0f64; layer.outputs]);
        for (i, w) in weights.iter().enumerate() {
            let (c, w) = (layer.channel(i), f64::from(w.abs()));
            sums[c] += w;
            largest[c] = largest[c].max(w);
        }
        // Scales are no smaller than this, so that integer weights are no larger.
        let scale = |largest: f64| (largest / f64::from(LARGEST)).max(f64::MIN_POSITIVE);
        let integers = sums.iter().zip(&largest).map(|(sum, &l)| sum / scale(l));
        let most = room / (SPARE * integers.fold(1.0, f64::max));
        let limit = limits.entry(scheme.points[&layer.x]).or_insert(most);
        *limit = limit.min(most);
    }
    limits
}

/// The parameters of every point.
fn parameters(
    scheme: &Scheme,
    ranges: &BTreeMap<ValueId, (Histogram, Chosen)>,
) -> BTreeMap<ValueId, Parameters> {
    let of = |(&v, root): (&ValueId, &ValueId)| (v, ranges[root].1.parameters);
    scheme.points.iter().map(of).collect()
}
