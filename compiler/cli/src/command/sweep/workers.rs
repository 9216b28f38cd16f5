//! Who does the trials, and what is said meanwhile.

use super::record::Record;
use super::slurm::Slurm;
use super::trial::{Job, Site};
use super::{Trial, settings};
use crate::output;
use anyhow::{Context, Result};
use indicatif::ProgressBar;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who does the trials.
pub enum Workers {
    /// So many threads of this process.
    Threads(usize),
    /// A cluster.
    Slurm(Slurm),
}

impl Workers {
    /// Does all jobs; their records in the same order.
    pub fn run(&self, site: &Site, jobs: &[Job], progress: &mut Progress) -> Result<Vec<Record>> {
        match self {
            _ if jobs.is_empty() => Ok(Vec::new()),
            Self::Threads(count) => threads(site, jobs, *count),
            Self::Slurm(slurm) => slurm.run(site, jobs, progress),
        }
    }
}

fn threads(site: &Site, jobs: &[Job], count: usize) -> Result<Vec<Record>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Record>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..count.min(jobs.len()) {
            scope.spawn(|| {
                while let Some((i, job)) = {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(i).map(|job| (i, job))
                } {
                    let record = site.work(job);
                    done.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(record);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter()
        .map(|record| record.context("internal: a trial was left out")?)
        .collect()
}

/// What is said while a sweep goes on.
pub struct Progress {
    bar: ProgressBar,
    silent: bool,
    all: usize,
    done: usize,
    begin: Instant,
}

impl Progress {
    pub fn new(site: &Site, silent: bool) -> Self {
        Self {
            bar: output::bar(silent, site.sweep.trials as u64, "trials"),
            silent,
            all: site.sweep.trials,
            done: 0,
            begin: Instant::now(),
        }
    }

    /// Says something between the lines of trials.
    pub fn say(&self, text: &str) {
        if !self.silent {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    /// A trial is at its end.
    pub fn done(&mut self, trial: &Trial) {
        self.done += 1;
        self.bar.set_position(self.done as u64);
        let (left, each) = (
            self.all - self.done.min(self.all),
            self.begin.elapsed() / self.done as u32,
        );
        let record = &trial.record;
        let share = match (&record.bundle, record.rungs.values().next_back()) {
            (Some(b), _) => format!(" {:.2} %,", b.validation_accuracy * 100.0),
            (None, Some(share)) => format!(" {:.2} %,", f64::from(*share) * 100.0),
            (None, None) => String::new(),
        };
        let why = record
            .failure
            .as_ref()
            .map_or(String::new(), |f| format!(": {f}"));
        self.say(&format!(
            "trial {} of {}:{share} {}{why} ({}){}",
            trial.number,
            self.all,
            trial.standing.describe(),
            settings(&record.values),
            match left {
                0 => String::new(),
                _ => format!("; about {} left", time(each * left as u32)),
            }
        ));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A duration in words.
fn time(of: Duration) -> String {
    match of.as_secs() {
        s @ 0..100 => format!("{s} s"),
        s @ 100..6000 => format!("{} min", s.div_ceil(60)),
        s => format!("{:.1} h", s as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::time;
    use std::time::Duration;

    #[test]
    fn times() {
        let of = |s| time(Duration::from_secs(s));
        assert_eq!(
            (of(7), of(130), of(9000)),
            ("7 s".into(), "3 min".into(), "2.5 h".into())
        );
    }
}
