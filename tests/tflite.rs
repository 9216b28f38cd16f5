//! TFLite models: compiled, run, and compared with what LiteRT answered (`tests/make_tflite.py`).
//!
//! Integers are at most one quantisation step away, in every element, with the largest element at the same place; floats
//! `max |got - expected| / max |expected|` of at most 1e-4; plain integers and truth values equal. Models below the folder
//! that CYGNET_MODELS names are tested when the answers were recorded with it.

use cygnet_format::DType;
use cygnet_tests::expectations::Array;
use cygnet_tests::through::{self, Request};
use cygnet_tests::{Tensor, compare, npy, path};
use serde::Deserialize;
use std::path::PathBuf;

/// The largest relative difference of floats.
const TOLERANCE: f64 = 1e-4;

/// A model on recorded inputs.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    model: String,
    case: String,
    runs: usize,
    inputs: Vec<Array>,
    outputs: Vec<Answer>,
    /// The largest difference of quantised integers.
    steps: f64,
}

/// What LiteRT answered.
#[derive(Clone, Debug, Deserialize)]
struct Answer {
    name: String,
    /// By its default interpreter, which uses XNNPACK.
    file: String,
    /// By its reference kernels, where that differs.
    reference: Option<String>,
}

/// How far an output is from an answer.
#[derive(Default)]
struct Distance {
    /// Quantisation steps, or a part of the largest magnitude.
    worst: f64,
    different: usize,
    elements: usize,
    /// Runs whose largest element is at the same place, or as large as the one there.
    top: usize,
    runs: usize,
}

impl Distance {
    fn add(&mut self, got: &Tensor, expected: &Tensor, whole: &Tensor) -> Result<(), String> {
        let (a, b) = (numbers(got), numbers(expected));
        if got.dtype != expected.dtype || got.shape != expected.shape {
            return Err(format!(
                "{} {:?} in place of {} {:?}",
                got.dtype, got.shape, expected.dtype, expected.shape
            ));
        }
        self.different += a.iter().zip(&b).filter(|(a, b)| a != b).count();
        self.elements += a.len();
        self.runs += 1;
        let best = |v: &[f64]| (1..v.len()).fold(0, |m, i| if v[i] > v[m] { i } else { m });
        let (i, j) = (best(&a), best(&b));
        self.top += usize::from(i == j || b[i] == b[j] || a[i] == a[j]);
        let worst = if got.dtype.is_float() {
            compare::scaled(got, expected, whole)?
        } else {
            a.iter()
                .zip(&b)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max)
        };
        self.worst = self.worst.max(worst);
        Ok(())
    }

    fn text(&self) -> String {
        format!(
            "worst {:.2e}, {:.3} % of {} differ, top {}/{}",
            self.worst,
            100.0 * self.different as f64 / self.elements.max(1) as f64,
            self.elements,
            self.top,
            self.runs
        )
    }
}

/// The elements of any type but half floats.
fn numbers(t: &Tensor) -> Vec<f64> {
    fn all<const N: usize>(bytes: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|c| f(*c)).collect()
    }
    match t.dtype {
        DType::F32 => all(&t.bytes, |b| f32::from_le_bytes(b).into()),
        DType::F64 => all(&t.bytes, f64::from_le_bytes),
        DType::I8 => all(&t.bytes, |b| i8::from_le_bytes(b).into()),
        DType::I16 => all(&t.bytes, |b| i16::from_le_bytes(b).into()),
        DType::I32 => all(&t.bytes, |b| i32::from_le_bytes(b).into()),
        DType::I64 => all(&t.bytes, |b| i64::from_le_bytes(b) as f64),
        _ => t.bytes.iter().map(|&b| b.into()).collect(),
    }
}

fn cases() -> Vec<Case> {
    let file = path::cache().join("tflite").join("index.json");
    let bytes = path::read(&file).unwrap_or_else(|reason| panic!("{reason}"));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The folder of further models.
fn models() -> Option<PathBuf> {
    std::env::var_os("CYGNET_MODELS")
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// The largest distance that an output may have.
fn limit(dtype: DType, steps: f64) -> f64 {
    match dtype {
        DType::I8 | DType::U8 | DType::I16 => steps,
        d if d.is_float() => TOLERANCE,
        _ => 0.0,
    }
}

/// Runs a case; gives what is wrong with it.
fn check(case: &Case, model: &[u8]) -> Result<Vec<String>, String> {
    let program = through::compile(model, &Request::default()).map_err(|f| f.to_string())?;
    let array = |file: &str| npy::read(&path::cache().join(file));
    let inputs = case
        .inputs
        .iter()
        .map(|a| Ok((a.name.as_str(), array(&a.file)?)))
        .collect::<Result<Vec<_>, String>>()?;
    let mut outputs = Vec::new();
    for answer in &case.outputs {
        let reference = answer.reference.as_deref().map(array).transpose()?;
        // From the answer, from the reference kernels' answer, and of these two from each other.
        let distances = <[Distance; 3]>::default();
        outputs.push((answer, array(&answer.file)?, reference, distances));
    }
    let mut runner = program.start()?;
    for run in 0..case.runs {
        let rows: Vec<(&str, Tensor)> = inputs.iter().map(|(n, t)| (*n, t.row(run))).collect();
        let feeds: Vec<(&str, &Tensor)> = rows.iter().map(|(n, t)| (*n, t)).collect();
        let got = runner.step(&feeds)?;
        for (answer, expected, reference, distances) in &mut outputs {
            let (_, got) = got
                .iter()
                .find(|(name, _)| *name == answer.name)
                .ok_or_else(|| format!("no output {}", answer.name))?;
            let name = |reason: String| format!("{}: {reason}", answer.name);
            distances[0]
                .add(got, &expected.row(run), expected)
                .map_err(name)?;
            let other = reference.as_ref().unwrap_or(expected);
            distances[1]
                .add(got, &other.row(run), other)
                .map_err(name)?;
            distances[2]
                .add(&other.row(run), &expected.row(run), expected)
                .map_err(name)?;
        }
    }
    let mut wrong = Vec::new();
    for (answer, expected, reference, distances) in &outputs {
        let name = format!("{} {} {}", case.model, case.case, answer.name);
        let mut line = format!("{name}: {}", distances[0].text());
        if reference.is_some() {
            line += &format!("; reference kernels: {}", distances[1].text());
            line += &format!("; LiteRT's own difference: {}", distances[2].text());
        }
        eprintln!("{line}");
        let own = &distances[0];
        let limit = limit(expected.dtype, case.steps);
        if own.worst > limit || own.top != own.runs {
            wrong.push(line);
        }
    }
    Ok(wrong)
}

/// Checks the cases that `select` names.
fn all(select: impl Fn(&Case) -> Option<PathBuf>) -> usize {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in cases() {
        let Some(file) = select(&case) else { continue };
        count += 1;
        let outcome = path::read(&file).and_then(|model| check(&case, &model));
        match outcome {
            Ok(list) => wrong.extend(list),
            Err(reason) => wrong.push(format!("{} {}: {reason}", case.model, case.case)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    count
}

#[test]
fn operators_and_networks() {
    let count =
        all(|case| (!case.model.starts_with("models/")).then(|| path::cache().join(&case.model)));
    assert!(
        count >= 70,
        "{count} cases are recorded: run tests/make_tflite.py"
    );
}

#[test]
fn models_of_others() {
    let Some(folder) = models() else {
        eprintln!("skipped: CYGNET_MODELS names no folder of TFLite models");
        return;
    };
    let count = all(|case| {
        let path = case.model.strip_prefix("models/")?;
        Some(folder.join(path))
    });
    assert!(
        count > 0,
        "no answers are recorded: run tests/make_tflite.py with CYGNET_MODELS={}",
        folder.display()
    );
}
