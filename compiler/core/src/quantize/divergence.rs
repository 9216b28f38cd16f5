//! How near outputs are, by what they mean: probabilities by their divergence, all else by squared errors.
//!
//! Where a classifier is sure, its probabilities hide errors; where two classes are nearly as likely, a small error turns
//! the squared error of a row from nothing to all. The Kullback-Leibler divergence of the float model's probabilities
//! from the integer model's changes smoothly with both, and is what training minimised (Nagel et al. 2020, "Up or Down?
//! Adaptive Rounding for Post-Training Quantization", section 3: rounding is to serve the loss of the task).

use crate::bundle::Array;
use crate::ir::{Graph, MAIN, ValueId};
use cygnet_format::Op;
use cygnet_format::op::{SoftmaxKind, UnaryKind};

/// Probabilities below this count as it: the logarithm of less is a matter of the last bits.
const LEAST: f64 = 1e-9;

/// What the elements of an output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Values of some quantity.
    Values,
    /// Probabilities of classes, which add up to one.
    Classes,
    /// Each the probability of something.
    Chances,
}

/// What the outputs of a float graph are, by the nodes that make them.
pub(super) fn readings(graph: &Graph) -> Vec<Reading> {
    let nodes = &graph.blocks[MAIN.0 as usize].nodes;
    let of = |mut v: ValueId| loop {
        let made = nodes.iter().find(|n| n.outputs.contains(&Some(v)));
        match made.map(|n| (&n.op, n.inputs.first().copied().flatten())) {
            Some((Op::Softmax(s), _)) if s.kind == SoftmaxKind::Softmax => return Reading::Classes,
            Some((Op::Unary(u), _)) if u.kind == UnaryKind::Sigmoid => return Reading::Chances,
            Some((Op::Reshape(_) | Op::Transpose(_), Some(x))) => v = x,
            _ => return Reading::Values,
        }
    };
    graph.outputs.iter().map(|p| of(p.value)).collect()
}

impl Reading {
    /// Decibels of the expected arrays above what the actual ones lack. Of probabilities: how much more the float model
    /// says than the mean probability, over how much of it is lost, as divergences.
    pub fn decibels<'a>(self, pairs: impl Iterator<Item = (&'a Array, &'a Array)> + Clone) -> f64 {
        let (mut signal, mut noise) = (0f64, 0f64);
        let mean = match self {
            Reading::Values => 0.0,
            _ => {
                let (mut sum, mut n) = (0f64, 0usize);
                for (e, _) in pairs.clone() {
                    sum += e.to_f64().iter().sum::<f64>();
                    n += e.len();
                }
                (sum / n.max(1) as f64).clamp(LEAST, 1.0 - LEAST)
            }
        };
        let term = |p: f64, q: f64| {
            if p > 0.0 {
                p * (p / q.max(LEAST)).ln()
            } else {
                0.0
            }
        };
        for (e, a) in pairs {
            for (p, q) in e.to_f64().into_iter().zip(a.to_f64()) {
                match self {
                    Reading::Values => {
                        signal += p * p;
                        noise += (p - q) * (p - q);
                    }
                    Reading::Classes => {
                        signal += term(p, mean);
                        noise += term(p, q);
                    }
                    Reading::Chances => {
                        signal += term(p, mean) + term(1.0 - p, 1.0 - mean);
                        noise += term(p, q) + term(1.0 - p, 1.0 - q);
                    }
                }
            }
        }
        // Both programs' probabilities add up to one but for rounding.
        10.0 * (signal.max(f64::MIN_POSITIVE) / noise.max(signal * 1e-12).max(f64::MIN_POSITIVE))
            .log10()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db(reading: Reading, expected: &[f32], actual: &[f32]) -> f64 {
        let array = |v: &[f32]| Array::from_f32(&[1, v.len()], v);
        let (e, a) = (array(expected), array(actual));
        reading.decibels([(&e, &a)].into_iter())
    }

    #[test]
    fn known_divergences() {
        // KL((1, 0) || (1/2, 1/2)) = ln 2, KL((1, 0) || (1/4, 3/4)) = ln 4.
        let classes = db(Reading::Classes, &[1.0, 0.0], &[0.25, 0.75]);
        assert!((classes - 10.0 * 0.5f64.log10()).abs() < 1e-9, "{classes}");
        let chances = db(Reading::Chances, &[1.0, 0.0], &[0.25, 0.75]);
        assert!((chances - classes).abs() < 1e-9, "{chances}");
        let values = db(Reading::Values, &[3.0, 4.0], &[3.0, 3.5]);
        assert!((values - 20.0).abs() < 1e-9, "{values}");
        assert!(db(Reading::Values, &[1.0], &[1.0]) > 100.0);
    }

    #[test]
    fn near_ties_cost_little() {
        let turned = db(Reading::Classes, &[0.51, 0.49, 0.0], &[0.49, 0.51, 0.0]);
        let wrong = db(Reading::Classes, &[0.9, 0.1, 0.0], &[0.1, 0.9, 0.0]);
        assert!(turned > 20.0 && wrong < 5.0, "{turned} {wrong}");
    }
}
