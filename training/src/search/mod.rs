//! A search over a project's settings: which values are tried next, and which trials are worth going on with.
//!
//! Values are proposed by tree-structured Parzen estimators ([`propose`]); trials that fall behind stop early, by the rule of
//! asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020): a trial
//! passes a rung when it is among the best `1 / reduction` of all that have reached it. Trials are proposed and compared in
//! generations of a fixed size, so that what a search finds depends on neither the number of workers nor their speed.
mod front;
mod parzen;
mod space;

pub use front::front;
pub use parzen::propose;
pub use space::{Parameter, Range, set};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What `[sweep]` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    /// Candidates that are tried.
    pub trials: usize,
    /// Decides which.
    pub seed: u64,
    /// How they are chosen.
    pub method: Method,
    /// Trials that are chosen at random before the method learns from them.
    pub startup: usize,
    /// Trials that are chosen at once, and compared.
    pub generation: usize,
    /// Epochs after which trials are compared for the first time; 0 trains all of them to their end.
    pub first_epochs: usize,
    /// The best of so many go on, and the next comparison comes after so many times the epochs.
    pub reduction: usize,
    /// What is best among the trials that keep all limits.
    pub objective: Objective,
    /// What the compiled candidate has to keep.
    pub limits: Limits,
    /// Settings by their place in `cygnet.toml`, and what they are chosen from.
    pub space: BTreeMap<String, toml::Value>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            trials: 24,
            seed: 1,
            method: Method::Tpe,
            startup: 8,
            generation: 4,
            first_epochs: 0,
            reduction: 3,
            objective: Objective::Accuracy,
            limits: Limits::default(),
            space: BTreeMap::new(),
        }
    }
}

/// How candidates are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Where earlier trials were good.
    #[default]
    Tpe,
    /// Anywhere.
    Random,
}

/// What is best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The most right answers.
    #[default]
    Accuracy,
    /// The smallest program.
    Flash,
    /// The smallest arena.
    Ram,
    /// The shortest run.
    Latency,
}

/// What a candidate has to keep, as a bundle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Least share of right answers on the validation samples.
    pub accuracy: Option<f32>,
    /// Largest arena, as `64K`.
    pub max_ram: Option<String>,
    /// Largest program, as `256K`.
    pub max_flash: Option<String>,
    /// Longest run in milliseconds.
    pub max_latency_ms: Option<f64>,
    /// Clock of a microcontroller, which the length of a run is told by.
    pub clock_mhz: Option<f64>,
}

impl Sweep {
    /// The settings that are varied, in the order of their names.
    ///
    /// # Errors
    /// What is wrong with one, in words.
    pub fn parameters(&self) -> Result<Vec<Parameter>, String> {
        let mut all = Vec::new();
        for (path, value) in &self.space {
            all.push(Parameter::read(path, value).map_err(|m| format!("space: {path} {m}"))?);
        }
        Ok(all)
    }

    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        let at_least = |name: &str, value: usize, least: usize| {
            (value < least).then(|| format!("{name} = {value}: it is at least {least}"))
        };
        let positive = |name: &str, value: Option<f64>| {
            let wrong = value.filter(|v| !(*v > 0.0 && v.is_finite()))?;
            Some(format!("limits.{name} = {wrong}: it is a positive number"))
        };
        let accuracy = self
            .limits
            .accuracy
            .filter(|a| !(0.0..=1.0).contains(a))
            .map(|a| format!("limits.accuracy = {a}: it is a share, from 0 to 1"));
        at_least("trials", self.trials, 1)
            .or(at_least("generation", self.generation, 1))
            .or(at_least("reduction", self.reduction, 2))
            .or(accuracy)
            .or(positive("max_latency_ms", self.limits.max_latency_ms))
            .or(positive("clock_mhz", self.limits.clock_mhz))
            .or_else(|| {
                self.space.is_empty().then(|| {
                    "space is empty: say what is varied, such as \"model.width\" = { low = 0.25, high = 1.0 }"
                        .into()
                })
            })
            .or_else(|| self.parameters().err())
    }

    /// Epochs at which a trial of that many epochs is compared, in order.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        let next = |e: &usize| e.checked_mul(self.reduction);
        let all = std::iter::successors((self.first_epochs > 0).then_some(self.first_epochs), next);
        all.take_while(|e| *e < epochs).collect()
    }

    /// Of so many trials at a rung, how many go on.
    pub fn survivors(&self, reached: usize) -> usize {
        reached.div_ceil(self.reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_grow_by_the_reduction_and_end_before_the_last_epoch() {
        let sweep = Sweep {
            first_epochs: 2,
            reduction: 3,
            ..Sweep::default()
        };
        assert_eq!(sweep.rungs(54), [2, 6, 18]);
        assert_eq!(sweep.rungs(2), [0usize; 0]);
        assert_eq!(
            (sweep.survivors(1), sweep.survivors(4), sweep.survivors(9)),
            (1, 2, 3)
        );
        let none = Sweep::default();
        assert_eq!(none.rungs(10), [0usize; 0]);
    }

    #[test]
    fn mistakes_are_named() {
        let read = |text: &str| toml::from_str::<Sweep>(text).unwrap().mistake();
        let space = "[space]\n'model.width' = { low = 0.25, high = 1.0 }\n";
        assert_eq!(read(space), None);
        for (text, said) in [
            ("", "space is empty"),
            (&*format!("trials = 0\n{space}"), "trials = 0"),
            (&*format!("reduction = 1\n{space}"), "reduction = 1"),
            (
                &*format!("{space}[limits]\naccuracy = 95.0\n"),
                "limits.accuracy = 95",
            ),
            (
                &*format!("{space}[limits]\nmax_latency_ms = -1.0\n"),
                "limits.max_latency_ms = -1",
            ),
            (
                "[space]\n'model.width' = { low = 2, high = 1 }\n",
                "model.width",
            ),
        ] {
            let found = read(text).unwrap_or_default();
            assert!(found.contains(said), "{text}: {found}");
        }
    }
}
