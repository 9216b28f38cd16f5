//! The score of a bundle is the trainer's reconstruction error; rows are read by both alike.
use candle_core::Device;
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::anomaly::{Anomaly, Found, errors};
use cygnet_training::data::{Augment, Samples, Split, Task, Values};
use cygnet_training::export::{self, Answer};
use cygnet_training::fit::{Settings, Unwatched, fit};
use cygnet_training::front::{Column, Features, Front, Spectrum, Table};
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::random::Random;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn samples(n: usize, shape: [usize; 3], values: Values) -> Samples {
    Samples {
        shape,
        values,
        labels: vec![0; n],
        classes: vec!["normal".into()],
        task: Task::Reconstruction(0),
        ..Samples::default()
    }
}

fn autoencoder(samples: &Samples) -> Outcome<Network> {
    let architecture = Architecture::Autoencoder {
        layers: 1,
        hidden: 12,
        bottleneck: 3,
    };
    Ok(architecture.build(samples.input_shape(), 1, 1, &Device::Cpu)?)
}

/// Runs all samples through a compiled model.
fn run(onnx: &[u8], samples: &Samples) -> Outcome<Vec<Vec<f32>>> {
    let compiled = cygnet_compiler::compile(onnx, &CompileOptions::default())?;
    let mut runner = Runner::from_bytes(&compiled.program.bytes, &RunnerOptions::default())?;
    let mut all = Vec::new();
    for i in 0..samples.len() {
        let (shape, values) = export::input(samples, i);
        runner.set_input(0, &Array::from_f32(&shape, &values))?;
        runner.run()?;
        all.push(runner.output(0)?.to_f32());
    }
    Ok(all)
}

/// Three numbers of very different size, a category before and one behind them.
fn rows(n: usize) -> Samples {
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let columns = vec![
        Column::category("colour", names(&["blue", "green", "red"])),
        Column::number("year"),
        Column::number("mass"),
        Column::number("same"),
        Column::category("kind", names(&["a", "b"])),
    ];
    let mut values = Vec::new();
    for i in 0..n {
        let mut random = Random::new(3, i as u64);
        values.extend([
            random.below(3) as f32,
            2000.0 + 20.0 * random.uniform(),
            1e-6 * random.uniform(),
            7.0,
            random.below(2) as f32,
        ]);
    }
    Samples {
        front: Front::Table(Table::new(columns)),
        ..samples(n, [1, 1, 5], Values::Floats(values))
    }
}

#[test]
fn scores_are_errors_over_the_threshold() -> Outcome {
    let mut random = Random::new(5, 0);
    let bytes = (0..10 * 60).map(|_| random.below(256) as u8).collect();
    let pictures = samples(10, [4, 5, 3], Values::Bytes(bytes));
    let sound = (0..10 * 800).map(|_| random.below(20_000) as i16).collect();
    let features = Features {
        window: 0.02,
        hop: 0.02,
        bands: 8,
        ..Features::default()
    };
    let mut sounds = samples(10, [1, 800, 1], Values::Sound(sound));
    sounds.front = Front::Spectrum(Spectrum::new(&features, 8000, 800)?);
    for mut samples in [pictures, sounds, rows(10)] {
        samples.settle(&[0, 1, 2, 3, 4, 5])?;
        let network = autoencoder(&samples)?;
        let answer = Answer::Score { threshold: 0.5 };
        let onnx = export::with_front(&network, &samples.front, "score", answer)?;
        let numbers: Vec<usize> = (0..10).collect();
        let want = errors(&network, &samples, &numbers)?;
        for (got, want) in run(&onnx, &samples)?.iter().zip(&want) {
            assert_eq!(got.len(), 1);
            let want = want / 0.5;
            assert!(
                (got[0] - want).abs() < 1e-3 * want.max(1.0),
                "{got:?} for {want}"
            );
        }
    }
    Ok(())
}

#[test]
fn rows_are_standardised_in_the_bundle() -> Outcome {
    let mut samples = rows(200);
    samples.task = Task::Classes;
    samples.classes.push("other".into());
    let train: Vec<usize> = (0..150).collect();
    samples.settle(&train)?;
    // Numbers first: year, mass, same; then three colours and two kinds.
    assert_eq!(samples.input_shape(), [1, 1, 8]);
    let x = samples.plain(&train, &Device::Cpu)?.flatten_from(1)?;
    let x = x.to_vec2::<f32>()?;
    for k in 0..2 {
        let mean = x.iter().map(|r| r[k]).sum::<f32>() / 150.0;
        let square = x.iter().map(|r| r[k] * r[k]).sum::<f32>() / 150.0;
        assert!(
            mean.abs() < 1e-2 && (square - 1.0).abs() < 1e-2,
            "{mean} {square}"
        );
    }
    for row in &x {
        assert_eq!(row[2], 0.0);
        assert_eq!(row[3..6].iter().sum::<f32>(), 1.0);
        assert_eq!(row[6..].iter().sum::<f32>(), 1.0);
        assert!(row[3..].iter().all(|v| *v == 0.0 || *v == 1.0));
    }
    let architecture = Architecture::Mlp {
        layers: 2,
        hidden: 16,
        dropout: 0.2,
    };
    let network = architecture.build(samples.input_shape(), 2, 1, &Device::Cpu)?;
    let onnx = export::with_front(&network, &samples.front, "rows", Answer::Logits)?;
    let numbers: Vec<usize> = (0..samples.len()).collect();
    let want = network.evaluate(&samples.plain(&numbers, &Device::Cpu)?)?;
    for (got, want) in run(&onnx, &samples)?.iter().zip(want.to_vec2::<f32>()?) {
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() < 1e-3, "{g} for {w}");
        }
    }
    Ok(())
}

#[test]
fn an_autoencoder_learns_what_is_normal() -> Outcome {
    // Points of a line in the space, and points off it.
    let mut values = Vec::new();
    let mut labels = Vec::new();
    for i in 0..400 {
        let mut random = Random::new(8, i);
        let t = random.between(-1.0, 1.0);
        let off = if i % 4 == 0 { 0.8 } else { 0.0 };
        values.extend([t, 2.0 * t, -t + off, 0.05 * random.normal() - off, t]);
        labels.push(u32::from(i % 4 == 0));
    }
    let columns = ["a", "b", "c", "d", "e"].map(Column::number).to_vec();
    let mut samples = Samples {
        front: Front::Table(Table::new(columns)),
        labels,
        classes: vec!["normal".into(), "odd".into()],
        ..samples(400, [1, 1, 5], Values::Floats(values))
    };
    let normal = |i: &usize| !i.is_multiple_of(4);
    let split = Split {
        train: (0..240).filter(normal).collect(),
        validation: (240..300).filter(normal).collect(),
        test: (300..400).chain((0..300).filter(|i| !normal(i))).collect(),
    };
    samples.settle(&split.train)?;
    let mut network = autoencoder(&samples)?;
    let settings = Settings {
        epochs: 60,
        batch: 32,
        rate: 1e-2,
        augment: Augment {
            noise: 0.05,
            ..Augment::default()
        },
        ..Settings::default()
    };
    let data = (&samples, &split.train[..], &split.validation[..]);
    let history = fit(&mut network, data, &settings, None, None, &mut Unwatched)?;
    let last = history.best().ok_or("no epoch")?;
    assert!(
        last.validation_loss < 0.5 * history.epochs[0].validation_loss,
        "{history:?}"
    );
    let verdict = Anomaly::default().judge(&network, &samples, &split)?;
    let found = &verdict.found;
    assert!(found.auc.is_some_and(|auc| auc > 0.95), "{verdict:?}");
    assert!(found.right > 0.8 && found.false_alarms < 0.1, "{verdict:?}");
    let none = Found::of(&[0.1, 2.0], 1.0, &samples, &[1, 2]);
    assert_eq!((none.auc, none.found, none.false_alarms), (None, None, 0.5));
    Ok(())
}
