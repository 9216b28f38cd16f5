//! Equalisation: channels between two layers get factors that the second layer's weights take back, so that no channel
//! wastes the one scale of the tensor between (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and
//! Bias Correction", section 4.1). Weights have a scale for each output channel here, so what is balanced is the range of
//! the activations against that of the weights that read them (Xiao et al. 2023, "SmoothQuant", equation 4).

use super::Sample;
use super::calibrate::observe;
use super::compile::QuantizeError;
use super::scheme::{Kind, Layer, Scheme};
use crate::ir::{Flow, Graph, MAIN, Type, ValueId};
use cygnet_format::op::{Unary, UnaryKind};
use cygnet_format::{DType, Op};
use std::collections::BTreeMap;

/// Factors stay between this and its inverse.
const LARGEST_FACTOR: f32 = 64.0;

/// Two layers with nothing between them but a Relu, or a Clip that may become one.
#[derive(Clone, Debug)]
struct Pair {
    /// Index of the first layer in the scheme.
    first: usize,
    /// Index of the second.
    second: usize,
    /// What lies between: node and upper bound of a Clip from zero.
    clip: Option<(usize, f32)>,
}

fn pairs(graph: &Graph, scheme: &Scheme) -> Vec<Pair> {
    let flow = Flow::of(graph);
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let own = |layer: &Layer| {
        // Packed weights that another layer reads as well must stay as they are.
        let packed = nodes[layer.node].inputs[1].expect("a layer has weights");
        layer.packing.is_none() || flow.only_reader(packed).is_some()
    };
    let find = |first: usize| -> Option<Pair> {
        let a = &scheme.layers[first];
        let mut reader = flow.only_reader(a.y)?;
        let mut v = a.y;
        let mut clip = None;
        if let Op::Unary(u) = nodes[reader].op {
            match u.kind {
                UnaryKind::Relu => {}
                UnaryKind::Clip if u.a == 0.0 => clip = Some((reader, u.b)),
                _ => return None,
            }
            v = nodes[reader].outputs[0]?;
            reader = flow.only_reader(v)?;
        }
        let second = scheme.layers.iter().position(|l| l.node == reader)?;
        let b = &scheme.layers[second];
        let channels = b.x == v && b.inputs() == a.outputs;
        (channels && own(a) && own(b)).then_some(Pair {
            first,
            second,
            clip,
        })
    };
    (0..scheme.layers.len()).filter_map(find).collect()
}

/// Equalises the layers of a graph, which computes the same afterwards; gives the number of pairs.
pub(super) fn equalise(
    graph: &mut Graph,
    scheme: &Scheme,
    samples: &[Sample],
) -> Result<usize, QuantizeError> {
    let pairs = pairs(graph, scheme);
    let mut peaks: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
    let mut highest: BTreeMap<ValueId, f32> = BTreeMap::new();
    for p in &pairs {
        let (a, b) = (&scheme.layers[p.first], &scheme.layers[p.second]);
        peaks.insert(b.x, vec![0.0; a.outputs]);
        highest.insert(a.y, f32::NEG_INFINITY);
    }
    if pairs.is_empty() {
        return Ok(0);
    }
    let wanted: Vec<ValueId> = peaks.keys().chain(highest.keys()).copied().collect();
    observe(graph, &wanted, samples, &mut |_, v, values| {
        if let Some(peaks) = peaks.get_mut(&v) {
            for row in values.chunks_exact(peaks.len()) {
                peaks
                    .iter_mut()
                    .zip(row)
                    .for_each(|(p, x)| *p = p.max(x.abs()));
            }
        }
        if let Some(highest) = highest.get_mut(&v) {
            *highest = values.iter().fold(*highest, |h, v| h.max(*v));
        }
        Ok(())
    })?;
    // Weights change from pair to pair; activations do not but for their factors.
    let mut weights: Vec<Vec<f32>> = scheme
        .layers
        .iter()
        .map(|l| graph.constant_f32(l.weights).expect("constant"))
        .collect();
    let mut done = 0;
    for p in &pairs {
        let (a, b) = (&scheme.layers[p.first], &scheme.layers[p.second]);
        if let Some((node, bound)) = p.clip {
            if highest[&a.y] > bound {
                continue;
            }
            // The bound was never reached: what is left of it is the Relu.
            let relu = Unary {
                kind: UnaryKind::Relu,
                a: 0.0,
                b: 0.0,
            };
            graph.blocks[MAIN.0 as usize].nodes[node].op = relu.into();
        }
        let mut columns = vec![0f32; a.outputs];
        for (i, w) in weights[p.second].iter().enumerate() {
            let c = b.input(i);
            columns[c] = columns[c].max(w.abs());
        }
        let balanced = |(&x, &w): (&f32, &f32)| Some((x / w).sqrt()).filter(|f| f.is_normal());
        let wanted: Vec<Option<f32>> = peaks[&b.x].iter().zip(&columns).map(balanced).collect();
        // What all channels have in common is in the scale of the tensor anyway; without it the bounds cut least.
        let middle = geometric_mean(wanted.iter().flatten().copied());
        let bounded = |f: f32| (f / middle).clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR);
        let factors: Vec<f32> = wanted.iter().map(|f| f.map_or(1.0, bounded)).collect();
        for (i, w) in weights[p.first].iter_mut().enumerate() {
            *w /= factors[a.channel(i)];
        }
        for (i, w) in weights[p.second].iter_mut().enumerate() {
            *w *= factors[b.input(i)];
        }
        let node = &graph.blocks[MAIN.0 as usize].nodes[a.node];
        if let Some(bias) = node.inputs.get(2).copied().flatten() {
            let mut bias = graph.constant_f32(bias).expect("constant");
            bias.iter_mut().zip(&factors).for_each(|(b, f)| *b /= f);
            let bias = graph.add_f32("bias", &[bias.len()], &bias);
            graph.blocks[MAIN.0 as usize].nodes[a.node].inputs[2] = Some(bias);
        }
        done += 1;
    }
    for (layer, weights) in scheme.layers.iter().zip(&weights) {
        let touched = pairs.iter().any(|p| {
            scheme.layers[p.first].node == layer.node || scheme.layers[p.second].node == layer.node
        });
        if touched {
            replace(graph, layer, weights);
        }
    }
    Ok(done)
}

/// The geometric mean of positive numbers; 1 of none.
fn geometric_mean(of: impl Iterator<Item = f32>) -> f32 {
    let (sum, n) = of.fold((0f64, 0usize), |(s, n), f| (s + f64::from(f).ln(), n + 1));
    (sum / n.max(1) as f64).exp() as f32
}

/// Gives a layer other weights.
fn replace(graph: &mut Graph, layer: &Layer, weights: &[f32]) {
    let bytes = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let new = graph.add_constant("weights", Type::fixed(DType::F32, &layer.shape), bytes);
    let nodes = &mut graph.blocks[MAIN.0 as usize].nodes;
    let read = nodes[layer.node].inputs[1];
    match layer.packing {
        None => nodes[layer.node].inputs[1] = Some(new),
        Some(_) => {
            let pack = nodes.iter_mut().find(|n| n.outputs.first() == Some(&read));
            pack.expect("packed weights").inputs[0] = Some(new);
        }
    }
}

impl Layer {
    /// Input channels.
    fn inputs(&self) -> usize {
        match (self.kind, &self.shape[..]) {
            (Kind::Matrix { trans: true }, &[_, k]) | (Kind::Matrix { trans: false }, &[k, _]) => k,
            (Kind::Convolution, &[groups, depth, _]) => groups * (depth / self.taps),
            _ => self.outputs,
        }
    }

    /// The input channel that an element of the weights multiplies.
    fn input(&self, i: usize) -> usize {
        match (self.kind, &self.shape[..]) {
            (Kind::Matrix { trans: true }, &[_, k]) => i % k,
            (Kind::Matrix { trans: false }, &[_, n]) => i / n,
            (Kind::Convolution, &[_, depth, o]) => {
                let (group, channels) = (i / (depth * o), depth / self.taps);
                group * channels + i / o % depth % channels
            }
            _ => i % self.outputs,
        }
    }
}
