//! Real models with weights of few bits, on the inputs for which ONNX Runtime answered in floats.

use cygnet_compiler::quantize::{self, Format};
use cygnet_compiler::{CompileOptions, import};
use cygnet_tests::expectations::{self, Expectation};
use cygnet_tests::{Tensor, path, recognised, through};

const HALF: Format = Format::Half;
const INT8: Format = Format::Integers {
    bits: 8,
    group: 0,
    asymmetric: false,
};
const INT4: Format = Format::Integers {
    bits: 4,
    group: 32,
    asymmetric: true,
};

/// What a model has to reach with a format.
struct Bar {
    format: Format,
    /// Decibels of each output above its error.
    snr_db: f64,
    /// Bytes of the program over those of the float program, at most.
    size: f64,
    /// Whether texts are to be read as in floats.
    reads: bool,
    /// How far the similarity of two sentences may be from that in floats.
    similarity: f64,
}

impl Bar {
    const fn new(format: Format, snr_db: f64, size: f64) -> Bar {
        Bar {
            format,
            snr_db,
            size,
            reads: true,
            similarity: 0.02,
        }
    }
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

/// The mean of the rows of a sentence, of length 1.
fn direction(states: &Tensor) -> Vec<f64> {
    let width = *states.shape.last().expect("an axis");
    let mut mean = vec![0f64; width];
    for row in states.f32s().chunks(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(m, v)| *m += f64::from(*v));
    }
    let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
    mean.iter().map(|v| v / length).collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check(model: &str, bars: &[Bar]) {
    let cases = expectations::of(model);
    let bytes = path::read(&cases[0].model_path()).unwrap_or_else(|reason| panic!("{reason}"));
    let request = cases[0].request().unwrap_or_else(|e| panic!("{e}"));
    let mut choices = CompileOptions::default();
    choices.import = through::options(&request);
    let graph = import::onnx(&bytes, &choices.import).unwrap_or_else(|e| panic!("{e}"));
    for bar in bars {
        let name = format!("{model}, {}", bar.format);
        let made = quantize::compress(graph.clone(), &choices, bar.format, &[])
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let sizes = [&made.float, &made.compiled].map(|c| c.program.bytes.len() as f64);
        let size = sizes[1] / sizes[0];
        eprintln!("{name}: {size:.3} of the size in floats");
        assert!(size <= bar.size, "{name}: {size:.3} of the size");
        assert!(!made.record.layers.is_empty());
        let program = through::Compiled::new(&made.compiled.program.bytes).unwrap();
        let mut directions = Vec::new();
        for case in &cases {
            let inputs = Expectation::tensors(&case.inputs).unwrap();
            let outputs = Expectation::tensors(&case.outputs).unwrap();
            let feeds: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
            let got = program.run(&feeds).unwrap();
            for (output, expected) in &outputs {
                let (_, got) = got.iter().find(|(n, _)| n == output).expect("an output");
                let db = snr(expected, got);
                eprintln!("{name}, {}: {db:.1} dB", case.case);
                assert!(db >= bar.snr_db, "{name}, {}: {db:.1} dB", case.case);
                if let (Some(text), true) = (&case.text, bar.reads) {
                    assert_eq!(&recognised::read(got, &bytes).unwrap(), text, "{name}");
                }
                if output == "last_hidden_state" {
                    directions.push([direction(expected), direction(got)]);
                }
            }
        }
        for (i, a) in directions.iter().enumerate() {
            for b in &directions[..i] {
                let change = cosine(&a[1], &b[1]) - cosine(&a[0], &b[0]);
                assert!(change.abs() <= bar.similarity, "{name}: {change:.4}");
            }
        }
    }
}

#[test]
fn mobilenetv2() {
    check(
        "made/mobilenetv2.onnx",
        &[
            Bar::new(HALF, 50.0, 0.53),
            Bar::new(INT8, 24.0, 0.29),
            Bar::new(INT4, 12.0, 0.19),
            Bar::new(Format::Dynamic, 24.0, 0.29),
        ],
    );
}

#[test]
fn ppocr_recognition() {
    check(
        "ppocr/rec.onnx",
        &[
            Bar::new(HALF, 44.0, 0.53),
            // Meant to be 12 dB: a strip of 32 pixels without a letter has 11.3, lines of text at least 13.8.
            Bar::new(INT8, 11.0, 0.3),
            Bar::new(Format::Dynamic, 8.0, 0.31),
        ],
    );
}

#[test]
fn sentences() {
    check(
        "made/minilm.onnx",
        &[
            Bar {
                similarity: 0.001,
                ..Bar::new(HALF, 50.0, 0.51)
            },
            Bar::new(INT8, 24.0, 0.26),
            // Meant to be 0.21 of the size: scale and offset of a group take another bit a weight, which makes 0.215.
            Bar {
                similarity: 0.08,
                ..Bar::new(INT4, 8.0, 0.216)
            },
            Bar::new(Format::Dynamic, 16.0, 0.27),
        ],
    );
}
