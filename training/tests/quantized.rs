//! Quantisation-aware training computes what the bundle computes.
use candle_core::{Device, Tensor};
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::export;
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::optimize::{Optimizer, Rule};
use cygnet_training::random::Random;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Numbers from 0 to 1, `[n, side, side, channels]`.
fn pictures(n: usize, side: usize, channels: usize, seed: u64) -> Outcome<Tensor> {
    let mut random = Random::new(seed, 9);
    let values: Vec<f32> = (0..n * side * side * channels)
        .map(|_| random.between(0.0, 1.0))
        .collect();
    let x = Tensor::from_vec(values, (n, side, side, channels), &Device::Cpu)?;
    Ok(x)
}

/// What the compiled bundle answers to each picture, and its steps.
fn bundle(network: &Network, x: &Tensor) -> Outcome<(Vec<Vec<f32>>, Vec<String>)> {
    let onnx = export::onnx(network, "quantized", false)?;
    let compiled = cygnet_compiler::compile(&onnx, &CompileOptions::default())?;
    let mut runner = Runner::from_bytes(&compiled.program.bytes, &RunnerOptions::default())?;
    let mut answers = Vec::new();
    let planes = x.permute((0, 3, 1, 2))?.contiguous()?;
    for i in 0..x.dim(0)? {
        let one = planes.get(i)?.flatten_all()?.to_vec1::<f32>()?;
        let (_, h, w, c) = x.dims4()?;
        runner.set_input(0, &Array::from_f32(&[1, c, h, w], &one))?;
        runner.run()?;
        answers.push(runner.output(0)?.to_f32());
    }
    let steps = compiled.graph.blocks[0]
        .nodes
        .iter()
        .map(|n| format!("{:?}", n.op.code()));
    Ok((answers, steps.collect()))
}

/// A network whose normalisations have seen something, so that folding them means something.
fn network(architecture: Architecture, side: usize, channels: usize) -> Outcome<Network> {
    let mut network = architecture.build([side, side, channels], 5, 3, &Device::Cpu)?;
    let mut random = Random::new(5, 5);
    for seed in 0..20 {
        network.train(&pictures(8, side, channels, 100 + seed)?, &mut random, &[])?;
    }
    Ok(network)
}

#[test]
fn integers_are_those_of_the_bundle_bit_for_bit() -> Outcome {
    for (architecture, side, channels) in [
        (Architecture::Tiny { channels: 8 }, 16, 1),
        (Architecture::Tiny { channels: 12 }, 17, 3),
        (Architecture::DsCnn { channels: 16 }, 20, 1),
        (
            Architecture::Resnet {
                stages: 3,
                blocks: 1,
                width: 0.5,
            },
            16,
            3,
        ),
        (Architecture::MobilenetV1 { width: 0.25 }, 32, 3),
        (Architecture::MobilenetV2 { width: 0.35 }, 32, 3),
    ] {
        let network =
            network(architecture, side, channels)?.quantized(&pictures(32, side, channels, 1)?)?;
        let x = pictures(40, side, channels, 2)?;
        let (answers, steps) = bundle(&network, &x)?;
        let wanted = network.evaluate(&x)?.to_vec2::<f32>()?;
        assert_eq!(answers, wanted, "{architecture:?}");
        for step in &steps {
            let of_integers = step.starts_with("Quantized")
                || ["QuantizeLinear", "DequantizeLinear", "Reshape", "Transpose"]
                    .contains(&step.as_str());
            assert!(of_integers, "{architecture:?}: {step} in {steps:?}");
        }
        assert!(answers.iter().any(|a| a != &answers[0]), "constant answers");
    }
    Ok(())
}

/// The gradients of a loss by a network, one after the other.
fn gradients(network: &mut Network, x: &Tensor) -> Outcome<Vec<f32>> {
    let pass = network.train(x, &mut Random::new(1, 1), &[])?;
    let loss = pass.output().sqr()?.mean_all()?;
    let mut all = Vec::new();
    for gradient in pass.gradients(network, &loss)?.values() {
        all.extend(gradient.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(all)
}

/// Rounding hides from gradients: they point where those of the network of floats do.
#[test]
fn gradients_pass_straight_through() -> Outcome {
    for architecture in [
        Architecture::Tiny { channels: 8 },
        Architecture::Resnet {
            stages: 2,
            blocks: 1,
            width: 0.5,
        },
    ] {
        let network = network(architecture, 16, 3)?;
        let x = pictures(16, 16, 3, 7)?;
        let floats = gradients(&mut network.folded()?, &x)?;
        let integers = gradients(&mut network.quantized(&x)?, &x)?;
        assert_eq!(floats.len(), integers.len());
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let cosine =
            dot(&floats, &integers) / (dot(&floats, &floats) * dot(&integers, &integers)).sqrt();
        let size = (dot(&integers, &integers) / dot(&floats, &floats)).sqrt();
        assert!(
            cosine > 0.95 && (0.85..1.15).contains(&size),
            "{architecture:?}: cosine {cosine}, {size} of the size"
        );
    }
    Ok(())
}

/// What rounding takes away from a network, training in integers gives back.
#[test]
fn training_in_integers_recovers() -> Outcome {
    let x = pictures(64, 12, 1, 11)?;
    let wanted = network(Architecture::Tiny { channels: 8 }, 12, 1)?.evaluate(&x)?;
    let start = network(Architecture::Tiny { channels: 8 }, 12, 1)?.quantized(&x)?;
    let loss = |network: &Network| -> Outcome<f32> {
        Ok((network.evaluate(&x)? - &wanted)?
            .sqr()?
            .mean_all()?
            .to_scalar()?)
    };
    let before = loss(&start)?;
    let mut network = start;
    let mut optimizer = Optimizer::new(Rule::ADAMW, 0.0);
    for step in 0..60 {
        let pass = network.train(&x, &mut Random::new(1, step), &[])?;
        let off = (pass.output() - &wanted)?.sqr()?.mean_all()?;
        let gradients = pass.gradients(&network, &off)?;
        optimizer.step(&network, &gradients, 3e-4, 1.0)?;
    }
    let after = loss(&network)?;
    assert!(after < 0.7 * before, "{before} {after}");
    // Still what the bundle computes.
    let (answers, _) = bundle(&network, &x)?;
    assert_eq!(answers, network.evaluate(&x)?.to_vec2::<f32>()?);
    Ok(())
}
