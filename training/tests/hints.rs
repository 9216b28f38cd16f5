//! Learning from the inside of a teacher: gradients, and what it does to a student.

use candle_core::{Device, Tensor, Var};
use cygnet_training::TrainingError;
use cygnet_training::data::{Samples, Values};
use cygnet_training::fit::{Settings, Teacher, Unwatched, fit};
use cygnet_training::hints::{Hints, attention, similarity};
use cygnet_training::model::Architecture;
use cygnet_training::network::Network;
use cygnet_training::optimize::{Optimizer, Rule};
use cygnet_training::random::Random;

type Result<T> = std::result::Result<T, TrainingError>;

const SHAPE: [usize; 3] = [16, 16, 1];

fn networks() -> Result<(Network, Network)> {
    let build =
        |channels, seed| Architecture::Tiny { channels }.build(SHAPE, 4, seed, &Device::Cpu);
    Ok((build(4, 1)?, build(8, 2)?))
}

fn images(batch: usize) -> Result<Tensor> {
    let mut random = Random::new(5, 0);
    let values = (0..batch * 256).map(|_| random.normal()).collect();
    Ok(Tensor::from_vec(values, (batch, 16, 16, 1), &Device::Cpu)?)
}

#[test]
fn maps_have_the_length_one() -> Result<()> {
    let x = images(6)?;
    let rows = attention(&x)?;
    assert_eq!(rows.dims(), [6, 256]);
    for length in rows.sqr()?.sum(1)?.to_vec1::<f32>()? {
        assert!((length - 1.0).abs() < 1e-4, "{length}");
    }
    // Of the sixth part, for the batch.
    for length in similarity(&x)?.sqr()?.sum(1)?.to_vec1::<f32>()? {
        assert!((6.0 * length - 1.0).abs() < 1e-4, "{length}");
    }
    // A network's values against themselves, or twice as large, are no loss.
    let twice = (&x * 2.0)?;
    let loss = Hints::loss(&[x], &[twice], (1.0, 1.0))?.unwrap();
    assert!(loss.to_scalar::<f32>()? < 1e-8);
    Ok(())
}

#[test]
fn stages_of_the_same_size_are_compared() -> Result<()> {
    let (student, teacher) = networks()?;
    let hints = Hints::of(&student, &teacher);
    let sizes =
        |network: &Network, values: &[cygnet_training::network::Value]| -> Vec<Vec<usize>> {
            let nodes = values.iter().map(|v| &network.nodes[v.index()]);
            nodes.map(|n| n.shape[..2].to_vec()).collect()
        };
    assert_eq!(sizes(&student, &hints.student), [[8, 8], [4, 4], [2, 2]]);
    assert_eq!(sizes(&teacher, &hints.teacher), [[8, 8], [4, 4], [2, 2]]);
    Ok(())
}

/// The loss of the inside alone, and its gradients against differences along each.
#[test]
fn gradients_equal_finite_differences() -> Result<()> {
    let (mut student, teacher) = networks()?;
    let hints = Hints::of(&student, &teacher);
    let x = images(32)?;
    let mut told = teacher.evaluate_with(&x, &hints.teacher)?;
    told.truncate(hints.teacher.len());
    for weights in [(1.0, 0.0), (0.0, 1.0), (0.5, 2.0)] {
        let loss = |student: &mut Network| -> Result<(f64, cygnet_training::network::Gradients)> {
            let pass = student.train(&x, &mut Random::new(1, 3), &hints.student)?;
            let loss = Hints::loss(&pass.outputs, &told, weights)?.unwrap();
            let value = f64::from(loss.to_scalar::<f32>()?);
            Ok((value, pass.gradients(student, &loss)?))
        };
        let (_, gradients) = loss(&mut student)?;
        let mut checked = 0;
        for (name, gradient) in &gradients {
            let slope = f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
            let var: Var = student.parameters[name].clone();
            let before = var.as_tensor().copy()?;
            let length = f64::from(before.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
            if slope * length < 1e-3 {
                continue;
            }
            let mut off = f64::INFINITY;
            // Long steps meet the kinks of activations, short ones rounding.
            for share in [3e-2, 1e-2, 3e-3, 1e-3, 3e-4] {
                let step = share * length;
                let mut at = |far: f64| -> Result<f64> {
                    var.set(&(&before + (gradient * (far / slope))?)?)?;
                    Ok(loss(&mut student)?.0)
                };
                let found = (at(step)? - at(-step)?) / (2.0 * step);
                off = off.min((found - slope).abs() / slope);
            }
            var.set(&before)?;
            assert!(off < 0.03, "{name} {weights:?}: {off}");
            checked += 1;
        }
        assert!(checked > 8, "{checked} parameters were checked");
        // The classifier has no part in it.
        let unused = gradients
            .get("classifier.weight")
            .map(|g| g.abs()?.max_all()?.to_scalar::<f32>());
        assert!(unused.transpose()?.is_none_or(|most| most == 0.0));
    }
    Ok(())
}

/// Pictures of four kinds: a bright quarter.
fn samples() -> Samples {
    let mut random = Random::new(9, 0);
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for i in 0..160 {
        let class = i % 4;
        for y in 0..16 {
            for x in 0..16 {
                let inside = (y / 8 * 2 + x / 8) == class;
                values.push(random.normal() * 0.8 + if inside { 0.6 } else { 0.0 });
            }
        }
        labels.push(class as u32);
    }
    Samples {
        shape: SHAPE,
        values: Values::Floats(values),
        labels,
        classes: ["a", "b", "c", "d"].map(String::from).to_vec(),
        ..Samples::default()
    }
}

#[test]
fn a_student_comes_to_look_where_its_teacher_does() -> Result<()> {
    let samples = samples();
    let all: Vec<usize> = (0..160).collect();
    let data = (&samples, &all[..128], &all[128..]);
    let settings = |attention, features| Settings {
        epochs: 4,
        batch: 32,
        rate: 0.01,
        attention,
        features,
        ..Settings::default()
    };
    let (_, mut teacher) = networks()?;
    fit(
        &mut teacher,
        data,
        &settings(0.0, 0.0),
        None,
        None,
        &mut Unwatched,
    )?;
    // By the inside alone, it falls.
    for weights in [(1.0, 0.0), (0.0, 1.0)] {
        let (mut student, _) = networks()?;
        let hints = Hints::of(&student, &teacher);
        let x = samples.plain(&all[..64], &Device::Cpu)?;
        let told = teacher.evaluate_with(&x, &hints.teacher)?;
        let mut optimizer = Optimizer::new(Rule::ADAMW, 0.0);
        let mut losses = Vec::new();
        for _ in 0..80 {
            let pass = student.train(&x, &mut Random::new(1, 3), &hints.student)?;
            let inside = &pass.outputs[..hints.student.len()];
            let loss = Hints::loss(inside, &told, weights)?.unwrap();
            losses.push(loss.to_scalar::<f32>()?);
            let gradients = pass.gradients(&student, &loss)?;
            optimizer.step(&student, &gradients, 0.01, 1.0)?;
        }
        let (first, last) = (losses[0], losses[79]);
        assert!(last < 0.6 * first, "{weights:?}: {first} to {last}");
    }
    // Beside answers, it changes what is learnt.
    let learn = |weights: (f32, f32)| -> Result<Vec<f32>> {
        let (mut student, _) = networks()?;
        let told = Some(Teacher::Network(&teacher));
        fit(
            &mut student,
            data,
            &settings(weights.0, weights.1),
            told,
            None,
            &mut Unwatched,
        )?;
        Ok(student.parameter("stem.weight")?.flatten_all()?.to_vec1()?)
    };
    let (without, looks, alike) = (learn((0.0, 0.0))?, learn((5.0, 0.0))?, learn((0.0, 5.0))?);
    assert!(without != looks && without != alike && looks != alike);
    // What has no inside cannot be asked for it.
    let answers = vec![0.0; 160 * 4];
    let (mut student, _) = networks()?;
    let told = Some(Teacher::Answers(&answers));
    let refused = fit(
        &mut student,
        data,
        &settings(1.0, 0.0),
        told,
        None,
        &mut Unwatched,
    );
    assert!(refused.unwrap_err().to_string().contains("[teacher.model]"));
    Ok(())
}
