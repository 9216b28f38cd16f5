use super::*;
use crate::import::{self, ImportOptions};
use crate::passes::Level;
use crate::quantize::{self, Options, Precision, Sample};
use crate::verify::{Runner, RunnerOptions, sample_input};

const DIGITS: &[u8] = include_bytes!("../../../../tests/data/digits.onnx");
const MNIST: &[u8] = include_bytes!("../../../../tests/data/mnist.onnx");

fn choices() -> CompileOptions {
    CompileOptions {
        level: Level::Compact,
        ..Default::default()
    }
}

fn samples(graph: &Graph, count: u64) -> Vec<Sample> {
    let port = &graph.inputs[0];
    let shape = graph.ty(port.value).fixed_shape().unwrap();
    (0..count)
        .map(|i| Sample {
            name: format!("sample {i}"),
            inputs: vec![sample_input(&port.name, DType::F32, &shape, i).unwrap()],
            continues: false,
        })
        .collect()
}

fn outputs(compiled: &Compiled, samples: &[Sample]) -> Vec<Vec<u8>> {
    let options = RunnerOptions::default();
    let mut runner = Runner::from_bytes(&compiled.program.bytes, &options).unwrap();
    let run = |sample: &Sample| {
        runner.set_inputs(&[&sample.inputs[0]]).unwrap();
        runner.run().unwrap();
        runner.output(0).unwrap().data
    };
    samples.iter().map(run).collect()
}

/// Bands at every budget down to what bands can give; each program's answers equal those of the whole.
fn all_budgets(compiled: &Compiled, samples: &[Sample]) -> Fit {
    let whole = outputs(compiled, samples);
    let mut budget = compiled.program.arena_bytes - 1;
    let mut last = None;
    while let Some((banded, fit)) = super::fit(compiled, &choices(), budget).unwrap() {
        assert_eq!(fit.before, compiled.program.arena_bytes);
        assert_eq!(fit.arena_bytes, banded.program.arena_bytes);
        assert!(fit.arena_bytes < fit.before);
        assert_eq!(outputs(&banded, samples), whole, "{fit:?}");
        if fit.arena_bytes > budget {
            break;
        }
        budget = fit.arena_bytes - 1;
        last = Some(fit);
    }
    last.expect("bands save something")
}

#[test]
fn integers_do_not_change_in_bands() {
    let graph = import::model(MNIST, &ImportOptions::default()).unwrap();
    let samples = samples(&graph, 12);
    let options = Options {
        precision: Precision::Int8,
        ..Default::default()
    };
    let quantised = quantize::compile(graph, &choices(), &options, &samples).unwrap();
    let fit = all_budgets(&quantised.compiled, &samples);
    assert!(fit.arena_bytes * 10 <= fit.before * 7, "{fit:?}");
    assert!(
        fit.extra_macs() > 0 && fit.extra_macs() < 2 * fit.macs,
        "{fit:?}"
    );
}

#[test]
fn floats_do_not_change_in_bands() {
    let graph = import::model(DIGITS, &ImportOptions::default()).unwrap();
    let samples = samples(&graph, 3);
    let compiled = crate::compile_graph(graph, &choices()).unwrap();
    all_budgets(&compiled, &samples);
}

#[test]
fn what_fits_stays_whole() {
    let compiled = crate::compile(DIGITS, &choices()).unwrap();
    let budget = compiled.program.arena_bytes;
    assert!(fit(&compiled, &choices(), budget).unwrap().is_none());
}

#[test]
fn extra_arithmetic_is_that_of_the_emitted_layers() {
    let compiled = crate::compile(DIGITS, &choices()).unwrap();
    let before = macs(&compiled.graph);
    let budget = compiled.program.arena_bytes * 3 / 4;
    let (banded, fit) = super::fit(&compiled, &choices(), budget).unwrap().unwrap();
    assert_eq!(fit.macs, before);
    assert_eq!(macs(&banded.graph), before + fit.extra_macs(), "{fit:?}");
}
