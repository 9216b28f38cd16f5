//! A compiled program on the samples that were kept back.

use super::Ready;
use crate::decode;
use anyhow::Result;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::Runner;
use cygnet_training::anomaly::Found;
use cygnet_training::data::{Samples, Task};
use cygnet_training::export;
use cygnet_training::front::Front;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::{Duration, Instant};

/// A network as a program, on the test samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What it is called in tables.
    pub name: String,
    /// Its arithmetic: `float` or what `[build] quantize` says.
    pub precision: String,
    /// Numbers that were learnt.
    pub parameters: usize,
    /// Bytes of the program.
    pub program_bytes: u64,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// Share of the test samples that it gets right.
    pub accuracy: f64,
    /// Median of the runs, on this machine and one thread.
    pub latency_ms: f64,
    /// Samples by class (row) and answer (column).
    pub confusion: Vec<Vec<usize>>,
    /// The samples that it gets wrong, with its answers.
    pub wrong: Vec<(usize, usize)>,
    /// How it tells anomalies, if that is its task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anomaly: Option<Found>,
}

/// What a program has beside its answers.
pub struct Described<'a> {
    pub name: &'a str,
    pub precision: &'a str,
    pub parameters: usize,
    pub program_bytes: u64,
    pub arena_bytes: u64,
    /// Whether it takes a frame at a time.
    pub stream: bool,
}

/// A sample as the exported model takes it.
pub fn array(samples: &Samples, i: usize) -> Array {
    let (shape, values) = export::input(samples, i);
    Array::from_f32(&shape, &values)
}

/// Sample `i` as a bundle takes it: as it is, or of a stream frame by frame.
pub fn arrays(samples: &Samples, i: usize, stream: bool) -> Vec<Array> {
    match (&samples.front, stream) {
        (Front::Spectrum(spectrum), true) => {
            let (_, values) = export::input(samples, i);
            let frame = |place: Range<usize>| Array::from_f32(&[1, place.len()], &values[place]);
            spectrum.places().map(frame).collect()
        }
        _ => vec![array(samples, i)],
    }
}

/// The last answer to some arrays, from an empty state; `each` is told how long every run took.
fn answer(
    runner: &mut Runner,
    arrays: &[Array],
    mut each: impl FnMut(Duration),
) -> Result<Vec<f32>> {
    runner.reset();
    for array in arrays {
        runner.set_input(0, array)?;
        let begin = Instant::now();
        runner.run()?;
        each(begin.elapsed());
    }
    Ok(runner.output(0)?.to_f32())
}

/// What a build tells of anomalies.
pub fn told(found: &Found) -> String {
    let percent = |share: f32| f64::from(share) * 100.0;
    let normal = percent(found.false_alarms);
    let others = match (found.found, found.auc) {
        (Some(of), Some(auc)) => format!(
            " and {:.2} % of the anomalies (area under the ROC curve {auc:.4})",
            percent(of)
        ),
        _ => "; no anomalies are labelled, so what is found is not known".into(),
    };
    format!("a score above 1 is an anomaly: so are {normal:.2} % of the normal samples{others}")
}

/// Runs a program on all test samples.
pub fn measure(ready: &Ready, runner: &mut Runner, of: &Described<'_>) -> Result<Measured> {
    let classes = match ready.samples.task {
        Task::Classes => ready.samples.classes.len(),
        Task::Reconstruction(_) => 0,
    };
    let mut scores = Vec::new();
    let mut confusion = vec![vec![0; classes]; classes];
    let (mut wrong, mut times) = (Vec::new(), Vec::new());
    for &i in &ready.split.test {
        let given = arrays(&ready.samples, i, of.stream);
        let output = answer(runner, &given, |took| times.push(took.as_secs_f64() * 1e3))?;
        let label = ready.samples.labels[i] as usize;
        if let Task::Reconstruction(normal) = ready.samples.task {
            let score = output.first().copied().unwrap_or_default();
            // Scores are in units of the threshold.
            if (score > 1.0) != (label != normal as usize) {
                wrong.push((i, label));
            }
            scores.push(score);
            continue;
        }
        let best = decode::top(&output, 1, None);
        let answer = best.first().map_or(0, |b| b.index);
        confusion[label][answer] += 1;
        if answer != label {
            wrong.push((i, answer));
        }
    }
    times.sort_by(f64::total_cmp);
    let all = ready.split.test.len().max(1);
    let anomaly = ready.project.anomaly.as_ref();
    let anomaly = anomaly.map(|_| Found::of(&scores, 1.0, &ready.samples, &ready.split.test));
    Ok(Measured {
        name: of.name.to_owned(),
        precision: of.precision.to_owned(),
        parameters: of.parameters,
        program_bytes: of.program_bytes,
        arena_bytes: of.arena_bytes,
        accuracy: (all - wrong.len()) as f64 / all as f64,
        latency_ms: times.get(times.len() / 2).copied().unwrap_or_default(),
        confusion,
        wrong,
        anomaly,
    })
}

/// The share of samples whose class a program gets right.
pub fn right(
    samples: &Samples,
    numbers: &[usize],
    stream: bool,
    runner: &mut Runner,
) -> Result<f64> {
    let mut right = 0;
    for &i in numbers {
        let output = answer(runner, &arrays(samples, i, stream), |_| ())?;
        let best = decode::top(&output, 1, None);
        right += usize::from(best.first().map(|b| b.index) == Some(samples.labels[i] as usize));
    }
    Ok(right as f64 / numbers.len().max(1) as f64)
}
