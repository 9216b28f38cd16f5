//! What each layer alone does to the outputs.

use super::metric::names;
use super::plan::{self, Plan};
use crate::quantize::agreement::{Outputs, agreement, outputs};
use crate::quantize::attempt::Attempt;
use crate::quantize::compile::Study;
use crate::quantize::compress::{Format, INT8};
use crate::quantize::{QuantizeError, Sample};
use crate::{Compiled, quantize::LayerRecord};
use std::collections::{BTreeMap, BTreeSet};

/// Most samples that are run for every layer.
const MOST_SAMPLES: usize = 16;
/// Fewest.
const LEAST_SAMPLES: usize = 2;
/// Seconds that the runs of all layers may take, as far as the fewest samples allow.
const PATIENCE: f64 = 60.0;

/// An arithmetic that all layers may have, and what layers get that cannot bear it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Family {
    /// 8-bit weights and activations with ranges from calibration; floats.
    Static,
    /// The same with activations of 16 bits.
    Wide,
    /// Weights in a format; 8-bit weights where that is less than 8 bits or integers are multiplied, else floats.
    Weights(Format),
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Family::Static => f.write_str("int8"),
            Family::Wide => f.write_str("int8x16"),
            Family::Weights(Format::Integers { bits: 8, .. }) => f.write_str("int8 weights"),
            Family::Weights(Format::Integers {
                bits,
                group,
                asymmetric: false,
            }) => write!(f, "int{bits} weights in groups of {group}"),
            Family::Weights(format) => write!(f, "{format}"),
        }
    }
}

impl Family {
    /// What a layer gets that cannot bear the family.
    pub fn refuge(self) -> Option<Format> {
        match self {
            Family::Weights(Format::Dynamic | Format::Integers { bits: 4, .. }) => Some(INT8),
            _ => None,
        }
    }

    /// What that is called.
    pub fn refuge_name(self) -> &'static str {
        match self.refuge() {
            Some(_) => "in int8 weights",
            None => "float",
        }
    }
}

/// A layer, or layers of one name, that a family quantises.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Index of a layer of the static quantisation.
    pub index: Option<usize>,
    pub node: String,
    pub operator: String,
    /// Bytes that it saves against what it gets otherwise.
    pub saves: u64,
    /// Part of all that the family saves, bytes and products weighed the same.
    pub gain: f64,
    /// Squared error of the outputs by their squares when it alone is quantised.
    pub noise: f64,
}

/// Bytes of weights of a family's refuge.
fn refuge_bytes(family: Family, weights: usize) -> u64 {
    let bytes = if family.refuge().is_some() { 1 } else { 4 };
    (weights * bytes) as u64
}

/// The layers that a family quantises, without their noise. `records` are those that the whole program compressed.
pub(super) fn candidates(
    family: Family,
    attempt: Option<&Attempt>,
    records: &[LayerRecord],
) -> Vec<Candidate> {
    let mut all: Vec<Candidate> = match (family, attempt) {
        (Family::Static | Family::Wide, Some(attempt)) => {
            let products = plan::products(attempt);
            let names = plan::layer_names(attempt);
            let all_products: f64 = products.iter().sum();
            let of = |(k, ((node, operator), products)): (usize, ((String, String), f64))| {
                let weights = attempt.weights[k].ints.len() as u64;
                Candidate {
                    index: Some(k),
                    node,
                    operator,
                    saves: 3 * weights,
                    gain: products / all_products.max(1.0),
                    noise: 0.0,
                }
            };
            names
                .into_iter()
                .zip(products)
                .enumerate()
                .map(of)
                .collect()
        }
        _ => {
            let mut by_name: BTreeMap<&str, Candidate> = BTreeMap::new();
            for r in records {
                let saved =
                    refuge_bytes(family, r.weights).saturating_sub(r.bytes.unwrap_or(0) as u64);
                let c = by_name.entry(&r.node).or_insert_with(|| Candidate {
                    index: None,
                    node: r.node.clone(),
                    operator: r.operator.clone(),
                    saves: 0,
                    gain: 0.0,
                    noise: 0.0,
                });
                c.saves += saved;
            }
            by_name.into_values().collect()
        }
    };
    let saved: u64 = all.iter().map(|c| c.saves).sum();
    for c in &mut all {
        c.gain += c.saves as f64 / saved.max(1) as f64;
    }
    all
}

/// The samples that are run for every layer.
pub(super) struct Probe {
    mask: Vec<bool>,
    samples: Vec<Sample>,
    expected: Outputs,
}

impl Probe {
    /// Enough samples of a study for `layers` layers of a program that takes so many seconds.
    pub fn of(study: &Study<'_>, layers: usize, seconds: f64) -> Probe {
        let all = study.samples.len();
        let affordable = (PATIENCE / (seconds * layers.max(1) as f64).max(1e-9)) as usize;
        let count = affordable.clamp(LEAST_SAMPLES, MOST_SAMPLES).min(all);
        let mut mask = vec![false; all];
        if study.samples.iter().any(|s| s.continues) {
            // States carry over: a stream is run from its beginning.
            mask[..count].fill(true);
        } else {
            (0..count).for_each(|i| mask[i * all / count] = true);
        }
        let chosen = study.samples.iter().zip(&mask).filter(|(_, m)| **m);
        Probe {
            samples: chosen.map(|(s, _)| s.clone()).collect(),
            expected: study.expected.only(&mask),
            mask,
        }
    }

    /// Samples that are run.
    pub fn count(&self) -> usize {
        self.mask.iter().filter(|m| **m).count()
    }

    /// The squared error of a program's outputs by their squares, of the worst output.
    pub fn noise(&self, compiled: &Compiled) -> Result<f64, QuantizeError> {
        let actual = outputs(&compiled.program.bytes, &self.samples)?;
        let of = agreement(&names(compiled), &self.expected, &actual);
        let noise = of.iter().map(|a| 10f64.powf(-a.snr_db / 10.0));
        Ok(noise.fold(0.0, f64::max))
    }
}

/// The plan of a family with some of its layers kept out.
pub(super) fn plan(family: Family, all: &[Candidate], kept: &BTreeSet<usize>) -> Plan {
    match family {
        Family::Static | Family::Wide => Plan {
            wide: family == Family::Wide,
            ..Plan::integers(kept.iter().filter_map(|&i| all[i].index).collect())
        },
        Family::Weights(format) => {
            let refuge = family.refuge();
            let stored = kept.iter().map(|&i| (all[i].node.clone(), refuge));
            Plan {
                stored: stored.collect(),
                ..Plan::weights(format)
            }
        }
    }
}

/// The plan that quantises one layer alone.
pub(super) fn alone(family: Family, all: &[Candidate], one: usize) -> Plan {
    match family {
        Family::Static | Family::Wide => {
            let others = (0..all.len()).filter(|&i| i != one);
            Plan {
                wide: family == Family::Wide,
                ..Plan::integers(others.filter_map(|i| all[i].index).collect())
            }
        }
        Family::Weights(format) => Plan {
            stored: BTreeMap::from([(all[one].node.clone(), Some(format))]),
            ..Plan::default()
        },
    }
}
