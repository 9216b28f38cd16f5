//! How near the outputs of two programs are.

use super::calibrate::threads;
use super::compile::QuantizeError;
use super::divergence::Reading;
use super::record::finite_db;
use super::{Agreement, Sample, Speed};
use crate::bundle::Array;
use crate::verify::{Runner, RunnerOptions};
use std::time::{Duration, Instant};

/// Time for comparing speeds.
const PATIENCE: Duration = Duration::from_millis(400);
/// Fewest runs of each program.
const LEAST_RUNS: usize = 3;

/// Sums over the samples for one output.
#[derive(Clone, Copy, Default)]
struct Sums {
    signal: f64,
    noise: f64,
    rows: usize,
    same: usize,
    samples: usize,
}

impl Sums {
    fn add(&mut self, expected: &Array, actual: &Array) {
        let (e, a) = (expected.to_f64(), actual.to_f64());
        self.samples += 1;
        for (e, a) in e.iter().zip(&a) {
            self.signal += e * e;
            self.noise += (e - a) * (e - a);
        }
        // Maps have rows too, but what is largest in a row of pixels says little.
        let width = expected.shape.last().copied().unwrap_or(0);
        if (2..=3).contains(&expected.shape.len()) && width > 1 {
            for (e, a) in e.chunks(width).zip(a.chunks(width)) {
                self.rows += 1;
                self.same += usize::from(largest(e) == largest(a));
            }
        }
    }
}

/// The first of the greatest elements.
fn largest(row: &[f64]) -> usize {
    let mut best = 0;
    for (i, v) in row.iter().enumerate() {
        if *v > row[best] {
            best = i;
        }
    }
    best
}

/// A program with what it gives.
pub(super) struct Outputs {
    /// For each sample, for each output.
    pub(super) arrays: Vec<Vec<Array>>,
}

impl Outputs {
    /// Those of the samples that are wanted.
    pub fn only(&self, wanted: &[bool]) -> Outputs {
        let chosen = self.arrays.iter().zip(wanted).filter(|(_, w)| **w);
        Outputs {
            arrays: chosen.map(|(a, _)| a.clone()).collect(),
        }
    }

    /// For each sample, for each output.
    pub fn into_arrays(self) -> Vec<Vec<Array>> {
        self.arrays
    }
}

/// The instruction set of a program's float kernels on this machine.
pub(super) fn isa(program: &[u8]) -> Result<String, QuantizeError> {
    let runner = Runner::from_bytes(program, &RunnerOptions::default())?;
    Ok(runner.isa().to_owned())
}

/// The least time of a run on a sample on this machine, on one thread, in milliseconds.
pub(super) fn latency(program: &[u8], sample: &Sample) -> Result<f64, QuantizeError> {
    let mut runner = Runner::from_bytes(program, &RunnerOptions::default())?;
    let inputs: Vec<&Array> = sample.inputs.iter().collect();
    let mut least = f64::INFINITY;
    let begin = Instant::now();
    let mut runs = 0;
    while runs < LEAST_RUNS || begin.elapsed() < PATIENCE / 2 {
        // A run may overwrite its inputs.
        runner.set_inputs(&inputs)?;
        let start = Instant::now();
        runner.run()?;
        least = least.min(start.elapsed().as_secs_f64() * 1e3);
        runs += 1;
    }
    Ok(least)
}

/// The outputs of a program on all samples.
pub(super) fn outputs(program: &[u8], samples: &[Sample]) -> Result<Outputs, QuantizeError> {
    let mut runner = Runner::from_bytes(
        program,
        &RunnerOptions {
            threads: threads(),
            ..Default::default()
        },
    )?;
    let count = runner.program().outputs().len();
    let mut arrays = Vec::new();
    for sample in samples {
        let failed = |cause| QuantizeError::Run {
            sample: sample.name.clone(),
            cause,
        };
        let inputs: Vec<&Array> = sample.inputs.iter().collect();
        runner.set_inputs(&inputs).map_err(failed)?;
        if !sample.continues {
            runner.reset();
        }
        runner.run().map_err(failed)?;
        let outputs: Result<_, _> = (0..count).map(|i| runner.output(i)).collect();
        arrays.push(outputs.map_err(failed)?);
    }
    Ok(Outputs { arrays })
}

/// The mean decibels of outputs, each by what its elements are.
pub(super) fn decibels(readings: &[Reading], expected: &Outputs, actual: &Outputs) -> f64 {
    let of = |(i, reading): (usize, &Reading)| {
        let pairs = expected.arrays.iter().zip(&actual.arrays);
        finite_db(reading.decibels(pairs.map(|(e, a)| (&e[i], &a[i]))))
    };
    let all: f64 = readings.iter().enumerate().map(of).sum();
    all / readings.len().max(1) as f64
}

/// The agreement of two programs' outputs, of these names, over the samples of both.
pub(super) fn agreement(names: &[String], expected: &Outputs, actual: &Outputs) -> Vec<Agreement> {
    let mut sums = vec![Sums::default(); names.len()];
    for (e, a) in expected.arrays.iter().zip(&actual.arrays) {
        for (sums, (e, a)) in sums.iter_mut().zip(e.iter().zip(a)) {
            sums.add(e, a);
        }
    }
    let of = |(name, s): (&String, Sums)| Agreement {
        output: name.clone(),
        snr_db: finite_db(10.0 * (s.signal / s.noise).log10()),
        top1: (s.rows > 0).then(|| s.same as f64 / s.rows as f64),
        rows: s.rows,
        samples: s.samples,
    };
    names.iter().zip(sums).map(of).collect()
}

/// The speed of a float and a quantised program on a sample, which take turns.
pub(super) fn speed(
    float: &[u8],
    quantised: &[u8],
    sample: &Sample,
) -> Result<Speed, QuantizeError> {
    let options = RunnerOptions::default();
    let mut runners = [
        Runner::from_bytes(float, &options)?,
        Runner::from_bytes(quantised, &options)?,
    ];
    let inputs: Vec<&Array> = sample.inputs.iter().collect();
    let mut least = [f64::INFINITY; 2];
    let begin = Instant::now();
    let mut runs = 0;
    while runs < LEAST_RUNS || begin.elapsed() < PATIENCE {
        for (runner, least) in runners.iter_mut().zip(&mut least) {
            // A run may overwrite its inputs.
            runner.set_inputs(&inputs)?;
            let start = Instant::now();
            runner.run()?;
            *least = least.min(start.elapsed().as_secs_f64() * 1e3);
        }
        runs += 1;
    }
    Ok(Speed {
        isa: runners[0].isa().to_owned(),
        float_ms: least[0],
        quantised_ms: least[1],
    })
}
