//! Every architecture: what is exported and compiled answers as the network that was trained.

use candle_core::{Device, Tensor};
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::TrainingError;
use cygnet_training::export;
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::random::Random;

type Result<T> = std::result::Result<T, TrainingError>;

/// Random normalisations and biases, as training leaves them.
fn trained(architecture: Architecture, shape: [usize; 3]) -> Result<Network> {
    let mut network = architecture.build(shape, 5, 3, &Device::Cpu)?;
    let mut random = Random::new(6, 0);
    for (name, var) in &network.parameters {
        if name.ends_with("bias") || name.ends_with("affine") {
            let values = (0..var.elem_count()).map(|_| random.between(0.2, 1.0));
            let values = Tensor::from_vec(values.collect(), var.shape(), &Device::Cpu)?;
            var.set(&values)?;
        }
    }
    for running in network.running.values_mut() {
        let mean = |m: &mut f32| *m = random.normal() * 0.2;
        running.mean.iter_mut().for_each(mean);
    }
    Ok(network)
}

#[test]
fn what_is_compiled_answers_as_what_was_trained() -> Result<()> {
    let all = [
        (Architecture::MobilenetV1 { width: 0.25 }, [32, 32, 3]),
        (Architecture::MobilenetV2 { width: 0.35 }, [33, 32, 3]),
        (
            Architecture::MobilenetV3Small {
                width: 0.5,
                dropout: 0.1,
            },
            [40, 33, 3],
        ),
        (
            Architecture::EfficientnetLite0 { dropout: 0.1 },
            [35, 32, 3],
        ),
        (Architecture::DsCnn { channels: 16 }, [49, 10, 1]),
        (Architecture::Gru { units: 12 }, [20, 10, 1]),
        (Architecture::Gru { units: 7 }, [6, 5, 2]),
        (
            Architecture::Resnet {
                stages: 2,
                blocks: 2,
                width: 0.5,
            },
            [16, 16, 3],
        ),
        (Architecture::Tiny { channels: 4 }, [16, 16, 1]),
        (
            Architecture::Mlp {
                layers: 2,
                hidden: 20,
                dropout: 0.1,
            },
            [4, 4, 2],
        ),
    ];
    for (architecture, [h, w, c]) in all {
        let network = trained(architecture, [h, w, c])?;
        let mut random = Random::new(5, 0);
        let pixels: Vec<f32> = (0..h * w * c).map(|_| random.normal()).collect();
        let x = Tensor::from_slice(&pixels, (1, h, w, c), &Device::Cpu)?;
        let wanted: Vec<f32> = network.evaluate(&x)?.flatten_all()?.to_vec1()?;
        let onnx = export::onnx(&network, "net", false)?;
        let program = cygnet_compiler::compile(&onnx, &CompileOptions::default())
            .unwrap()
            .program;
        let mut runner = Runner::from_bytes(&program.bytes, &RunnerOptions::default()).unwrap();
        let planes = (0..c).flat_map(|k| pixels.iter().skip(k).step_by(c).copied());
        let planes = Array::from_f32(&[1, c, h, w], &planes.collect::<Vec<_>>());
        runner.set_input(0, &planes).unwrap();
        runner.run().unwrap();
        let got = runner.output(0).unwrap().to_f32();
        let peak = wanted.iter().fold(0f32, |p, v| p.max(v.abs()));
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!(
                (got - wanted).abs() < 2e-4 * peak,
                "{architecture:?}: {got} for {wanted} of {peak}"
            );
        }
    }
    Ok(())
}
