//! Small graphs with one fault each, quantised, and what the diagnosis says of them.

use super::tests::Net;
use super::*;
use crate::CompileOptions;
use crate::ir::ValueId;
use cygnet_format::op::{MatMul, PackB, Softmax};

/// Elements of a row.
const WIDE: usize = 64;

/// A product of rows with a matrix whose elements are given by row and column, and a bias.
fn product(
    net: &mut Net,
    x: ValueId,
    n: usize,
    bias: f32,
    weight: impl Fn(&mut Net, usize, usize) -> f32,
) -> ValueId {
    let mut shape = net.shape(x);
    let k = shape.pop().unwrap();
    shape.push(n);
    let mut values = Vec::new();
    for i in 0..k * n {
        values.push(weight(net, i / n, i % n));
    }
    let w = net.g.add_f32("w", &[k, n], &values);
    let w = net.push(
        "product",
        PackB { trans: false },
        &[w],
        &[n.div_ceil(16), k, 16],
    );
    let bias = net.g.add_f32("b", &[n], &vec![bias; n]);
    let op = MatMul {
        alpha: 1.0,
        ..Default::default()
    };
    net.push("product", op, &[x, w, bias], &shape)
}

/// Samples whose elements are given by sample and position.
fn samples(net: &mut Net, value: impl Fn(&mut Net, usize, usize) -> f32) -> Vec<Sample> {
    let shape = net.shape(net.g.inputs[0].value);
    let len: usize = shape.iter().product();
    let mut all = Vec::new();
    for s in 0..32 {
        let values: Vec<f32> = (0..len).map(|i| value(net, s, i)).collect();
        all.push(Sample {
            name: format!("sample {s}"),
            inputs: vec![Array::from_f32(&shape, &values)],
            continues: false,
        });
    }
    all
}

fn causes(net: &Net, method: Method, samples: &[Sample]) -> Vec<(Cause, String)> {
    let options = Options {
        precision: Precision::Int8,
        method,
    };
    let choices = CompileOptions::default();
    let q = compile(net.g.clone(), &choices, &options, samples).unwrap();
    let found = diagnose(&q.record).into_iter();
    found.map(|f| (f.cause, f.evidence)).collect()
}

/// All findings have one cause: a fault of the input may be one of the result as well.
fn only(found: &[(Cause, String)], cause: Cause) {
    let mut names: Vec<Cause> = found.iter().map(|f| f.0).collect();
    names.dedup();
    assert_eq!(names, [cause], "{found:?}");
}

/// A product of evenly spread values.
fn plain(input: impl Fn(&mut Net, usize, usize) -> f32) -> (Net, Vec<Sample>) {
    let mut net = Net::new(11);
    let x = net.input(&[8, WIDE]);
    let y = product(&mut net, x, 16, 0.1, |net, _, _| net.draw());
    net.output(y);
    let samples = samples(&mut net, input);
    (net, samples)
}

#[test]
fn a_healthy_graph_has_no_findings() {
    let (net, samples) = plain(|net, _, _| net.draw());
    for method in [Method::Auto, Method::MinMax, Method::Percentile(99.99)] {
        assert_eq!(causes(&net, method, &samples), []);
    }
}

#[test]
fn an_outlier_channel() {
    // The channel reaches a hundred times as far, and its weights are a hundred times as small.
    let mut net = Net::new(12);
    let x = net.input(&[8, WIDE]);
    let y = product(&mut net, x, 16, 0.1, |net, k, _| {
        net.draw() * if k == 3 { 0.01 } else { 1.0 }
    });
    net.output(y);
    let samples = samples(&mut net, |net, _, i| {
        net.draw() * if i % WIDE == 3 { 100.0 } else { 1.0 }
    });
    let found = causes(&net, Method::MinMax, &samples);
    only(&found, Cause::OutlierChannel);
    assert!(found[0].1.contains("channel 3 of its input"), "{found:?}");
}

#[test]
fn outliers_that_set_a_range() {
    // A single value of most channels is a hundred times as large as all others.
    let mut net = Net::new(18);
    let x = net.input(&[256, 8]);
    let y = product(&mut net, x, 16, 0.1, |net, _, _| net.draw());
    net.output(y);
    let samples = samples(
        &mut net,
        |net, s, i| {
            if s < 6 && i == s { 100.0 } else { net.draw() }
        },
    );
    let found = causes(&net, Method::MinMax, &samples);
    only(&found, Cause::OutlierRange);
    assert!(found[0].1.contains("of 256 steps"), "{found:?}");
}

#[test]
fn a_saturated_range() {
    let (net, samples) = plain(|net, _, _| net.draw());
    let found = causes(&net, Method::Percentile(90.0), &samples);
    only(&found, Cause::SaturatedRange);
    assert!(found[0].1.contains("percentile-90 chose"), "{found:?}");
}

#[test]
fn outliers_among_weights() {
    // Every column has a weight that is far larger, at an input that is small.
    let mut net = Net::new(13);
    let x = net.input(&[8, WIDE]);
    let y = product(&mut net, x, 16, 0.1, |net, k, _| match k {
        3 => 100.0,
        _ => net.draw(),
    });
    net.output(y);
    let samples = samples(&mut net, |net, _, i| {
        net.draw() * if i % WIDE == 3 { 0.01 } else { 1.0 }
    });
    let found = causes(&net, Method::MinMax, &samples);
    only(&found, Cause::OutlierWeights);
    assert!(found[0].1.contains("times the median one"), "{found:?}");
}

#[test]
fn sums_that_cancel() {
    // Columns of weights that add up to zero, at inputs that are nearly all the same.
    let mut net = Net::new(14);
    let x = net.input(&[8, WIDE]);
    let y = product(&mut net, x, 16, 0.0, |_, k, n| {
        let half = (k / 2 * 37 + n * 11) % 63;
        let w = (half as f32 + 1.3) / 65.0;
        if k.is_multiple_of(2) { w } else { -w }
    });
    net.output(y);
    let samples = samples(&mut net, |net, _, _| 10.0 + 0.1 * net.draw());
    let found = causes(&net, Method::MinMax, &samples);
    only(&found, Cause::Cancellation);
}

#[test]
fn sums_that_may_overflow() {
    // As deep as a layer may be, all weights and inputs full: without the bias it fits, with it it does not.
    let deep = 65_535;
    let of = |bias: f32| {
        let mut net = Net::new(15);
        let x = net.input(&[1, deep]);
        let y = product(&mut net, x, 1, bias, |_, _, _| 1.0);
        net.output(y);
        let samples = samples(&mut net, |net, _, _| net.draw().abs());
        causes(&net, Method::MinMax, &samples)
    };
    assert_eq!(of(0.0), []);
    let found = of(2000.0);
    only(&found, Cause::AccumulatorOverflow);
    assert!(found[0].1.contains("1.0"), "{found:?}");
}

fn softmax(net: &mut Net, x: ValueId) -> ValueId {
    let shape = net.shape(x);
    let op = Softmax {
        axis: 1,
        ..Default::default()
    };
    net.push("softmax", op, &[x], &shape)
}

#[test]
fn logits_with_steps_too_coarse_for_exponentials() {
    let of = |scale: f32| {
        let mut net = Net::new(16);
        let x = net.input(&[8, WIDE]);
        let x = product(&mut net, x, 16, 0.1, |net, _, _| net.draw() * scale);
        let y = softmax(&mut net, x);
        net.output(y);
        let samples = samples(&mut net, |net, _, _| net.draw());
        causes(&net, Method::MinMax, &samples)
    };
    assert_eq!(of(1.0), []);
    let found = of(8.0);
    only(&found, Cause::SoftmaxResolution);
    assert!(found[0].1.contains("changes an exponential"), "{found:?}");
}

#[test]
fn probabilities_of_more_classes_than_steps() {
    // Rows that are sure of a class set the range; in the others no class is as likely as half a step.
    let of = |classes: usize| {
        let mut net = Net::new(17);
        let x = net.input(&[4, classes]);
        let p = softmax(&mut net, x);
        let y = product(&mut net, p, 4, 0.1, |net, _, _| net.draw());
        net.output(y);
        let samples = samples(&mut net, |net, _, i| {
            let (row, at) = (i / classes, i % classes);
            let sure = row == 0 && at == 7;
            0.1 * net.draw() + if sure { 20.0 } else { 0.0 }
        });
        causes(&net, Method::MinMax, &samples)
    };
    let found = of(2048);
    assert!(
        found.iter().any(|f| f.0 == Cause::SoftmaxResolution),
        "{found:?}"
    );
    let found = of(64);
    assert!(
        !found.iter().any(|f| f.0 == Cause::SoftmaxResolution),
        "{found:?}"
    );
}
