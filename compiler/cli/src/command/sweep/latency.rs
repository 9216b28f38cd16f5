//! How long a candidate takes: measured on this machine, or told of a microcontroller by what it computes.

use crate::args::Target;
use anyhow::{Context, Result};
use cygnet_compiler::bundle::Array;
use cygnet_compiler::cost::{Arithmetic, cost};
use cygnet_compiler::verify::Runner;
use cygnet_format::Op;
use cygnet_format::program::{Program, TensorId};
use std::time::Instant;

/// Runs of which the fastest counts: other trials run beside it.
const RUNS: usize = 30;

/// How a latency is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clock {
    /// The fastest of some runs on this machine, on one thread.
    Host,
    /// Instructions by a model of the processor, one a cycle.
    Model { target: Target, mhz: f64 },
}

impl Clock {
    /// How, in words.
    pub fn describe(self) -> String {
        match self {
            Self::Host => format!("the fastest of {RUNS} runs on one thread of this machine"),
            Self::Model { mhz, .. } => format!(
                "instructions by a model of the processor (tests/bench/firmware.md), one a cycle at {mhz} MHz"
            ),
        }
    }

    /// Milliseconds of a run on `samples`.
    pub fn milliseconds(self, runner: &mut Runner, samples: &[Array]) -> Result<f64> {
        match self {
            Self::Model { target, mhz } => {
                Ok(instructions(&runner.program(), target) / (mhz * 1e3))
            }
            Self::Host => {
                let mut best = f64::INFINITY;
                for sample in samples.iter().cycle().take(RUNS) {
                    runner.set_input(0, sample)?;
                    let begin = Instant::now();
                    runner.run()?;
                    best = best.min(begin.elapsed().as_secs_f64() * 1e3);
                }
                Some(best)
                    .filter(|b| b.is_finite())
                    .context("there is no sample to run")
            }
        }
    }
}

/// Instructions of a processor for what a program does, by least squares over the models of `tests/bench/firmware.md`. Seven
/// of its eight integer models are met to 15 %; one whose first layer has a single channel takes half of it (Cortex-M4).
struct Rates {
    /// A multiply-add of 8-bit integers where several pixels share weights,
    product: f64,
    /// and where none do.
    row: f64,
    /// An integer that is requantised.
    output: f64,
    /// A multiply-add of floats.
    float: f64,
    /// A step.
    step: f64,
}

const fn rates(target: Target) -> Rates {
    match target {
        Target::CortexM4 | Target::CortexM7 | Target::CortexM33 => Rates {
            product: 1.55,
            row: 3.0,
            output: 4.5,
            float: 4.1,
            step: 970.0,
        },
        // Counted of three models only: RV32IMC's rates, times what these took more.
        Target::CortexM0 => Rates {
            product: 8.5,
            row: 12.6,
            output: 370.0,
            float: 190.0,
            step: 2100.0,
        },
        _ => Rates {
            product: 4.6,
            row: 6.8,
            output: 200.0,
            float: 105.0,
            step: 1150.0,
        },
    }
}

/// Instructions of one run.
fn instructions(program: &Program<'_>, target: Target) -> f64 {
    let rates = rates(target);
    let shape = |id: TensorId| -> Vec<usize> {
        let dims = program.tensor(id).dims.iter();
        dims.map(|d| d.as_const().unwrap_or(1)).collect()
    };
    let mut sum = 0.0;
    for n in 0..program.steps() as u32 {
        let Some(step) = program.step(n) else {
            continue;
        };
        sum += rates.step;
        let Some(cost) = cost(program, &step, &shape) else {
            continue;
        };
        let output = step.outputs.iter().flatten().next().map(&shape);
        let output = output.unwrap_or_default();
        let all: usize = output.iter().product();
        let products = cost.operations as f64 / 2.0;
        sum += match cost.arithmetic {
            Arithmetic::Float => products * rates.float,
            Arithmetic::Integer => {
                // Depthwise products cost what their outputs do.
                let depthwise = matches!(step.op(), Some(Op::QuantizedDepthwise(_)));
                let rate = match output.split_last() {
                    Some((last, _)) if *last == all && !depthwise => rates.row,
                    _ => rates.product,
                };
                products * rate + all as f64 * rates.output
            }
        };
    }
    sum
}
