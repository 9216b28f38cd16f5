//! The features of a bundle are those of the trainer.
use candle_core::Device;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::quantize::{self, Precision, Sample};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_compiler::{CompileOptions, import};
use cygnet_training::data::{Samples, Values};
use cygnet_training::export::{self, Answer};
use cygnet_training::front::{Features, Front, Kind, Spectrum};
use cygnet_training::model::Architecture;
use cygnet_training::network::Builder;
use cygnet_training::random::Random;
use prost::Message;
use tract_onnx::pb::{ModelProto, ValueInfoProto};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const RATE: u32 = 8000;
const LENGTH: usize = 4000;

/// Tones that rise or fall, loud and quiet, in noise; one is silent.
fn tones(kind: Kind) -> Outcome<Samples> {
    let mut samples = Samples {
        shape: [1, LENGTH, 1],
        classes: ["fall", "rise"].map(String::from).to_vec(),
        ..Samples::default()
    };
    let mut values = Vec::new();
    for i in 0..24u64 {
        let mut random = Random::new(9, i);
        let label = i % 2;
        let (pitch, loud) = (random.between(200.0, 900.0), random.between(0.0, 0.9));
        let mut phase = 0.0;
        for t in 0..LENGTH {
            let along = t as f32 / LENGTH as f32;
            let along = if label == 1 { along } else { 1.0 - along };
            phase += std::f32::consts::TAU * pitch * (1.0 + along) / RATE as f32;
            let v = if i == 0 {
                0.0
            } else {
                loud * phase.sin() + 0.003 * random.normal()
            };
            values.push((v * 32767.0).clamp(-32768.0, 32767.0) as i16);
        }
        samples.labels.push(label as u32);
    }
    samples.values = Values::Sound(values);
    let features = Features {
        kind,
        window: 0.032,
        hop: 0.016,
        bands: 24,
        high: 3800.0,
        ..Features::default()
    };
    samples.front = Front::Spectrum(Spectrum::new(&features, RATE, LENGTH)?);
    let train: Vec<usize> = (0..16).collect();
    samples.settle(&train)?;
    Ok(samples)
}

fn trainers(samples: &Samples, i: usize) -> Outcome<Vec<f32>> {
    let x = samples.plain(&[i], &Device::Cpu)?;
    Ok(x.flatten_all()?.to_vec1::<f32>()?)
}

fn array(samples: &Samples, i: usize) -> Array {
    let (shape, values) = export::input(samples, i);
    Array::from_f32(&shape, &values)
}

#[test]
fn float_bundles_have_the_trainers_features() -> Outcome {
    for kind in [Kind::LogMel, Kind::Mfcc] {
        let samples = tones(kind)?;
        let mut b = Builder::new(&Device::Cpu, 1);
        let x = b.input(&samples.input_shape())?;
        b.flatten("flat", x)?;
        let network = b.finish()?;
        let onnx = export::with_front(&network, &samples.front, "features", Answer::Logits)?;
        let compiled = cygnet_compiler::compile(&onnx, &CompileOptions::default())?;
        let mut runner = Runner::from_bytes(&compiled.program.bytes, &RunnerOptions::default())?;
        for i in 0..samples.len() {
            runner.set_input(0, &array(&samples, i))?;
            runner.run()?;
            let want = trainers(&samples, i)?;
            let got = runner.output(0)?.to_f32();
            assert_eq!(got.len(), want.len());
            for (g, w) in got.iter().zip(&want) {
                assert!((g - w).abs() < 1e-3, "{kind:?} {i}: {g} for {w}");
            }
        }
        // Means and deviations are those of the samples to learn from.
        let all: Vec<f32> = (0..16)
            .flat_map(|i| trainers(&samples, i).unwrap())
            .collect();
        let width = samples.input_shape()[1];
        for k in 0..width {
            let of: Vec<f32> = all.iter().skip(k).step_by(width).copied().collect();
            let mean = of.iter().sum::<f32>() / of.len() as f32;
            let square = of.iter().map(|v| v * v).sum::<f32>() / of.len() as f32;
            assert!(
                mean.abs() < 1e-2 && (square - 1.0).abs() < 2e-2,
                "{mean} {square}"
            );
        }
    }
    Ok(())
}

#[test]
fn integer_bundles_have_the_trainers_features() -> Outcome {
    for kind in [Kind::LogMel, Kind::Mfcc] {
        let samples = tones(kind)?;
        let architecture = Architecture::Tiny { channels: 4 };
        let network = architecture.build(samples.input_shape(), 2, 1, &Device::Cpu)?;
        let onnx = export::with_front(&network, &samples.front, "tones", Answer::Probabilities)?;
        // The features are an output as well: before they are shaped as an image, which is done with the network's integers.
        let mut model = ModelProto::decode(&onnx[..])?;
        let graph = model.graph.as_mut().ok_or("the model has no graph")?;
        graph.output.push(ValueInfoProto {
            name: format!("{}mean", export::FRONT),
            ..graph.output[0].clone()
        });
        graph.output[1].r#type = None;
        let onnx = model.encode_to_vec();

        let mut choices = CompileOptions::default();
        choices.keep_float = vec![format!("{}*", export::FRONT)];
        let mut options = quantize::Options::default();
        options.precision = Precision::Int8;
        let calibration: Vec<Sample> = (0..16)
            .map(|i| Sample {
                name: i.to_string(),
                inputs: vec![array(&samples, i)],
                continues: false,
            })
            .collect();
        let graph = import::onnx(&onnx, &choices.import)?;
        let done = quantize::compile(graph.clone(), &choices, &options, &calibration)?;
        assert!(
            done.record.integer_steps >= 9,
            "{}",
            done.record.integer_steps
        );
        let stays = done.record.float_layers.iter();
        let kept = stays.filter(|l| l.node.contains(export::FRONT));
        assert!(kept.count() >= 3, "{:?}", done.record.float_layers);

        let mut runner =
            Runner::from_bytes(&done.compiled.program.bytes, &RunnerOptions::default())?;
        for i in 0..samples.len() {
            runner.set_input(0, &array(&samples, i))?;
            runner.run()?;
            for (g, w) in runner
                .output(1)?
                .to_f32()
                .iter()
                .zip(&trainers(&samples, i)?)
            {
                assert!((g - w).abs() < 1e-3, "{kind:?} {i}: {g} for {w}");
            }
        }
        choices.keep_float.push("nothing".into());
        let error = quantize::compile(graph, &choices, &options, &calibration).unwrap_err();
        assert!(error.to_string().contains("`nothing`"), "{error}");
    }
    Ok(())
}
