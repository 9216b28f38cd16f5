//! What a trial came to, and which of two is the better one.

use cygnet_training::search::Objective;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use toml::Value;

/// Settings by their place in `cygnet.toml`.
pub type Values = BTreeMap<String, Value>;

/// What a compiled candidate takes of a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footprint {
    /// Numbers that are learnt.
    pub parameters: usize,
    /// Bytes of the program.
    pub program_bytes: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Milliseconds of a run, where they are told.
    pub latency_ms: Option<f64>,
}

/// A trial that was trained to its end and compiled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// What it takes.
    #[serde(flatten)]
    pub takes: Footprint,
    /// Share of the validation samples that the bundle gets right, which trials are compared by.
    pub validation_accuracy: f64,
    /// Share of the samples kept back that it gets right.
    pub test_accuracy: f64,
    /// Epochs done.
    pub epochs: usize,
}

/// What is kept of a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The settings.
    pub values: Values,
    /// What it takes as a bundle, before it is trained.
    pub footprint: Option<Footprint>,
    /// Share of right validation samples after so many epochs.
    #[serde(default)]
    pub rungs: BTreeMap<usize, f32>,
    /// As a bundle, once it is trained.
    pub bundle: Option<Bundle>,
    /// Why it could not be done.
    pub failure: Option<String>,
}

/// Limits in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub accuracy: Option<f64>,
    pub ram: Option<u64>,
    pub flash: Option<u64>,
    pub latency_ms: Option<f64>,
}

impl Limits {
    /// What a footprint exceeds, with by how much of the limit.
    fn exceeded(&self, takes: &Footprint) -> Vec<(&'static str, f64)> {
        let pairs = [
            (
                "RAM",
                Some(takes.arena_bytes as f64),
                self.ram.map(|v| v as f64),
            ),
            (
                "flash",
                Some(takes.program_bytes as f64),
                self.flash.map(|v| v as f64),
            ),
            ("latency", takes.latency_ms, self.latency_ms),
        ];
        let over = pairs.into_iter().filter_map(|(name, is, limit)| {
            let (is, limit) = (is?, limit?);
            (is > limit).then(|| (name, is / limit.max(f64::MIN_POSITIVE) - 1.0))
        });
        over.collect()
    }

    /// What a record misses, with by how much.
    pub fn missed(&self, record: &Record) -> Vec<(&'static str, f64)> {
        let takes = record.bundle.map(|b| b.takes).or(record.footprint);
        let mut all = takes.map(|t| self.exceeded(&t)).unwrap_or_default();
        let accuracy = record.bundle.map(|b| b.validation_accuracy);
        if let (Some(is), Some(limit)) = (accuracy, self.accuracy)
            && is < limit
        {
            all.push(("accuracy", (limit - is) / limit));
        }
        all
    }
}

/// Where a trial stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Standing {
    /// Trained, and within all limits.
    Kept,
    /// Trained, but beyond these limits.
    Missed { limits: Vec<&'static str> },
    /// Behind others after so many epochs.
    Stopped { epochs: usize },
    /// Too large to be trained, by these limits.
    TooLarge { limits: Vec<&'static str> },
    /// Not possible.
    Failed,
}

impl Standing {
    /// That of a record.
    pub fn of(record: &Record, limits: &Limits) -> Self {
        let names = || {
            limits
                .missed(record)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        if record.failure.is_some() {
            Self::Failed
        } else if record.bundle.is_some() {
            match names() {
                limits if limits.is_empty() => Self::Kept,
                limits => Self::Missed { limits },
            }
        } else if !names().is_empty() {
            Self::TooLarge { limits: names() }
        } else {
            let epochs = record.rungs.keys().next_back().copied();
            Self::Stopped {
                epochs: epochs.unwrap_or(0),
            }
        }
    }

    /// In words.
    pub fn describe(&self) -> String {
        match self {
            Self::Kept => "keeps all limits".into(),
            Self::Missed { limits } => format!("misses {}", limits.join(", ")),
            Self::Stopped { epochs } => format!("stopped after {epochs} epochs"),
            Self::TooLarge { limits } => format!("not trained: misses {}", limits.join(", ")),
            Self::Failed => "failed".into(),
        }
    }
}

/// Numbers to be small, the first that differs counts.
fn key(record: &Record, limits: &Limits, objective: Objective) -> [f64; 4] {
    let excess: f64 = limits.missed(record).iter().map(|(_, by)| by).sum();
    let right = |share: f64| 1.0 - share;
    match (&record.bundle, Standing::of(record, limits)) {
        (Some(b), Standing::Kept | Standing::Missed { .. }) => {
            let of = match objective {
                Objective::Accuracy => right(b.validation_accuracy),
                Objective::Flash => b.takes.program_bytes as f64,
                Objective::Ram => b.takes.arena_bytes as f64,
                Objective::Latency => b.takes.latency_ms.unwrap_or(f64::INFINITY),
            };
            let then = match objective {
                Objective::Accuracy => b.takes.program_bytes as f64,
                _ => right(b.validation_accuracy),
            };
            [0.0, excess, of, then]
        }
        (_, Standing::Stopped { epochs }) => {
            let share = record.rungs.values().next_back().copied().unwrap_or(0.0);
            [1.0, -(epochs as f64), right(f64::from(share)), 0.0]
        }
        (_, Standing::TooLarge { .. }) => [2.0, excess, 0.0, 0.0],
        _ => [3.0, 0.0, 0.0, 0.0],
    }
}

/// The better record comes first.
pub fn compare(a: &Record, b: &Record, limits: &Limits, objective: Objective) -> Ordering {
    let pairs = key(a, limits, objective)
        .into_iter()
        .zip(key(b, limits, objective));
    pairs
        .map(|(a, b)| a.total_cmp(&b))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(accuracy: f64, flash: u64) -> Record {
        let takes = Footprint {
            parameters: 1,
            program_bytes: flash,
            arena_bytes: 100,
            latency_ms: Some(1.0),
        };
        Record {
            footprint: Some(takes),
            bundle: Some(Bundle {
                takes,
                validation_accuracy: accuracy,
                test_accuracy: accuracy,
                epochs: 9,
            }),
            ..Record::default()
        }
    }

    #[test]
    fn limits_come_before_the_objective() {
        let limits = Limits {
            flash: Some(1000),
            ..Limits::default()
        };
        let large = Record {
            bundle: None,
            ..done(0.0, 5000)
        };
        let stopped = |epochs, share| Record {
            rungs: [(epochs, share)].into(),
            bundle: None,
            ..done(0.0, 10)
        };
        let failed = Record {
            failure: Some("x".into()),
            ..Record::default()
        };
        let ordered = [
            done(0.95, 900),
            done(0.9, 500),
            done(0.9, 600),
            done(0.99, 1100),
            done(0.99, 2000),
            stopped(9, 0.5),
            stopped(3, 0.9),
            stopped(3, 0.8),
            large,
            failed,
        ];
        for pair in ordered.windows(2) {
            let found = compare(&pair[0], &pair[1], &limits, Objective::Accuracy);
            assert_eq!(found, Ordering::Less, "{pair:?}");
        }
        let small = compare(&done(0.9, 500), &done(0.95, 900), &limits, Objective::Flash);
        assert_eq!(small, Ordering::Less);
        let asked = Limits {
            accuracy: Some(0.93),
            ..limits
        };
        let right = compare(&done(0.95, 900), &done(0.9, 500), &asked, Objective::Flash);
        assert_eq!(right, Ordering::Less);
        assert_eq!(
            Standing::of(&done(0.9, 2000), &asked).describe(),
            "misses flash, accuracy"
        );
    }
}
