//! How long the steps of a program take on this machine, by the model's nodes.

use crate::bundle::Array;
use crate::quantize::{QuantizeError, Sample};
use crate::verify::{Runner, RunnerOptions};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Time for measuring a program.
const PATIENCE: Duration = Duration::from_millis(300);
/// Fewest runs.
const LEAST_RUNS: usize = 3;
/// A layer has to be this much slower to be counted as slower: times vary.
const SLOWER: f64 = 1.1;

/// The least time of the steps of each node in nanoseconds, on one thread.
pub(super) fn by_node(
    program: &[u8],
    sample: &Sample,
) -> Result<BTreeMap<String, u64>, QuantizeError> {
    let mut runner = Runner::from_bytes(program, &RunnerOptions::default())?;
    let inputs: Vec<&Array> = sample.inputs.iter().collect();
    let mut least: BTreeMap<String, u64> = BTreeMap::new();
    let begin = Instant::now();
    let mut runs = 0;
    while runs < LEAST_RUNS || begin.elapsed() < PATIENCE {
        // A run may overwrite its inputs.
        runner.set_inputs(&inputs)?;
        let mut of_run: BTreeMap<String, u64> = BTreeMap::new();
        runner.run_observed(&mut |step| {
            *of_run.entry(step.node.to_owned()).or_default() += step.nanos;
        })?;
        for (node, nanos) in of_run {
            let known = least.entry(node).or_insert(nanos);
            *known = nanos.min(*known);
        }
        runs += 1;
    }
    Ok(least)
}

/// The layers, of these names, that take longer as integers. A layer that only one of the programs names was joined with
/// others, and says nothing.
pub(super) fn slower(
    names: &[(String, String)],
    float: &BTreeMap<String, u64>,
    integer: &BTreeMap<String, u64>,
) -> Vec<usize> {
    let is_slower = |(k, (node, _)): (usize, &(String, String))| {
        let (f, i) = (*float.get(node)?, *integer.get(node)?);
        (i as f64 > SLOWER * f as f64).then_some(k)
    };
    names.iter().enumerate().filter_map(is_slower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_compared_by_name() {
        let times = |t: &[(&str, u64)]| t.iter().map(|(n, t)| ((*n).to_owned(), *t)).collect();
        let names = ["a", "b", "c", "d"].map(|n| (n.to_owned(), String::new()));
        let float = times(&[("a", 100), ("b", 100), ("c", 100)]);
        let integer = times(&[("a", 50), ("b", 200), ("c", 105), ("d", 900)]);
        assert_eq!(slower(&names, &float, &integer), [1]);
    }
}
