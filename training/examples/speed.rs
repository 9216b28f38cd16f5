//! Times training steps: `speed [THREADS] [STEPS]` prints a line of JSON a network. `tests/bench/training.py` runs it beside PyTorch.
use candle_core::{Device, Result, Tensor};
use cygnet_kernels::Activation;
use cygnet_training::fit::log_softmax;
use cygnet_training::model;
use cygnet_training::network::{Builder, Value};
use cygnet_training::op::{Geometry, Kind};
use cygnet_training::optimize::{Optimizer, Rule};
use cygnet_training::random::Random;
use std::time::Instant;

type Build = fn(&mut Builder, Value) -> Result<Value>;

/// Seven depthwise-separable convolutions.
fn separable(b: &mut Builder, x: Value) -> Result<Value> {
    let relu = Activation::Relu;
    let stem = Geometry::same(Kind::Dense, [3, 3], 2);
    let mut x = b.block("stem", x, 16, [3, 3], stem, relu)?;
    for (i, (channels, stride)) in [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2)]
        .into_iter()
        .enumerate()
    {
        let from = b.channels(x);
        let depthwise = Geometry::same(Kind::Depthwise, [3, 3], stride);
        x = b.block(&format!("d{i}"), x, from, [3, 3], depthwise, relu)?;
        x = b.block(
            &format!("p{i}"),
            x,
            channels,
            [1, 1],
            Geometry::POINTWISE,
            relu,
        )?;
    }
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, 10, Activation::None)
}

fn mobilenet(b: &mut Builder, x: Value) -> Result<Value> {
    model::mobilenet_v2(b, x, 0.35, 10)
}

/// DS-CNN of MLPerf Tiny's keyword spotting.
fn ds_cnn(b: &mut Builder, x: Value) -> Result<Value> {
    model::ds_cnn(b, x, 64, 12)
}

/// ResNet-8 of MLPerf Tiny's image classification.
fn resnet8(b: &mut Builder, x: Value) -> Result<Value> {
    model::resnet(b, x, (3, 1), 1.0, 10)
}

const NETWORKS: [(&str, [usize; 3], usize, Build); 4] = [
    ("separable", [96, 96, 3], 16, separable),
    ("mobilenet_v2_035", [96, 96, 3], 16, mobilenet),
    ("ds_cnn", [49, 10, 1], 64, ds_cnn),
    ("resnet8", [32, 32, 3], 32, resnet8),
];

fn loss(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    log_softmax(logits)?.gather(labels, 1)?.mean_all()?.neg()
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let steps: usize = arguments.first().and_then(|s| s.parse().ok()).unwrap_or(20);
    let only = arguments.get(1);
    for (name, shape, batch, build) in NETWORKS {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let device = Device::Cpu;
        let mut b = Builder::new(&device, 1);
        let x = b.input(&shape)?;
        build(&mut b, x)?;
        let mut network = b.finish()?;
        let mut random = Random::new(1, 2);
        let n = batch * shape.iter().product::<usize>();
        let data: Vec<f32> = (0..n).map(|_| random.normal()).collect();
        let x = Tensor::from_vec(data, (batch, shape[0], shape[1], shape[2]), &device)?;
        let labels: Vec<u32> = (0..batch as u32).map(|i| i % 10).collect();
        let labels = Tensor::from_vec(labels, (batch, 1), &device)?;
        let mut optimizer = Optimizer::new(Rule::ADAMW, 0.01);
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        let mut last = 0.0;
        for _ in 0..steps {
            let begin = Instant::now();
            let pass = network.train(&x, &mut random, &[])?;
            let forward = begin.elapsed();
            let loss = loss(pass.output(), &labels)?;
            let gradients = pass.gradients(&network, &loss)?;
            let backward = begin.elapsed();
            optimizer.step(&network, &gradients, 1e-3, 1.0)?;
            last = loss.to_scalar::<f32>()?;
            let all = begin.elapsed();
            for (times, t) in times.iter_mut().zip([forward, backward - forward, all]) {
                times.push(t.as_secs_f64() * 1e3);
            }
        }
        for t in &mut times {
            t.sort_by(f64::total_cmp);
        }
        println!(
            "{{\"network\": \"{name}\", \"parameters\": {}, \"forward_ms\": {:.3}, \"backward_ms\": {:.3}, \"step_ms\": {:.3}, \"step_min_ms\": {:.3}, \"loss\": {last:.4}}}",
            network.parameter_count(),
            times[0][steps / 2],
            times[1][steps / 2],
            times[2][steps / 2],
            times[2][0],
        );
    }
    Ok(())
}
