//! A teacher that somebody else trained: its answers to every sample, given once.

use super::stage::Outcome;
use crate::decode;
use crate::media::npy;
use crate::output;
use anyhow::{Context, Result, bail};
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::{Array, sha256_hex, write_atomically};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::data::{Samples, Split};
use cygnet_training::export;
use cygnet_training::project::Teacher;
use std::path::Path;

/// Answers, with the digest of what they depend on.
pub struct Answers {
    /// Logits, `[samples][classes]`.
    pub logits: Vec<f32>,
    pub digest: String,
    pub outcome: Outcome,
}

/// The answers of the model in `file` of a project's folder; `data` is the digest of the samples.
pub fn answers(
    (folder, file): (&Path, &Path),
    teacher: &Teacher,
    (samples, split): (&Samples, &Split),
    data: &str,
    quiet: bool,
) -> Result<Answers> {
    let path = folder.join(file);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("[teacher] cannot read {}", path.display()))?;
    let parts = format!(
        "{} {} {:?} {:?} {data}",
        env!("CARGO_PKG_VERSION"),
        sha256_hex(&bytes),
        teacher.mean,
        teacher.std
    );
    let digest = sha256_hex(parts.as_bytes());
    // The name tells what the answers depend on.
    let kept = folder
        .join("runs/teacher")
        .join(format!("{}.npy", &digest[..32]));
    let found = npy::read(&kept).ok();
    let classes = samples.classes.len();
    let (logits, up_to_date) = match found.filter(|a| a.len() == samples.len() * classes) {
        Some(array) => (array.to_f32(), true),
        None => {
            let logits = ask(&bytes, &path, teacher, samples, quiet)?;
            let array = Array::from_f32(&[samples.len(), classes], &logits);
            std::fs::create_dir_all(folder.join("runs/teacher"))?;
            write_atomically(&kept, &npy::to_bytes(&array)?)
                .with_context(|| format!("cannot write {}", kept.display()))?;
            (logits, false)
        }
    };
    let right = |numbers: &[usize]| {
        let best = |i: &&usize| {
            let row = &logits[**i * classes..(**i + 1) * classes];
            let label = samples.labels[**i] as usize;
            decode::top(row, 1, None)
                .first()
                .is_some_and(|b| b.index == label)
        };
        numbers.iter().filter(best).count() as f32 / numbers.len().max(1) as f32
    };
    let outcome = Outcome {
        parameters: 0,
        epochs: 0,
        validation_accuracy: right(&split.validation),
        test_accuracy: right(&split.test),
        history: Default::default(),
        up_to_date,
    };
    Ok(Answers {
        logits,
        digest,
        outcome,
    })
}

/// Runs the teacher on every sample.
fn ask(
    bytes: &[u8],
    path: &Path,
    teacher: &Teacher,
    samples: &Samples,
    quiet: bool,
) -> Result<Vec<f32>> {
    let options = RunnerOptions::default();
    let what = || format!("[teacher] {}", path.display());
    let mut runner = if path.extension().is_some_and(|e| e == "cygnet") {
        Runner::open(path, &options).with_context(what)?
    } else {
        let compiled =
            cygnet_compiler::compile(bytes, &CompileOptions::default()).with_context(what)?;
        Runner::from_bytes(&compiled.program.bytes, &options).with_context(what)?
    };
    let classes = samples.classes.len();
    let channels = samples.shape[2];
    for (name, values) in [("mean", &teacher.mean), ("std", &teacher.std)] {
        if !values.is_empty() && values.len() != channels {
            bail!(
                "[teacher] {name} has {} values, samples {channels} channels",
                values.len()
            );
        }
    }
    let bar = output::bar(quiet, samples.len() as u64, "asking the teacher");
    let mut logits = Vec::with_capacity(samples.len() * classes);
    for i in 0..samples.len() {
        let (shape, mut values) = export::input(samples, i);
        for (k, plane) in values
            .chunks_exact_mut(samples.size() / channels)
            .enumerate()
        {
            let mean = teacher.mean.get(k).copied().unwrap_or(0.0);
            let std = teacher.std.get(k).copied().unwrap_or(1.0);
            plane.iter_mut().for_each(|v| *v = (*v - mean) / std);
        }
        runner
            .set_input(0, &Array::from_f32(&shape, &values))
            .with_context(|| format!("{} does not take samples of shape {shape:?}", what()))?;
        runner.run().with_context(what)?;
        let answer = runner.output(0)?.to_f32();
        if answer.len() != classes {
            bail!(
                "{} has {} outputs, the data {classes} classes: a teacher answers for the same classes in the same order ({})",
                path.display(),
                answer.len(),
                samples.classes.join(", ")
            );
        }
        // Probabilities are logits' softmax, and their logarithms are logits.
        let sum: f32 = answer.iter().sum();
        let probable = answer.iter().all(|v| (0.0..=1.0).contains(v)) && (sum - 1.0).abs() < 1e-3;
        logits.extend(
            answer
                .into_iter()
                .map(|v| if probable { v.max(1e-12).ln() } else { v }),
        );
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(logits)
}
