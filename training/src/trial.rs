//! Tests of a training system on the data and the network that it is about to train: whether learning works at all.
use crate::data::{Samples, Task};
use crate::error::TrainingError;
use crate::fit::{Epoch, History, Settings, Unwatched, Watch, fit, loss_of};
use crate::network::Network;
use crate::optimize::{Optimizer, Rule};
use crate::random::Random;
use crate::state::State;
use candle_core::{Tensor, Var};
use std::path::Path;

/// What a test came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it passed.
    pub passed: bool,
    /// What was seen, in words.
    pub said: String,
}

/// Samples of the batch that is learnt by heart.
const BATCH: usize = 16;
/// Steps in which it has to be.
const STEPS: usize = 200;
/// Share of the first loss that is left then.
const LEFT: f32 = 0.1;
const LEFT_OF_RECONSTRUCTIONS: f32 = 0.5;
/// Difference of a derivative by gradients and by differences, as a share.
const DERIVATIVE: f64 = 0.05;
/// Steps along a gradient, as shares of the parameter's length.
const SHARES: [f64; 4] = [1e-2, 3e-3, 1e-3, 3e-4];
/// Rounding of a loss.
const ROUNDING: f64 = 2e-6;
/// Samples of short runs.
const SOME: usize = 256;

/// The first samples of the order that training would take, and their targets.
fn batch(
    samples: &Samples,
    train: &[usize],
    network: &Network,
) -> Result<(Tensor, Tensor), TrainingError> {
    let mut order = train.to_vec();
    Random::new(1, 2).shuffle(&mut order);
    order.truncate(BATCH);
    let x = samples.plain(&order, &network.device)?;
    let targets = samples.targets(&order, 0.0, &network.device)?;
    Ok((x, targets))
}

/// A network that can learn the data learns a few samples by heart.
///
/// # Errors
/// Samples and a network that do not fit.
pub fn overfits_a_batch(
    mut network: Network,
    samples: &Samples,
    train: &[usize],
    settings: &Settings,
) -> Result<Outcome, TrainingError> {
    let (x, targets) = batch(samples, train, &network)?;
    let mut optimizer = Optimizer::new(Rule::ADAMW, 0.0);
    let mut random = Random::new(settings.seed, 3);
    // What is narrow in the middle holds no batch.
    let left = match samples.task {
        Task::Classes => LEFT,
        Task::Reconstruction(_) => LEFT_OF_RECONSTRUCTIONS,
    };
    let mut first = None;
    let mut last = f32::NAN;
    for step in 1..=STEPS {
        let pass = network.train(&x, &mut random, &[])?;
        let loss = loss_of(samples.task, pass.output(), &targets)?;
        last = loss.to_scalar::<f32>()?;
        let first = *first.get_or_insert(last);
        if last <= left * first {
            return Ok(Outcome {
                passed: true,
                said: format!(
                    "loss {first:.3} to {last:.3} on {} samples in {step} steps",
                    x.dim(0)?
                ),
            });
        }
        let gradients = pass.gradients(&network, &loss)?;
        optimizer.step(&network, &gradients, settings.rate, 1.0)?;
    }
    Ok(Outcome {
        passed: false,
        said: format!(
            "loss {:.3} to {last:.3} in {STEPS} steps, more than {:.0} % are left: the network is too small, [train] rate = {} does not suit it, or samples and labels do not belong together",
            first.unwrap_or(f32::NAN),
            left * 100.0,
            settings.rate
        ),
    })
}

/// Along its gradient, each parameter changes the loss as much as the gradient says.
///
/// # Errors
/// Samples and a network that do not fit.
pub fn gradients_are_right(
    mut network: Network,
    samples: &Samples,
    train: &[usize],
) -> Result<Outcome, TrainingError> {
    let (x, targets) = batch(samples, train, &network)?;
    let loss = |network: &mut Network| -> Result<f64, TrainingError> {
        let pass = network.train(&x, &mut Random::new(1, 3), &[])?;
        let logits = pass.output().to_dtype(candle_core::DType::F64)?;
        let targets = targets.to_dtype(candle_core::DType::F64)?;
        Ok(loss_of(samples.task, &logits, &targets)?.to_scalar::<f64>()?)
    };
    let pass = network.train(&x, &mut Random::new(1, 3), &[])?;
    let gradients = pass.gradients(&network, &loss_of(samples.task, pass.output(), &targets)?)?;
    let (mut worst, mut name, mut checked) = (0.0, String::new(), 0);
    for (parameter, gradient) in &gradients {
        let size = |t: &Tensor| -> Result<f64, TrainingError> {
            Ok(f64::from(t.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt())
        };
        let slope = size(gradient)?;
        let Some(var) = network.parameters.get(parameter) else {
            continue;
        };
        let (var, before): (Var, Tensor) = (var.clone(), var.as_tensor().copy()?);
        let length = size(&before)?.max(0.3);
        if slope < ROUNDING / (SHARES[0] * length) / DERIVATIVE {
            continue;
        }
        let mut at = |far: f64| -> Result<f64, TrainingError> {
            var.set(&(&before + (gradient * (far / slope))?)?)?;
            loss(&mut network)
        };
        // Long steps meet the kinks of activations, short ones the rounding of the loss: a derivative that is right agrees
        // with one of them, one that is wrong with none.
        let mut off = f64::INFINITY;
        for share in SHARES {
            let step = share * length;
            let found = (at(step)? - at(-step)?) / (2.0 * step);
            off = off.min((found - slope).abs() / slope);
        }
        var.set(&before)?;
        checked += 1;
        if off > worst {
            (worst, name) = (off, parameter.clone());
        }
    }
    Ok(Outcome {
        passed: checked > 0 && worst <= DERIVATIVE,
        said: format!(
            "{checked} parameters, at most {:.2} % off ({name})",
            worst * 100.0
        ),
    })
}

fn some(numbers: &[usize]) -> &[usize] {
    &numbers[..numbers.len().min(SOME)]
}

/// In three epochs over some of the data the loss falls.
///
/// # Errors
/// Samples and a network that do not fit.
pub fn loss_falls(
    mut network: Network,
    samples: &Samples,
    (train, validation): (&[usize], &[usize]),
    settings: &Settings,
) -> Result<Outcome, TrainingError> {
    let settings = Settings {
        epochs: 3,
        ..settings.clone()
    };
    let data = (samples, some(train), some(validation));
    let history = fit(&mut network, data, &settings, None, None, &mut Unwatched)?;
    let losses: Vec<f32> = history.epochs.iter().map(|e| e.train_loss).collect();
    let shown: Vec<String> = losses.iter().map(|l| format!("{l:.3}")).collect();
    Ok(Outcome {
        passed: losses.last() < losses.first(),
        said: format!("loss by epoch: {}", shown.join(", ")),
    })
}

/// Stops a run after its first epoch, with its state in a file.
struct Interrupt<'a>(&'a Path);

impl Watch for Interrupt<'_> {
    fn epoch(&mut self, epoch: &Epoch, _best: bool, state: &State) -> Result<(), TrainingError> {
        if epoch.epoch == 1 {
            state.save(self.0)?;
            return Err(TrainingError::Data("interrupted".into()));
        }
        Ok(())
    }
}

/// A run that is interrupted and resumed from its file ends as one that was not, bit for bit. `build` makes the network,
/// `file` is where the state goes meanwhile.
///
/// # Errors
/// Samples and a network that do not fit, a file that cannot be written.
pub fn resume_equals_uninterrupted(
    build: impl Fn() -> Result<Network, TrainingError>,
    samples: &Samples,
    (train, validation): (&[usize], &[usize]),
    settings: &Settings,
    file: &Path,
) -> Result<Outcome, TrainingError> {
    let settings = Settings {
        epochs: 2,
        ..settings.clone()
    };
    let data = (samples, some(train), some(validation));
    let (mut whole, mut first, mut second) = (build()?, build()?, build()?);
    let history = fit(&mut whole, data, &settings, None, None, &mut Unwatched)?;
    // The interruption is the error.
    let stopped = fit(
        &mut first,
        data,
        &settings,
        None,
        None,
        &mut Interrupt(file),
    );
    if stopped.is_ok() {
        return Err(TrainingError::Data("the run was not interrupted".into()));
    }
    let done = History {
        epochs: history.epochs[..1].to_vec(),
    };
    let resume = Some((State::load(file)?, done));
    fit(&mut second, data, &settings, None, resume, &mut Unwatched)?;
    let (a, b) = (
        State::parameters_of(&whole)?,
        State::parameters_of(&second)?,
    );
    for (name, a) in &a {
        let bits = |t: &Tensor| -> Result<Vec<u32>, TrainingError> {
            let values = t.flatten_all()?.to_vec1::<f32>()?;
            Ok(values.into_iter().map(f32::to_bits).collect())
        };
        if b.get(name).map(bits).transpose()? != Some(bits(a)?) {
            return Ok(Outcome {
                passed: false,
                said: format!("{name} differs after two epochs"),
            });
        }
    }
    Ok(Outcome {
        passed: true,
        said: format!("{} parameters and statistics have the same bits", a.len()),
    })
}
