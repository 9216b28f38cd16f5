//! EfficientNet-Lite0 with public ImageNet weights (`./test.sh --data`), as a project begins with them.
use candle_core::{Device, Tensor};
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::model::Architecture;
use cygnet_training::random::Random;
use cygnet_training::transfer::Transfer;
use std::path::PathBuf;

const SIZE: usize = 224;

#[test]
fn public_weights_answer_as_the_public_model() {
    let cache = std::env::var_os("CYGNET_CACHE").map(PathBuf::from);
    let made = cache.unwrap_or_default().join("made");
    let file = made.join("efficientnet_lite0.safetensors");
    // A quick run has no data.
    if !file.exists() {
        eprintln!(
            "skipped: {} is not there; ./test.sh --data makes it",
            file.display()
        );
        return;
    }
    let architecture = Architecture::EfficientnetLite0 { dropout: 0.2 };
    let build = |classes| {
        let shape = [SIZE, SIZE, 3];
        architecture.build(shape, classes, 1, &Device::Cpu).unwrap()
    };
    let transfer = Transfer {
        file: Some(file),
        freeze: vec!["normalise".into(), "*0".into()],
    };
    let found = transfer.read(&PathBuf::new()).unwrap();
    let mut network = build(1000);
    let taken = transfer.apply(&mut network, &found).unwrap();
    assert!(taken.anew.is_empty() && taken.layers == 51, "{taken:?}");
    // Of other classes, all but the last layer.
    let taken = transfer.apply(&mut build(7), &found).unwrap();
    assert_eq!(taken.anew, ["classifier"]);

    // Smooth, as photographs are.
    let mut random = Random::new(3, 0);
    let waves: Vec<[f32; 4]> = (0..12).map(|_| [0; 4].map(|_| random.normal())).collect();
    let pixel = |y: usize, x: usize, c: usize| -> f32 {
        let (v, u) = (y as f32 / 224.0, x as f32 / 224.0);
        let sum: f32 = waves
            .iter()
            .map(|w| (9.0 * (w[0] * v + w[1] * u) + w[2] * c as f32 + w[3]).sin())
            .sum();
        0.5 + sum * 0.1
    };
    let mut last = Vec::new();
    for y in 0..SIZE {
        for x in 0..SIZE {
            last.extend((0..3).map(|c| pixel(y, x, c)));
        }
    }
    let x = Tensor::from_slice(&last, (1, SIZE, SIZE, 3), &Device::Cpu).unwrap();
    let own: Vec<f32> = network
        .evaluate(&x)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap();

    let onnx = std::fs::read(made.join("efficientnet_lite0.onnx")).unwrap();
    let program = cygnet_compiler::compile(&onnx, &CompileOptions::default())
        .unwrap()
        .program;
    let mut runner = Runner::from_bytes(&program.bytes, &RunnerOptions::default()).unwrap();
    let planes = (0..3).flat_map(|c| last.iter().skip(c).step_by(3));
    let planes: Vec<f32> = planes.map(|v| (v * 255.0 - 127.0) / 128.0).collect();
    runner
        .set_input(0, &Array::from_f32(&[1, 3, SIZE, SIZE], &planes))
        .unwrap();
    runner.run().unwrap();
    let theirs = runner.output(0).unwrap().to_f32();
    let peak = theirs.iter().fold(0f32, |p, v| p.max(v.abs()));
    let off = own
        .iter()
        .zip(&theirs)
        .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(off < 1e-3 * peak, "{off} of {peak}");
}
