//! MiniLM says how alike sentences are.

use crate::{answer, compressed, model, programs, read};
use cygnet_compiler::quantize::Format;
use cygnet_format::DType;
use cygnet_tests::Tensor;
use cygnet_tests::through::{Compiled, Extent, Request};
use serde::Deserialize;

/// The least correlation of similarities with those in floats.
const CORRELATION: f64 = 0.995;

#[derive(Clone, Debug, Deserialize)]
struct Sentence {
    ids: Vec<i64>,
    kind: String,
}

fn integers(values: &[i64]) -> Tensor {
    Tensor {
        dtype: DType::I64,
        shape: vec![1, values.len()],
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// The mean of the states of a sentence, of length 1.
fn direction(program: &Compiled, ids: &[i64]) -> Vec<f64> {
    let (ids, ones) = (integers(ids), integers(&vec![1; ids.len()]));
    let zeros = integers(&vec![0; ids.shape[1]]);
    let feeds = [
        ("input_ids", &ids),
        ("attention_mask", &ones),
        ("token_type_ids", &zeros),
    ];
    let states = answer(program, &feeds);
    let width = states.shape[2];
    let mean = |c: usize| {
        states
            .f32s()
            .iter()
            .skip(c)
            .step_by(width)
            .map(|&v| f64::from(v))
            .sum()
    };
    let mean: Vec<f64> = (0..width).map(mean).collect();
    let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
    mean.iter().map(|v| v / length).collect()
}

/// The cosine of every two sentences.
fn similarities(program: &Compiled, sentences: &[Sentence]) -> Vec<f64> {
    let of = sentences.iter().map(|s| direction(program, &s.ids));
    let of: Vec<Vec<f64>> = of.collect();
    let cosine = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    let pairs = (0..of.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| cosine(&of[i], &of[j])).collect()
}

/// Pearson's coefficient.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        ab += (a - ma) * (b - mb);
        aa += (a - ma).powi(2);
        bb += (b - mb).powi(2);
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn sentences() {
    let mut sentences: Vec<Sentence> = read("sentences/sentences.json");
    sentences.retain(|s| s.kind == "judged");
    let sequence = || Extent::Named("sequence".to_owned());
    let inputs = ["input_ids", "attention_mask", "token_type_ids"];
    let request = Request {
        shapes: inputs
            .map(|name| (name.to_owned(), vec![1.into(), sequence()]))
            .to_vec(),
        dims: vec![("sequence".to_owned(), 1, 128)],
        ..Request::default()
    };
    let made = compressed(&model("made/minilm.onnx"), &request, Format::Dynamic, &[]);
    let [float, dynamic] = programs(&made).map(|p| similarities(&p, &sentences));
    let correlation = correlation(&float, &dynamic);
    let pairs = float.len();
    let worst = float
        .iter()
        .zip(&dynamic)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max);
    eprintln!(
        "MiniLM, dynamic int8, {pairs} pairs: correlation {correlation:.5}, no similarity off by more than {worst:.4}"
    );
    assert!(pairs >= 30, "the data are not what they were");
    assert!(correlation >= CORRELATION, "correlation {correlation:.5}");
}
