//! Training: epochs over shuffled batches, a schedule, the best state by validation, distillation from a teacher.
use crate::anomaly;
use crate::average;
use crate::data::{Augment, Samples, Task};
use crate::error::TrainingError;
use crate::hints::Hints;
use crate::network::{Gradients, Network};
use crate::optimize::{Optimizer, Rule};
use crate::random::Random;
use crate::schedule::Schedule;
use crate::state::{Parameters, State};
use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::sync::mpsc::sync_channel;

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Passes over the training samples.
    pub epochs: usize,
    /// Samples of a step.
    pub batch: usize,
    /// `adamw` or `sgd`.
    pub optimizer: OptimizerKind,
    /// Largest learning rate.
    pub rate: f32,
    /// Weight decay.
    pub decay: f32,
    /// Share of the steps in which the rate rises from 0.
    pub warmup: f32,
    /// What the rate does after them.
    pub schedule: Schedule,
    /// Batches whose gradients are added up for a step.
    pub accumulate: usize,
    /// How slowly an average of the parameters follows them, such as 0.999; it is what is judged and kept. 0 keeps none.
    pub average: f32,
    /// Share of the targets that is spread over all classes.
    pub label_smoothing: f32,
    /// Largest norm of all gradients together; 0 does not clip.
    pub clip: f32,
    /// Epochs without a better validation loss after which training ends; 0 does not end it early.
    pub patience: usize,
    /// Decides initial weights, order and variations.
    pub seed: u64,
    /// Share of the teacher's answer in the loss, where there is a teacher.
    pub teacher_share: f32,
    /// Temperature of the teacher's answer (Hinton, Vinyals and Dean, 2015).
    pub temperature: f32,
    /// Weight of where the teacher looks ([`crate::hints::attention`]), beside the loss of answers; 0 is none.
    pub attention: f32,
    /// Weight of which samples look alike to the teacher ([`crate::hints::similarity`]).
    pub features: f32,
    /// How pictures are varied.
    pub augment: Augment,
}

/// A rule of optimisation by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay.
    #[default]
    Adamw,
    /// Gradient descent with Nesterov's momentum.
    Sgd,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch: 64,
            optimizer: OptimizerKind::Adamw,
            rate: 2e-3,
            decay: 0.02,
            warmup: 0.05,
            schedule: Schedule::Cosine,
            accumulate: 1,
            average: 0.0,
            label_smoothing: 0.05,
            clip: 5.0,
            patience: 0,
            seed: 1,
            teacher_share: 0.7,
            temperature: 3.0,
            attention: 0.0,
            features: 0.0,
            augment: Augment::default(),
        }
    }
}

impl Settings {
    /// What is wrong with the settings, if anything.
    pub fn mistake(&self) -> Option<String> {
        let share = |v: f32| (0.0..1.0).contains(&v);
        let wrong = |text: String| Some(text);
        if self.epochs == 0 || self.batch == 0 || self.accumulate == 0 {
            return wrong("epochs, batch and accumulate are at least 1".into());
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return wrong(format!("rate = {}: it is a positive number", self.rate));
        }
        if !share(self.warmup) || !share(self.label_smoothing) || !share(self.average) {
            return wrong("warmup, label_smoothing and average lie between 0 and 1".into());
        }
        if !(0.0..=1.0).contains(&self.teacher_share) || self.temperature <= 0.0 {
            return wrong("teacher_share lies between 0 and 1, temperature is positive".into());
        }
        if !(self.attention >= 0.0 && self.features >= 0.0) {
            return wrong("attention and features are weights, 0 or more".into());
        }
        self.augment.mistake().map(|m| format!("augment.{m}"))
    }

    /// Whether a run of these settings is at its end, by its epochs or its patience.
    pub fn ends_after(&self, history: &History) -> bool {
        let done = history.epochs.len();
        let waited = history.best().map_or(0, |b| done - b.epoch);
        done >= self.epochs || self.patience > 0 && waited >= self.patience
    }

    /// The learning rate of step `step` of `steps`.
    pub fn rate_at(&self, step: usize, steps: usize) -> f32 {
        self.rate * self.schedule.share(self.warmup, step, steps)
    }
}

/// What an epoch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Number, from 1 on.
    pub epoch: usize,
    /// Mean loss over its steps.
    pub train_loss: f32,
    /// Cross-entropy on the validation samples.
    pub validation_loss: f32,
    /// Share of the validation samples whose class is right.
    pub validation_accuracy: f32,
    /// Learning rate of its last step.
    pub rate: f32,
    /// Seconds since training began.
    pub seconds: f32,
}

/// What a run has come to so far; with the state it resumes as if it had not stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Every epoch done.
    pub epochs: Vec<Epoch>,
}

impl History {
    /// The epoch with the least validation loss.
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs
            .iter()
            .min_by(|a, b| a.validation_loss.total_cmp(&b.validation_loss))
    }
}

/// Answers to what happens in a run.
pub trait Watch {
    /// A step of an epoch was done.
    fn step(&mut self, _epoch: usize, _step: usize, _steps: usize) {}
    /// An epoch was done; `best` says whether it is the best so far. `state` resumes the run after it.
    ///
    /// # Errors
    /// What ends the run: a checkpoint that cannot be written.
    fn epoch(
        &mut self,
        _epoch: &Epoch,
        _best: bool,
        _state: &State,
    ) -> std::result::Result<(), TrainingError> {
        Ok(())
    }
    /// The epoch after which the run pauses, if not the last of the settings.
    fn until(&self) -> Option<usize> {
        None
    }
}

/// Does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;
impl Watch for Unwatched {}

/// What a network learns from beside labels.
#[derive(Clone, Copy, Debug)]
pub enum Teacher<'a> {
    /// A network, which answers every batch as it was varied.
    Network(&'a Network),
    /// Logits of every sample as it is, `[samples][classes]`.
    Answers(&'a [f32]),
}

/// Trains the network on samples `train`, and leaves it in the state that was best on `validation`.
///
/// `resume` is the state of an interrupted run with its history; the rest of the run is the same as if it had not been
/// interrupted. [`Watch::until`] pauses it after an epoch, in the best state so far.
///
/// # Errors
/// Settings or samples that do not fit, values that are no numbers any more, a watcher's errors.
pub fn fit(
    network: &mut Network,
    (samples, train, validation): (&Samples, &[usize], &[usize]),
    settings: &Settings,
    teacher: Option<Teacher<'_>>,
    resume: Option<(State, History)>,
    watch: &mut dyn Watch,
) -> std::result::Result<History, TrainingError> {
    if let Some(mistake) = settings.mistake() {
        return Err(TrainingError::Project(mistake));
    }
    let outputs = samples.outputs();
    if network.output_shape() != [outputs] {
        let what = match samples.task {
            Task::Classes => "classes",
            Task::Reconstruction(_) => "numbers to reconstruct",
        };
        return Err(TrainingError::Data(format!(
            "the network has outputs {:?}, the data {outputs} {what}",
            network.output_shape()
        )));
    }
    if let Some(Teacher::Answers(all)) = teacher {
        if all.len() != samples.len() * outputs {
            return Err(TrainingError::Data(format!(
                "the teacher has {} answers for {} samples of {outputs} classes",
                all.len(),
                samples.len()
            )));
        }
        if settings.augment.mixes() {
            return Err(TrainingError::Project(
                "the teacher's answers are those to single samples: set mixup and cutmix to 0, or train a [teacher.model]".into(),
            ));
        }
    }
    let inside = (settings.attention, settings.features);
    let hints = match teacher {
        Some(Teacher::Network(teacher)) if inside != (0.0, 0.0) => Hints::of(network, teacher),
        _ => Hints::default(),
    };
    if inside != (0.0, 0.0) && teacher.is_some() && hints.student.is_empty() {
        return Err(TrainingError::Project(
            "attention and features compare pictures inside of two networks: they need a [teacher.model] that has some of the sizes that the model has".into(),
        ));
    }
    if train.is_empty() || validation.is_empty() {
        return Err(TrainingError::Data(format!(
            "{} samples to learn from and {} to choose by: both are needed, so add samples or change the shares of the split",
            train.len(),
            validation.len()
        )));
    }
    let begin = std::time::Instant::now();
    let rule = match settings.optimizer {
        OptimizerKind::Adamw => Rule::ADAMW,
        OptimizerKind::Sgd => Rule::SGD,
    };
    let mut optimizer = Optimizer::new(rule, settings.decay);
    let (mut history, mut best) = (History::default(), None);
    let mut mean = (settings.average > 0.0).then(Parameters::new);
    let mut before = 0.0;
    if let Some((state, done)) = resume {
        state.restore(network, &mut optimizer)?;
        best = state.best;
        mean = mean.map(|m| state.average.unwrap_or(m));
        before = done.epochs.last().map_or(0.0, |e| e.seconds);
        history = done;
    }
    let batch = settings.batch.min(train.len());
    let batches = train.len() / batch;
    let together = settings.accumulate.min(batches);
    let steps = batches / together;
    let last = settings.epochs.min(watch.until().unwrap_or(usize::MAX));
    for epoch in history.epochs.len() + 1..=last {
        if settings.ends_after(&history) {
            break;
        }
        let mut order = train.to_vec();
        Random::new(settings.seed ^ ((epoch as u64) << 32), 2).shuffle(&mut order);
        let mut random = Random::new(settings.seed ^ ((epoch as u64) << 32), 3);
        let device = network.device.clone();
        let mut sum = 0.0;
        let mut rate = 0.0;
        std::thread::scope(|scope| -> std::result::Result<(), TrainingError> {
            // Batches are made while the step before them runs.
            let (send, receive) = sync_channel(2);
            scope.spawn(move || {
                for numbers in order.chunks_exact(batch) {
                    let made = samples.varied(
                        numbers,
                        &settings.augment,
                        settings.label_smoothing,
                        (settings.seed, epoch as u64),
                        &device,
                    );
                    if send.send((numbers.to_vec(), made)).is_err() {
                        break;
                    }
                }
            });
            let mut pending: Option<Gradients> = None;
            // Batches that no step is left for are dropped, as samples are that no batch is.
            for (number, (chosen, batch)) in receive.iter().take(steps * together).enumerate() {
                let batch = batch?;
                let step = number / together;
                rate = settings.rate_at((epoch - 1) * steps + step, settings.epochs * steps);
                let pass = network.train(&batch.x, &mut random, &hints.student)?;
                let mut loss = loss_of(samples.task, pass.output(), &batch.targets)?;
                if let Some(teacher) = teacher {
                    let mut inner = None;
                    let wanted = match teacher {
                        Teacher::Network(teacher) => {
                            let mut told = teacher.evaluate_with(&batch.x, &hints.teacher)?;
                            let answer = told.swap_remove(hints.teacher.len());
                            inner = Hints::loss(&pass.outputs, &told, inside)?;
                            answer
                        }
                        Teacher::Answers(all) => {
                            let rows = chosen
                                .iter()
                                .flat_map(|i| &all[i * outputs..(i + 1) * outputs]);
                            let rows: Vec<f32> = rows.copied().collect();
                            Tensor::from_vec(rows, (chosen.len(), outputs), &network.device)?
                        }
                    };
                    let t = f64::from(settings.temperature);
                    let wanted = (wanted / t)?;
                    let soft = log_softmax(&wanted)?.exp()?;
                    // Less the teacher's own, which no learning takes away: the divergence of the two.
                    let own = cross_entropy(&wanted, &soft)?;
                    let told = (cross_entropy(&(pass.output() / t)?, &soft)? - own)?;
                    let share = f64::from(settings.teacher_share);
                    loss = ((loss * (1.0 - share))? + (told * (share * t * t))?)?;
                    if let Some(inner) = inner {
                        loss = (loss + inner)?;
                    }
                }
                let value = loss.to_scalar::<f32>()?;
                if !value.is_finite() {
                    return Err(TrainingError::Data(format!(
                        "the loss of epoch {epoch}, step {step} is {value}: lower the learning rate ({}) or look for samples that are no numbers",
                        settings.rate
                    )));
                }
                sum += value;
                let gradients = add(pending.take(), pass.gradients(network, &loss)?)?;
                if !(number + 1).is_multiple_of(together) {
                    pending = Some(gradients);
                    continue;
                }
                let share = 1.0 / together as f32;
                let scale = clip_factor(&gradients, settings.clip / share)? * share;
                optimizer.step(network, &gradients, rate, scale)?;
                if let Some(mean) = &mut mean {
                    average::towards(mean, network, settings.average, optimizer.steps)?;
                }
                watch.step(epoch, step + 1, steps);
            }
            Ok(())
        })?;
        // The average is judged, and it is what a best state is of.
        let learnt = match &mean {
            Some(mean) => Some(average::exchange(mean, network)?),
            None => None,
        };
        let judged = judge(network, samples, validation)?;
        let done = Epoch {
            epoch,
            train_loss: sum / (steps * together) as f32,
            validation_loss: judged.loss,
            validation_accuracy: judged.accuracy(),
            rate,
            seconds: before + begin.elapsed().as_secs_f32(),
        };
        let better = history
            .best()
            .is_none_or(|b| done.validation_loss < b.validation_loss);
        history.epochs.push(done);
        if better {
            best = Some(State::parameters_of(network)?);
        }
        if let Some(learnt) = &learnt {
            average::exchange(learnt, network)?;
        }
        let mut state = State::of(network, &optimizer)?;
        state.best.clone_from(&best);
        state.average.clone_from(&mean);
        watch.epoch(&done, better, &state)?;
    }
    if let Some(best) = &best {
        State::restore_parameters(best, network)?;
    }
    Ok(history)
}

/// The logarithm of the softmax over the last dimension.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let shifted = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?;
    let sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    shifted.broadcast_sub(&sum)
}

/// What is made small.
pub(crate) fn loss_of(task: Task, output: &Tensor, targets: &Tensor) -> Result<Tensor> {
    match task {
        Task::Classes => cross_entropy(output, targets),
        Task::Reconstruction(_) => (output - targets)?.sqr()?.mean_all(),
    }
}

/// The mean cross-entropy of logits `[batch, classes]` to targets of the same shape.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (log_softmax(logits)? * targets)?
        .sum(D::Minus1)?
        .mean_all()?
        .neg()
}

/// The sum of what has arrived and what arrives.
fn add(pending: Option<Gradients>, mut gradients: Gradients) -> Result<Gradients> {
    for (name, before) in pending.into_iter().flatten() {
        let sum = match gradients.get(&name) {
            Some(now) => (before + now)?,
            None => before,
        };
        gradients.insert(name, sum);
    }
    Ok(gradients)
}

/// What all gradients are multiplied by so that their norm stays below `most`.
fn clip_factor(gradients: &Gradients, most: f32) -> Result<f32> {
    if most <= 0.0 {
        return Ok(1.0);
    }
    let mut sum = 0.0;
    for gradient in gradients.values() {
        sum += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let norm = sum.sqrt() as f32;
    Ok(if norm > most { most / norm } else { 1.0 })
}

/// How a network does on samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Mean cross-entropy, or mean squared error of reconstructions.
    pub loss: f32,
    /// Samples by class (row) and answer (column); empty for reconstructions.
    pub confusion: Vec<Vec<usize>>,
}

impl Judgement {
    /// Share of right answers.
    pub fn accuracy(&self) -> f32 {
        let right: usize = (0..self.confusion.len())
            .map(|c| self.confusion[c][c])
            .sum();
        let all: usize = self.confusion.iter().flatten().sum();
        right as f32 / all.max(1) as f32
    }
}

/// Runs samples `numbers` through the network as it would run on a device.
///
/// # Errors
/// None but those of the device.
pub fn judge(network: &Network, samples: &Samples, numbers: &[usize]) -> Result<Judgement> {
    let classes = samples.classes.len();
    if samples.task != Task::Classes {
        let errors = anomaly::errors(network, samples, numbers)?;
        return Ok(Judgement {
            loss: errors.iter().sum::<f32>() / errors.len().max(1) as f32,
            confusion: Vec::new(),
        });
    }
    let mut confusion = vec![vec![0; classes]; classes];
    let mut loss = 0.0;
    for numbers in numbers.chunks(256) {
        let logits = network.evaluate(&samples.plain(numbers, &network.device)?)?;
        let logs = log_softmax(&logits)?.to_vec2::<f32>()?;
        for (row, &i) in logs.iter().zip(numbers) {
            let label = samples.labels[i] as usize;
            loss -= f64::from(row[label]);
            let answer = (0..classes)
                .max_by(|a, b| row[*a].total_cmp(&row[*b]))
                .unwrap_or(0);
            confusion[label][answer] += 1;
        }
    }
    Ok(Judgement {
        loss: (loss / numbers.len().max(1) as f64) as f32,
        confusion,
    })
}
