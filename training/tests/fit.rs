//! A network is trained, resumed, distilled, exported and compiled.
use candle_core::Device;
use cygnet_compiler::CompileOptions;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_training::data::{Augment, Samples, Shares, Split, Values};
use cygnet_training::fit::{Epoch, History, Settings, Teacher, Unwatched, Watch, fit, judge};
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::random::Random;
use cygnet_training::schedule::Schedule;
use cygnet_training::state::State;
use cygnet_training::{TrainingError, export};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Bars of three directions, 16 x 16, in noise.
fn bars(n: usize) -> Samples {
    let mut samples = Samples {
        shape: [16, 16, 1],
        classes: ["across", "down", "slanted"].map(String::from).to_vec(),
        ..Samples::default()
    };
    let mut values = Vec::new();
    for i in 0..n {
        let mut random = Random::new(4, i as u64);
        let label = random.below(3);
        let at = random.between(4.0, 11.0);
        for y in 0..16 {
            for x in 0..16 {
                let (x, y) = (x as f32, y as f32);
                let far = match label {
                    0 => y - at,
                    1 => x - at,
                    _ => (x + y) / 2.0 - at,
                };
                let ink = (1.5 - far.abs()).clamp(0.0, 1.0) * 0.6 + 0.2 + 0.15 * random.normal();
                values.push((ink.clamp(0.0, 1.0) * 255.0) as u8);
            }
        }
        samples.labels.push(label as u32);
    }
    samples.values = Values::Bytes(values);
    samples
}

fn split(samples: &Samples) -> Split {
    let shares = Shares {
        validation: 0.2,
        test: 0.2,
    };
    Split::by_content(samples, shares)
}

fn settings(epochs: usize) -> Settings {
    Settings {
        epochs,
        batch: 32,
        rate: 5e-3,
        augment: Augment {
            shift: 0.1,
            noise: 0.05,
            ..Augment::default()
        },
        ..Settings::default()
    }
}

fn tiny(channels: usize) -> Outcome<Network> {
    let architecture = Architecture::Tiny { channels };
    Ok(architecture.build([16, 16, 1], 3, 1, &Device::Cpu)?)
}

#[test]
fn learns_and_runs_compiled() -> Outcome {
    let samples = bars(600);
    let split = split(&samples);
    let mut network = tiny(8)?;
    let before = judge(&network, &samples, &split.test)?;
    let data = (&samples, &split.train[..], &split.validation[..]);
    let history = fit(
        &mut network,
        data,
        &settings(20),
        None,
        None,
        &mut Unwatched,
    )?;
    let after = judge(&network, &samples, &split.test)?;
    assert!(
        before.accuracy() < 0.6 && after.accuracy() > 0.95,
        "{before:?} {after:?}"
    );
    let (first, last) = (history.epochs[0], history.epochs[history.epochs.len() - 1]);
    assert!(last.train_loss < 0.6 * first.train_loss, "{history:?}");

    let onnx = export::onnx(&network, "bars", false)?;
    let compiled = cygnet_compiler::compile(&onnx, &CompileOptions::default())?;
    let mut runner = Runner::from_bytes(&compiled.program.bytes, &RunnerOptions::default())?;
    for &i in split.test.iter().take(8) {
        let x = samples.floats(i);
        let want = network
            .evaluate(&samples.plain(&[i], &Device::Cpu)?)?
            .flatten_all()?
            .to_vec1::<f32>()?;
        runner.set_input(0, &Array::from_f32(&[1, 1, 16, 16], &x))?;
        runner.run()?;
        for (got, want) in runner.output(0)?.to_f32().iter().zip(&want) {
            assert!((got - want).abs() < 1e-3, "{got} for {want}");
        }
    }
    Ok(())
}

/// Stops a run after some epochs, with its state through a file.
struct Interrupt {
    after: usize,
    folder: tempfile::TempDir,
}

impl Watch for Interrupt {
    fn epoch(&mut self, epoch: &Epoch, _: bool, state: &State) -> Result<(), TrainingError> {
        state.save(&self.folder.path().join("state.safetensors"))?;
        if epoch.epoch == self.after {
            return Err(TrainingError::Data("interrupted".into()));
        }
        Ok(())
    }
}

/// Keeps the history that the watcher sees.
#[derive(Default)]
struct Seen(History);

impl Watch for Seen {
    fn epoch(&mut self, epoch: &Epoch, _: bool, _: &State) -> Result<(), TrainingError> {
        self.0.epochs.push(*epoch);
        Ok(())
    }
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() -> Outcome {
    resumed(settings(4))?;
    // With an average of the parameters, which the checkpoint holds too.
    resumed(Settings {
        average: 0.9,
        accumulate: 2,
        schedule: Schedule::OneCycle,
        batch: 16,
        ..settings(4)
    })
}

fn resumed(settings: Settings) -> Outcome {
    let samples = bars(300);
    let split = split(&samples);
    let data = (&samples, &split.train[..], &split.validation[..]);
    let mut whole = tiny(4)?;
    let mut seen = Seen::default();
    fit(&mut whole, data, &settings, None, None, &mut seen)?;

    let mut part = tiny(4)?;
    let mut interrupt = Interrupt {
        after: 2,
        folder: tempfile::tempdir()?,
    };
    let stopped = fit(&mut part, data, &settings, None, None, &mut interrupt);
    assert!(stopped.is_err());
    let state = State::load(&interrupt.folder.path().join("state.safetensors"))?;
    let history = History {
        epochs: seen.0.epochs[..2].to_vec(),
    };
    let mut resumed = tiny(4)?;
    fit(
        &mut resumed,
        data,
        &settings,
        None,
        Some((state, history)),
        &mut Unwatched,
    )?;
    for (name, tensor) in State::parameters_of(&whole)? {
        let other = &State::parameters_of(&resumed)?[&name];
        assert_eq!(
            tensor.flatten_all()?.to_vec1::<f32>()?,
            other.flatten_all()?.to_vec1::<f32>()?,
            "{name}"
        );
    }
    let other = tiny(8).and_then(|mut n| {
        Ok(State::restore_parameters(
            &State::parameters_of(&whole)?,
            &mut n,
        )?)
    });
    assert!(other.unwrap_err().to_string().contains("another network"));
    Ok(())
}

/// Gradients of two halves of a batch, added up, step as that of the whole, where no statistics of a batch come in.
#[test]
fn accumulated_gradients_are_those_of_the_whole() -> Outcome {
    let samples = bars(64);
    let all: Vec<usize> = (0..64).collect();
    let run = |batch: usize, accumulate: usize| -> Outcome<Vec<f32>> {
        let settings = Settings {
            batch,
            accumulate,
            epochs: 2,
            augment: Augment::default(),
            ..settings(2)
        };
        let mut network = tiny(4)?.folded()?;
        let data = (&samples, &all[..], &all[..]);
        fit(&mut network, data, &settings, None, None, &mut Unwatched)?;
        let weights = network.parameter("classifier.weight")?.flatten_all()?;
        Ok(weights.to_vec1()?)
    };
    let (whole, halves) = (run(32, 1)?, run(16, 2)?);
    let begin = tiny(4)?
        .parameter("classifier.weight")?
        .flatten_all()?
        .to_vec1::<f32>()?;
    for ((a, b), c) in whole.iter().zip(&halves).zip(&begin) {
        assert!(
            (a - b).abs() < 0.02 * (a - c).abs().max(1e-3),
            "{a} {b}, from {c}"
        );
    }
    Ok(())
}

/// The kept state is the average of the last ones, which differs from the last.
#[test]
fn the_average_is_kept() -> Outcome {
    let samples = bars(300);
    let split = split(&samples);
    let data = (&samples, &split.train[..], &split.validation[..]);
    let run = |average: f32| -> Outcome<(f32, Vec<f32>)> {
        let settings = Settings {
            average,
            ..settings(12)
        };
        let mut network = tiny(8)?;
        fit(&mut network, data, &settings, None, None, &mut Unwatched)?;
        let weights = network
            .parameter("classifier.weight")?
            .flatten_all()?
            .to_vec1()?;
        Ok((judge(&network, &samples, &split.test)?.accuracy(), weights))
    };
    let ((plain, last), (averaged, mean)) = (run(0.0)?, run(0.95)?);
    assert!(plain > 0.75 && averaged > 0.75, "{plain} {averaged}");
    assert_ne!(last, mean);
    Ok(())
}

#[test]
fn a_student_learns_from_its_teacher() -> Outcome {
    let samples = bars(600);
    let split = split(&samples);
    let data = (&samples, &split.train[..], &split.validation[..]);
    let mut teacher = tiny(12)?;
    fit(
        &mut teacher,
        data,
        &settings(20),
        None,
        None,
        &mut Unwatched,
    )?;
    // Labels to learn from that tell nothing: what the student learns comes from the teacher.
    let mut blind = samples.clone();
    for &i in &split.train {
        blind.labels[i] = (i % 3) as u32;
    }
    let told = Settings {
        teacher_share: 1.0,
        ..settings(20)
    };
    let mut student = tiny(4)?;
    let data = (&blind, &split.train[..], &split.validation[..]);
    fit(
        &mut student,
        data,
        &told,
        Some(Teacher::Network(&teacher)),
        None,
        &mut Unwatched,
    )?;
    let judged = judge(&student, &samples, &split.test)?;
    assert!(judged.accuracy() > 0.8, "{judged:?}");

    // The same from answers that were given before.
    let all: Vec<usize> = (0..samples.len()).collect();
    let answers = teacher.evaluate(&samples.plain(&all, &Device::Cpu)?)?;
    let answers = answers.flatten_all()?.to_vec1::<f32>()?;
    let mut other = tiny(4)?;
    let from = Some(Teacher::Answers(&answers));
    fit(&mut other, data, &told, from, None, &mut Unwatched)?;
    let judged = judge(&other, &samples, &split.test)?;
    assert!(judged.accuracy() > 0.8, "{judged:?}");
    let few = Some(Teacher::Answers(&answers[1..]));
    let wrong = fit(&mut other, data, &told, few, None, &mut Unwatched).unwrap_err();
    assert!(
        wrong.to_string().contains("answers for 600 samples"),
        "{wrong}"
    );
    Ok(())
}

#[test]
fn mistakes_are_named() -> Outcome {
    let samples = bars(30);
    let all: Vec<usize> = (0..30).collect();
    let mut network = tiny(4)?;
    let mut said = |settings: &Settings, train: &[usize], validation: &[usize]| {
        fit(
            &mut network,
            (&samples, train, validation),
            settings,
            None,
            None,
            &mut Unwatched,
        )
        .unwrap_err()
        .to_string()
    };
    let none = said(&settings(1), &all, &[]);
    assert!(none.contains("0 to choose by"), "{none}");
    let rate = Settings {
        rate: -1.0,
        ..settings(1)
    };
    assert!(said(&rate, &all, &all).contains("rate = -1"));
    let wild = Settings {
        rate: 1e30,
        clip: 0.0,
        warmup: 0.0,
        ..settings(20)
    };
    let wild = said(&wild, &all, &all);
    assert!(wild.contains("lower the learning rate"), "{wild}");
    Ok(())
}
