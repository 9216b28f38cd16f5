//! Mixed precision under budgets: accuracy, RAM, flash and latency are given, the arithmetic of every layer is found.
//!
//! A family of arithmetic (8-bit integers; 8-bit weights with ranges found at run time; 4-bit weights; ...) is first tried
//! on every layer. Where that costs too much accuracy, a sensitivity pass quantises one layer at a time and sees what it
//! alone does to the outputs; the layers are put in the order of noise for what they save, and a bisection finds the fewest
//! of them that have to be kept at a higher precision. Every point is compiled, and its accuracy is that of the compiled
//! program (the order by noise follows Dong et al. 2019, "HAWQ", with measured errors in place of second derivatives).

mod metric;
mod plan;
mod search;
mod sensitivity;
#[cfg(test)]
mod tests;
mod timing;

pub use metric::{Agreement, Metric, MetricError, run_on};
pub use search::auto;

use super::{Method, Quantised};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the result has to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Budgets {
    /// Largest loss of the score, in its unit (percent for all of Cygnet's own metrics).
    pub max_drop: f64,
    /// Largest arena in bytes.
    pub max_ram: Option<u64>,
    /// Largest program in bytes.
    pub max_flash: Option<u64>,
    /// Longest run on this machine, on one thread, in milliseconds.
    pub max_latency_ms: Option<f64>,
}

/// Which of several points that keep the budgets is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prefer {
    /// The least product of program and arena. It does not depend on this machine.
    #[default]
    Memory,
    /// The smallest program. It does not depend on this machine.
    Size,
    /// The fastest on this machine, on one thread.
    Speed,
}

/// Choices of a search.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AutoOptions {
    /// What the result has to keep.
    pub budgets: Budgets,
    /// What it is to be best at.
    pub prefer: Prefer,
    /// How ranges of activations are found.
    pub method: Method,
}

/// A budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Budget {
    /// `max_drop`.
    Accuracy,
    /// `max_ram`.
    Ram,
    /// `max_flash`.
    Flash,
    /// `max_latency_ms`.
    Latency,
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Budget::Accuracy => "accuracy",
            Budget::Ram => "RAM",
            Budget::Flash => "flash",
            Budget::Latency => "latency",
        })
    }
}

/// A program that was compiled and judged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What it is, such as `int8, 3 layers float`.
    pub name: String,
    /// Its score.
    pub score: f64,
    /// The float program's score less its own.
    pub drop: f64,
    /// Signal to noise of the outputs in decibels, against the float program on the samples kept back.
    pub snr_db: f64,
    /// Bytes of the program.
    pub flash_bytes: u64,
    /// Bytes of the arena.
    pub ram_bytes: u64,
    /// Least time of a run on this machine, on one thread, in milliseconds.
    pub latency_ms: f64,
    /// Layers by how they compute or how their weights are stored.
    pub layers: BTreeMap<String, usize>,
    /// The budgets that it does not keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<Budget>,
    /// True for the one that was taken.
    pub chosen: bool,
}

/// What one layer does to the outputs when it alone is quantised.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The model's node.
    pub node: String,
    /// The operator.
    pub operator: String,
    /// How it was quantised.
    pub precision: String,
    /// Signal to noise of the outputs in decibels, the worst of them.
    pub snr_db: f64,
    /// Bytes of the weights that it saves.
    pub saves_bytes: u64,
    /// True when the search kept it at a higher precision.
    pub kept: bool,
}

/// What a search tells while it works.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub text: String,
    /// Steps done and steps in all of this part.
    pub done: [usize; 2],
}

/// The end of a search.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Auto {
    /// The chosen program; when no point keeps the budgets, the one that comes nearest.
    pub quantised: Quantised,
    /// Whether the budgets are kept.
    pub met: bool,
    /// What the score is.
    pub metric: String,
    /// Cases that give it.
    pub cases: usize,
    /// The score of the float program.
    pub float_score: f64,
    /// All points in the order in which they were tried; the float program is the first.
    pub points: Vec<Point>,
    /// Layers by what they alone do, for each arithmetic that was searched.
    pub sensitivities: Vec<Sensitivity>,
}

impl Auto {
    /// The point that was taken.
    pub fn chosen(&self) -> &Point {
        let chosen = self.points.iter().find(|p| p.chosen);
        chosen.unwrap_or(&self.points[0])
    }

    /// The points that no other one beats in score, program, arena and latency together, by rising score.
    pub fn frontier(&self) -> Vec<&Point> {
        let beaten = |p: &Point| {
            self.points.iter().any(|q| {
                let no_worse = q.score >= p.score
                    && q.flash_bytes <= p.flash_bytes
                    && q.ram_bytes <= p.ram_bytes
                    && q.latency_ms <= p.latency_ms;
                let better = q.score > p.score
                    || q.flash_bytes < p.flash_bytes
                    || q.ram_bytes < p.ram_bytes
                    || q.latency_ms < p.latency_ms;
                no_worse && better
            })
        };
        let mut frontier: Vec<&Point> = self.points.iter().filter(|p| !beaten(p)).collect();
        frontier.sort_by(|a, b| a.score.total_cmp(&b.score));
        frontier
    }
}
