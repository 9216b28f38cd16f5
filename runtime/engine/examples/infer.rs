//! Runs a model a number of times on made-up inputs, and nothing else: what an instruction counter wants to see.
//! `cargo run --release -p cygnet-runtime --example infer MODEL [RUNS] [ISA]`

use cygnet_kernels::Features;
use cygnet_runtime::{Model, Options, OwnedSession};
use std::sync::Arc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let path = args.first().expect("usage: infer MODEL [RUNS] [ISA]");
    let runs: usize = args
        .get(1)
        .map_or(1, |n| n.parse().expect("RUNS is a number"));
    let features = args.get(2).map_or(Features::ALL, |name| {
        Features::from_name(name).expect("a known instruction set")
    });
    let model = Arc::new(Model::open(path).expect("the model opens"));
    let options = Options::default().features(features);
    let mut session = OwnedSession::new(model, options).expect("there is memory for the arena");
    let inputs: Vec<Vec<f32>> = (0..session.program().inputs().len())
        .map(|i| {
            let shape = session.input_shape(i).expect("inputs have fixed shapes");
            let len = shape.iter().product::<usize>();
            // A triangle wave between -1 and 1: neither constant nor denormal.
            (0..len)
                .map(|j| ((j * 37 % 512) as f32 / 256.0 - 1.0).abs() * 2.0 - 1.0)
                .collect()
        })
        .collect();
    for _ in 0..runs {
        for (i, values) in inputs.iter().enumerate() {
            let mut input = session.input_mut(i).expect("the input exists");
            input
                .as_mut_slice::<f32>()
                .expect("inputs are f32")
                .copy_from_slice(values);
        }
        session.run().expect("the model runs");
    }
    let output = session.output(0).expect("there is an output");
    let values = output.as_slice::<f32>().expect("the output is f32");
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
    println!("{}: {} values, sum {sum:.6}", session.isa(), values.len());
}
