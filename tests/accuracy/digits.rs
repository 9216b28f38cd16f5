//! A convolutional net (`tests/make_mnist.py`) reads handwritten digits.

use crate::{LOSS, answer, array, best, planes, programs, quantise, sample};
use cygnet_compiler::quantize::{Precision, Sample};
use cygnet_tests::through::Request;
use cygnet_tests::{Tensor, path};

/// The net: [1, 1, 28, 28] grey values from 0 to 1.
fn model() -> Vec<u8> {
    path::read(&path::repository().join("tests/data/mnist.onnx")).unwrap_or_else(|e| panic!("{e}"))
}

/// Each picture as an input.
fn pictures(of: &Tensor) -> impl Iterator<Item = Tensor> {
    let each = of.bytes.chunks_exact(28 * 28);
    each.map(|pixels| planes(pixels, [28, 28, 1], &[1.0 / 255.0], &[0.0]))
}

#[test]
fn handwriting() {
    let samples: Vec<Sample> = pictures(&array("digits/calibration.npy"))
        .step_by(2)
        .map(|x| sample("digit", &[&x]))
        .collect();
    let made = quantise(&model(), &Request::default(), Precision::Int8, &samples);
    let labels = array("digits/labels.npy");
    let mut right = [0usize; 2];
    for (program, right) in programs(&made).iter().zip(&mut right) {
        let truth = labels.bytes.chunks_exact(8).map(|b| b[0]);
        let judged = array("digits/judged.npy");
        let answers = pictures(&judged).map(|x| best(&answer(program, &[("image", &x)]).f32s()));
        *right = answers
            .zip(truth)
            .filter(|(a, t)| *a == usize::from(*t))
            .count();
    }
    let count = labels.shape[0];
    let [f, i] = right.map(|r| 100.0 * r as f64 / count as f64);
    eprintln!(
        "handwritten digits, {count}: {f:.2} % right in floats, {i:.2} % in integers ({} and {})",
        right[0], right[1]
    );
    assert!(
        count == 4500 && f >= 98.5,
        "the data are not what they were"
    );
    assert!(i >= f - LOSS, "{f:.2} % in floats, {i:.2} % in integers");
}
