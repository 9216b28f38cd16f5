//! What quantisation costs on data that calibration has not seen (`tests/make_accuracy.py`): each model is compiled in
//! floats and in few bits, both programs answer, and their answers are marked or compared.

mod digits;
mod lines;
mod photographs;
mod sentences;
mod speech;

use cygnet_compiler::bundle::Array;
use cygnet_compiler::ir::Graph;
use cygnet_compiler::quantize::{self, Format, Method, Precision, Quantised, Sample};
use cygnet_compiler::{CompileOptions, import};
use cygnet_format::DType;
use cygnet_tests::through::{self, Compiled, Request};
use cygnet_tests::{Tensor, npy, path};
use serde::Deserialize;

/// Points of accuracy that integers may cost.
const LOSS: f64 = 0.2;

/// A file of the accuracy sets.
fn data(file: &str) -> Vec<u8> {
    path::read(&path::cache().join("accuracy").join(file)).unwrap_or_else(|reason| {
        panic!("{reason}: run ./test.sh --data, or tests/make_accuracy.py")
    })
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    serde_json::from_slice(&data(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn array(file: &str) -> Tensor {
    npy::parse(&data(file)).unwrap_or_else(|| panic!("{file}: not a .npy file"))
}

/// A model of the cache.
fn model(file: &str) -> Vec<u8> {
    path::read(&path::cache().join(file))
        .unwrap_or_else(|reason| panic!("{reason}: run ./test.sh --data"))
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        dtype: DType::F32,
        shape: shape.to_vec(),
        bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// Pixels [height, width, channels] as [1, channels, height, width], `value * scale[c] + offset[c]`.
fn planes(pixels: &[u8], [h, w, c]: [usize; 3], scale: &[f32], offset: &[f32]) -> Tensor {
    let mut values = Vec::with_capacity(h * w * c);
    for channel in 0..c {
        let of = pixels[channel..].iter().step_by(c);
        values.extend(of.map(|&v| f32::from(v) * scale[channel] + offset[channel]));
    }
    floats(&[1, c, h, w], &values)
}

fn sample(name: &str, inputs: &[&Tensor]) -> Sample {
    let array = |t: &&Tensor| Array::new(t.dtype, t.shape.clone(), t.bytes.clone()).expect("whole");
    Sample {
        name: name.to_owned(),
        inputs: inputs.iter().map(array).collect(),
        continues: false,
    }
}

fn imported(model: &[u8], request: &Request) -> (Graph, CompileOptions) {
    let mut choices = CompileOptions::default();
    choices.import = through::options(request);
    let graph = import::onnx(model, &choices.import).unwrap_or_else(|e| panic!("{e}"));
    (graph, choices)
}

/// Calibrated integers.
fn quantise(
    model: &[u8],
    request: &Request,
    precision: Precision,
    samples: &[Sample],
) -> Quantised {
    let (graph, choices) = imported(model, request);
    let mut options = quantize::Options::default();
    options.precision = precision;
    options.method = Method::Auto;
    let made =
        quantize::compile(graph, &choices, &options, samples).unwrap_or_else(|e| panic!("{e}"));
    for t in &made.record.techniques {
        eprintln!("  {}: {} {:?} {}", t.name, t.applied, t.snr_db, t.reason);
    }
    let speed = made.speed.as_ref().expect("measured");
    eprintln!(
        "  {:?}: {} integer steps, {:.3} ms, in floats {:.3}; {} bytes, in floats {}",
        made.record.precision,
        made.record.integer_steps,
        speed.quantised_ms,
        speed.float_ms,
        made.compiled.program.bytes.len(),
        made.float.program.bytes.len()
    );
    for a in &made.record.agreement {
        eprintln!(
            "  `{}`: {:.1} dB, the same best class {:?}",
            a.output, a.snr_db, a.top1
        );
    }
    made
}

/// Weights of few bits.
fn compressed(model: &[u8], request: &Request, format: Format, samples: &[Sample]) -> Quantised {
    let (graph, choices) = imported(model, request);
    quantize::compress(graph, &choices, format, samples).unwrap_or_else(|e| panic!("{e}"))
}

/// The float program and the other.
fn programs(made: &Quantised) -> [Compiled; 2] {
    [&made.float, &made.compiled]
        .map(|c| Compiled::new(&c.program.bytes).unwrap_or_else(|e| panic!("{e}")))
}

/// The first output.
fn answer(program: &Compiled, feeds: &[(&str, &Tensor)]) -> Tensor {
    let mut outputs = program.run(feeds).unwrap_or_else(|e| panic!("{e}"));
    outputs.swap_remove(0).1
}

/// The position of the greatest value.
fn best(values: &[f32]) -> usize {
    (0..values.len())
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .expect("values")
}
