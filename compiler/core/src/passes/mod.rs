//! Graph transformations: one verb a file, a pipeline that runs them until nothing changes.
//!
//! A pass takes a graph and gives how often it changed something. Values keep their origin (name and layout of the
//! model's tensor) while they survive, because `verify` compares by it.

mod choose_layout;
mod choose_winograd;
mod eliminate_dead;
mod fold_constants;
mod fold_input_scale;
mod fold_scale;
mod fuse_activation;
mod fuse_bias;
mod fuse_chain;
mod fuse_pad;
mod fuse_quantised;
mod fuse_residual;
mod fuse_separable;
mod linear;
mod lower_quantised;
mod lower_transposed;
mod merge_equal;
mod recognise_activation;
mod recognise_attention;
mod recognise_norm;
mod reshape_groups;
mod rewrite;
mod settle_states;
mod simplify;
#[cfg(test)]
mod tests;

pub use choose_layout::{choose_layout, flatten_transposes};
pub use choose_winograd::choose_winograd;
pub use eliminate_dead::eliminate_dead;
pub use fold_constants::{Fold, fold_constants};
pub use fold_input_scale::fold_input_scale;
pub use fold_scale::fold_scale;
pub use fuse_activation::fuse_activation;
pub use fuse_bias::fuse_bias;
pub use fuse_chain::fuse_chain;
pub use fuse_pad::fuse_pad;
pub use fuse_quantised::fuse_quantised;
pub use fuse_residual::fuse_residual;
pub use fuse_separable::fuse_separable;
pub(crate) use lower_quantised::{broadcasts_inside, is_pointwise};
pub use lower_quantised::{is_quantised, lower_quantised};
pub use lower_transposed::lower_transposed;
pub use merge_equal::merge_equal;
pub use recognise_activation::recognise_activation;
pub use recognise_attention::recognise_attention;
pub use recognise_norm::recognise_norm;
pub use settle_states::settle_states;
pub use simplify::simplify;

use crate::ir::Graph;

/// How much is optimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Constants are folded and dead nodes removed, nothing else.
    None,
    /// Everything but what buys speed with memory.
    Compact,
    /// Everything.
    #[default]
    Full,
}

/// How often each pass changed something.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Pass names with counts, in the order of the pipeline.
    pub changes: Vec<(&'static str, usize)>,
    /// Rounds until nothing changed.
    pub rounds: usize,
}

impl Report {
    fn add(&mut self, pass: &'static str, count: usize) {
        match self.changes.iter_mut().find(|(name, _)| *name == pass) {
            Some((_, total)) => *total += count,
            None => self.changes.push((pass, count)),
        }
    }

    /// How often `pass` changed something.
    pub fn count(&self, pass: &str) -> usize {
        self.changes
            .iter()
            .find(|(name, _)| *name == pass)
            .map_or(0, |(_, n)| *n)
    }
}

type Pass = (&'static str, fn(&mut Graph) -> usize);

/// Most rounds of one stage; a model settles within a few.
const MAX_ROUNDS: usize = 24;

/// Turns what is computed between DequantizeLinear and QuantizeLinear into integer arithmetic, while weights are integers.
const QUANTISED: &[Pass] = &[
    ("fold_constants", |g| fold_constants(g, Fold::Quantised)),
    ("simplify", simplify),
    ("merge_equal", merge_equal),
    ("choose_layout", choose_layout),
    ("settle_states", settle_states),
    ("lower_quantised", lower_quantised),
    ("eliminate_dead", eliminate_dead),
];

/// Recognises what the model means, while its operators are still apart.
const RECOGNISE: &[Pass] = &[
    ("fold_constants", |g| fold_constants(g, Fold::Unpacked)),
    ("simplify", simplify),
    ("merge_equal", merge_equal),
    ("choose_layout", choose_layout),
    ("settle_states", settle_states),
    ("fold_scale", fold_scale),
    ("fuse_bias", fuse_bias),
    ("fold_input_scale", fold_input_scale),
    ("recognise_activation", recognise_activation),
    ("recognise_norm", recognise_norm),
    ("recognise_attention", recognise_attention),
    ("fuse_pad", fuse_pad),
    ("eliminate_dead", eliminate_dead),
];

/// Joins operators to steps.
const FUSE: &[Pass] = &[
    ("fuse_residual", fuse_residual),
    ("fuse_activation", fuse_activation),
    ("simplify", simplify),
    ("merge_equal", merge_equal),
    ("eliminate_dead", eliminate_dead),
];

/// Only what nothing else waits for.
const FINISH: &[Pass] = &[
    ("fuse_quantised", fuse_quantised),
    ("lower_transposed", lower_transposed),
    ("flatten_transposes", flatten_transposes),
    ("simplify", simplify),
    ("fuse_chain", fuse_chain),
    ("fold_constants", |g| fold_constants(g, Fold::All)),
    ("merge_equal", merge_equal),
    ("fuse_separable", fuse_separable),
    ("eliminate_dead", eliminate_dead),
];

/// What takes scratch memory to be faster.
const LARGE: &[Pass] = &[
    ("choose_winograd", choose_winograd),
    ("eliminate_dead", eliminate_dead),
];

/// Runs the pipeline; every stage until nothing changes, at most a bounded number of rounds.
pub fn run(graph: &mut Graph, level: Level) -> Report {
    let mut report = Report::default();
    let stages: &[&[Pass]] = match level {
        Level::None => &[&[
            ("fold_constants", |g| fold_constants(g, Fold::All)),
            ("eliminate_dead", eliminate_dead),
        ]],
        _ if is_quantised(graph) => &[QUANTISED, RECOGNISE, FUSE, FINISH],
        _ => &[RECOGNISE, FUSE, FINISH],
    };
    for stage in stages {
        settle(graph, stage, &mut report);
    }
    if level == Level::Full {
        settle(graph, LARGE, &mut report);
    }
    report
}

/// Runs what recognises a float model's layers and leaves them apart, with constant weights unpacked: the form in which
/// it is quantised. Transposed convolutions that are products become such.
pub fn recognise(graph: &mut Graph) -> Report {
    let mut report = Report::default();
    settle(graph, RECOGNISE, &mut report);
    report.add("lower_transposed", lower_transposed(graph));
    report
}

/// Runs the passes of a stage until nothing changes.
fn settle(graph: &mut Graph, stage: &[Pass], report: &mut Report) {
    for _ in 0..MAX_ROUNDS {
        let mut changed = 0;
        for (name, pass) in stage {
            let count = pass(graph);
            report.add(name, count);
            changed += count;
            if cfg!(test)
                && count > 0
                && let Err(error) = crate::ir::verify(graph)
            {
                panic!("after the pass {name}: {error}");
            }
        }
        report.rounds += 1;
        if changed == 0 {
            break;
        }
    }
}
