//! Real models quantised from real inputs: how near their integers come to the float model, and to ONNX Runtime.
//!
//! Calibration sees each recorded input and copies of it that are shifted, mirrored and fainter; agreement is measured on
//! the copies kept back, then each recorded input is compared with what ONNX Runtime answered in floats.

use cygnet_compiler::bundle::Array;
use cygnet_compiler::quantize::{self, Precision, Quantised, Sample};
use cygnet_compiler::{CompileOptions, import};
use cygnet_tests::expectations::{self, Expectation};
use cygnet_tests::{Tensor, path, recognised, through};

/// What a model has to reach.
struct Bar {
    /// Decibels of each output above its error, on the samples kept back.
    snr_db: f64,
    /// Part of rows with the same best class.
    top1: f64,
    /// Operators that may stay float.
    float: &'static [&'static str],
}

/// The recorded inputs in the order of the graph, with copies.
fn samples(cases: &[Expectation], names: &[String]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for case in cases {
        let tensors = Expectation::tensors(&case.inputs).unwrap_or_else(|e| panic!("{e}"));
        let array = |name: &String| {
            let (_, t) = tensors.iter().find(|(n, _)| n == name).expect("an input");
            Array::new(t.dtype, t.shape.clone(), t.bytes.clone()).expect("whole")
        };
        let inputs: Vec<Array> = names.iter().map(array).collect();
        let copies: &[fn(&Array) -> Array] = &[Array::clone, shifted, mirrored, fainter];
        for (i, copy) in copies.iter().enumerate() {
            samples.push(Sample {
                name: format!("{} {i}", case.case),
                inputs: inputs.iter().map(copy).collect(),
                continues: false,
            });
        }
    }
    // Every fourth sample is kept back: let that be copies of all kinds.
    let step = samples.len() / 4 + 1;
    let order = (0..samples.len()).map(|i| i * step % samples.len());
    let mut seen = vec![false; samples.len()];
    let mut order: Vec<usize> = order
        .filter(|&i| !std::mem::replace(&mut seen[i], true))
        .collect();
    order.extend((0..samples.len()).filter(|&i| !seen[i]));
    order.into_iter().map(|i| samples[i].clone()).collect()
}

/// Rows of the last axis, each changed.
fn by_rows(array: &Array, change: impl Fn(&mut [f32])) -> Array {
    if !array.dtype.is_float() {
        return array.clone();
    }
    let mut values = array.to_f32();
    let width = array.shape.last().copied().unwrap_or(1).max(1);
    values.chunks_mut(width).for_each(change);
    Array::from_f32(&array.shape, &values)
}

fn shifted(array: &Array) -> Array {
    by_rows(array, |row| row.rotate_right(row.len() / 3))
}

fn mirrored(array: &Array) -> Array {
    by_rows(array, |row| row.reverse())
}

fn fainter(array: &Array) -> Array {
    by_rows(array, |row| row.iter_mut().for_each(|v| *v *= 0.8))
}

fn cases(model: &str) -> Vec<Expectation> {
    let mut cases = expectations::of(model);
    // Of lines of text those that say something.
    if cases.iter().any(|c| c.text.is_some()) {
        cases.retain(|c| c.text.is_some());
    }
    cases
}

fn quantise(model: &[u8], cases: &[Expectation]) -> Quantised {
    let request = cases[0].request().unwrap_or_else(|e| panic!("{e}"));
    let mut choices = CompileOptions::default();
    choices.import = through::options(&request);
    let graph = import::onnx(model, &choices.import).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<String> = graph.inputs.iter().map(|p| p.name.clone()).collect();
    let mut options = quantize::Options::default();
    options.precision = Precision::Int8;
    quantize::compile(graph, &choices, &options, &samples(cases, &names))
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Decibels of what was recorded above what is wrong with it.
fn snr(expected: &Tensor, got: &Tensor) -> f64 {
    assert_eq!(expected.shape, got.shape);
    let (mut signal, mut noise) = (0f64, 0f64);
    for (e, g) in expected.f32s().iter().zip(got.f32s()) {
        signal += f64::from(*e).powi(2);
        noise += f64::from(g - e).powi(2);
    }
    10.0 * (signal / noise).log10()
}

fn check(model: &str, bar: &Bar) {
    let cases = cases(model);
    let bytes = path::read(&cases[0].model_path()).unwrap_or_else(|reason| panic!("{reason}"));
    let quantised = quantise(&bytes, &cases);
    let record = &quantised.record;
    for a in &record.agreement {
        eprintln!(
            "{model}, `{}`: {:.1} dB, the same best class in {:?} of {} rows",
            a.output, a.snr_db, a.top1, a.rows
        );
        assert!(a.snr_db >= bar.snr_db, "{model}: {a:?}");
        assert!(a.top1.is_none_or(|t| t >= bar.top1), "{model}: {a:?}");
    }
    for t in &record.techniques {
        eprintln!("{model}, {}: {} {:?}", t.name, t.applied, t.snr_db);
    }
    let mut float: Vec<&str> = record
        .float_layers
        .iter()
        .map(|l| l.operator.as_str())
        .collect();
    float.sort_unstable();
    float.dedup();
    eprintln!(
        "{model}: {} integer steps, float {float:?}",
        record.integer_steps
    );
    let unexpected: Vec<_> = float.iter().filter(|f| !bar.float.contains(f)).collect();
    assert!(unexpected.is_empty(), "{model}: {unexpected:?} stay float");
    let sizes = [&quantised.float, &quantised.compiled].map(|c| c.program.bytes.len());
    eprintln!("{model}: {} bytes, in floats {}", sizes[1], sizes[0]);
    assert!(sizes[1] * 5 < sizes[0] * 3, "{model}: {sizes:?}");

    let program = through::Compiled::new(&quantised.compiled.program.bytes).unwrap();
    for case in &cases {
        let inputs = Expectation::tensors(&case.inputs).unwrap();
        let outputs = Expectation::tensors(&case.outputs).unwrap();
        let feeds: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let got = program.run(&feeds).unwrap();
        for (name, expected) in &outputs {
            let (_, got) = got.iter().find(|(n, _)| n == name).expect("an output");
            let db = snr(expected, got);
            eprintln!("{model} {}: {db:.1} dB from ONNX Runtime", case.case);
            assert!(db >= bar.snr_db - 6.0, "{model} {}: {db:.1} dB", case.case);
            if let Some(text) = &case.text {
                // Whether a margin is a space is a near tie: `tests/accuracy` counts these too, on more lines.
                assert_eq!(recognised::read(got, &bytes).unwrap().trim(), text.trim());
            }
        }
    }
}

#[test]
fn digits() {
    check(
        "digits.onnx",
        &Bar {
            snr_db: 25.0,
            // Meant to be 1: one of the ten rows, among which are shifted and mirrored copies, has another best class.
            top1: 0.9,
            float: &["softmax"],
        },
    );
}

#[test]
fn mobilenetv2() {
    check(
        "made/mobilenetv2.onnx",
        &Bar {
            snr_db: 20.0,
            top1: 0.6,
            float: &[],
        },
    );
}

#[test]
fn resnet18() {
    check(
        "made/resnet18.onnx",
        &Bar {
            snr_db: 35.0,
            top1: 0.6,
            float: &[],
        },
    );
}

#[test]
fn ppocr_direction() {
    check(
        "ppocr/cls.onnx",
        &Bar {
            snr_db: 15.0,
            top1: 1.0,
            float: &["softmax"],
        },
    );
}

#[test]
fn ppocr_recognition() {
    check(
        "ppocr/rec.onnx",
        &Bar {
            snr_db: 15.0,
            top1: 0.95,
            float: &["softmax", "layer_norm", "attention", "binary", "unary"],
        },
    );
}
