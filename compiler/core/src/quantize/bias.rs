//! Bias correction: rounding shifts the mean of a layer's result, and the bias takes the shift back (Nagel et al. 2019,
//! "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2, with measured means).

use super::Sample;
use super::calibrate::observe;
use super::compile::QuantizeError;
use super::insert::beside;
use super::range::Parameters;
use super::scheme::{Layer, Scheme};
use super::weights::Rounded;
use crate::ir::{Graph, MAIN, ValueId};
use cygnet_format::Dim;
use std::collections::{BTreeMap, HashMap};

/// What quantising a layer alone does to its result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerError {
    /// Mean error of each output channel.
    pub shift: Vec<f64>,
    /// Signal to noise in decibels.
    pub snr_db: f64,
    /// The largest magnitude of each channel of the input.
    pub reach: Vec<f32>,
}

/// Sums over the elements of a layer's result.
#[derive(Clone)]
struct Sums {
    shift: Vec<f64>,
    rows: u64,
    signal: f64,
    noise: f64,
}

/// Measures each layer of a scheme on its own: its input comes from the float model and is rounded there.
pub(super) fn measure(
    graph: &Graph,
    scheme: &Scheme,
    parameters: &BTreeMap<ValueId, Parameters>,
    weights: &[Rounded],
    samples: &[Sample],
) -> Result<Vec<LayerError>, QuantizeError> {
    let (twin, pairs) = beside(graph, scheme, parameters, weights);
    let exact: HashMap<ValueId, usize> = pairs.iter().enumerate().map(|(k, p)| (p.0, k)).collect();
    let rounded: HashMap<ValueId, usize> =
        pairs.iter().enumerate().map(|(k, p)| (p.1, k)).collect();
    let mut reach: BTreeMap<ValueId, Vec<f32>> = BTreeMap::new();
    for layer in &scheme.layers {
        let channels = graph.ty(layer.x).shape.last().copied();
        let channels = channels.and_then(Dim::as_const).unwrap_or(0);
        reach.insert(layer.x, vec![0.0; channels]);
    }
    let results = pairs.iter().flat_map(|p| [p.0, p.1]);
    let wanted: Vec<ValueId> = results.chain(reach.keys().copied()).collect();
    let empty = |l: &Layer| Sums {
        shift: vec![0.0; l.outputs],
        rows: 0,
        signal: 0.0,
        noise: 0.0,
    };
    let mut sums: Vec<Sums> = scheme.layers.iter().map(empty).collect();
    // The exact result is seen just before the rounded one.
    let mut last: Option<(usize, Vec<f32>)> = None;
    observe(&twin, &wanted, samples, &mut |_, v, values| {
        if let Some(reach) = reach.get_mut(&v).filter(|r| !r.is_empty()) {
            for row in values.chunks_exact(reach.len()) {
                for (most, x) in reach.iter_mut().zip(row) {
                    *most = most.max(x.abs());
                }
            }
        }
        if let Some(&k) = exact.get(&v) {
            last = Some((k, values.to_vec()));
        } else if let Some(&k) = rounded.get(&v)
            && let Some((_, exact)) = last.take_if(|(of, _)| *of == k)
        {
            let s = &mut sums[k];
            let n = s.shift.len();
            for (e, r) in exact.chunks_exact(n).zip(values.chunks_exact(n)) {
                s.rows += 1;
                for ((shift, e), r) in s.shift.iter_mut().zip(e).zip(r) {
                    let error = f64::from(r - e);
                    *shift += error;
                    s.noise += error * error;
                    s.signal += f64::from(*e) * f64::from(*e);
                }
            }
        }
        Ok(())
    })?;
    let of = |(s, layer): (Sums, &Layer)| LayerError {
        reach: reach[&layer.x].clone(),
        shift: s.shift.iter().map(|x| x / s.rows.max(1) as f64).collect(),
        snr_db: 10.0 * (s.signal / s.noise).log10(),
    };
    Ok(sums.into_iter().zip(&scheme.layers).map(of).collect())
}

/// Takes the shifts out of the biases of a graph's layers.
pub(super) fn correct(graph: &mut Graph, layers: &mut [Layer], errors: &[LayerError]) {
    for (layer, error) in layers.iter_mut().zip(errors) {
        let mut bias = match layer.bias {
            Some(b) => graph.constant_f32(b).expect("constant"),
            None => vec![0.0; layer.outputs],
        };
        for (b, shift) in bias.iter_mut().zip(&error.shift) {
            *b -= *shift as f32;
        }
        let corrected = graph.add_f32("bias", &[layer.outputs], &bias);
        let node = &mut graph.blocks[MAIN.0 as usize].nodes[layer.node];
        while node.inputs.len() < 3 {
            node.inputs.push(None);
        }
        node.inputs[2] = Some(corrected);
        layer.bias = Some(corrected);
    }
}
