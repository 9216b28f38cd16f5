//! The state of a run, and its file (safetensors).
use crate::error::TrainingError;
use crate::network::{Network, Running};
use crate::optimize::{Moments, Optimizer};
use candle_core::{Device, Result, Tensor, bail};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Parameters and running statistics by name.
pub type Parameters = BTreeMap<String, Tensor>;

/// What a run resumes from.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Of the network.
    pub parameters: Parameters,
    /// Of the optimiser, by parameter.
    pub moments: BTreeMap<String, Moments>,
    /// Steps of the optimiser.
    pub steps: u32,
    /// The parameters of the best epoch.
    pub best: Option<Parameters>,
    /// The running average of the parameters.
    pub average: Option<Parameters>,
}

impl State {
    /// Copies of the parameters and running statistics of a network.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn parameters_of(network: &Network) -> Result<Parameters> {
        let mut all = Parameters::new();
        for (name, var) in &network.parameters {
            all.insert(name.clone(), var.as_tensor().copy()?);
        }
        for (name, running) in &network.running {
            let c = running.mean.len();
            let mut both = running.mean.clone();
            both.extend_from_slice(&running.variance);
            let tensor = Tensor::from_vec(both, (2, c), &Device::Cpu)?;
            all.insert(format!("{name}.running"), tensor);
        }
        Ok(all)
    }

    /// Gives a network these parameters and running statistics.
    ///
    /// # Errors
    /// Parameters that are absent or of another shape: those of another network.
    pub fn restore_parameters(parameters: &Parameters, network: &mut Network) -> Result<()> {
        let find = |name: &str, shape: &[usize]| match parameters.get(name) {
            Some(tensor) if tensor.dims() == shape => Ok(tensor),
            Some(tensor) => bail!(
                "{name} has the shape {:?} and the network's {shape:?}: this is the state of another network",
                tensor.dims()
            ),
            None => bail!("{name} is absent: this is the state of another network"),
        };
        for (name, var) in &network.parameters {
            var.set(&find(name, var.dims())?.to_device(&network.device)?)?;
        }
        for (name, running) in &mut network.running {
            let c = running.mean.len();
            let both = find(&format!("{name}.running"), &[2, c])?.to_vec2::<f32>()?;
            *running = Running {
                mean: both[0].clone(),
                variance: both[1].clone(),
            };
        }
        Ok(())
    }

    /// The state of a network and its optimiser.
    ///
    /// # Errors
    /// None but those of the device.
    pub fn of(network: &Network, optimizer: &Optimizer) -> Result<Self> {
        Ok(Self {
            parameters: Self::parameters_of(network)?,
            moments: optimizer.moments.clone(),
            steps: optimizer.steps,
            best: None,
            average: None,
        })
    }

    /// Gives both this state.
    ///
    /// # Errors
    /// See [`State::restore_parameters`].
    pub fn restore(&self, network: &mut Network, optimizer: &mut Optimizer) -> Result<()> {
        Self::restore_parameters(&self.parameters, network)?;
        optimizer.moments.clone_from(&self.moments);
        optimizer.steps = self.steps;
        Ok(())
    }

    /// Writes the state; a file that is there is replaced whole or not at all.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn save(&self, path: &Path) -> std::result::Result<(), TrainingError> {
        let mut all: HashMap<String, Tensor> = HashMap::new();
        let steps = Tensor::from_vec(vec![self.steps], 1, &Device::Cpu)?;
        all.insert("steps".into(), steps);
        for (kind, parameters) in [
            ("now", Some(&self.parameters)),
            ("best", self.best.as_ref()),
            ("average", self.average.as_ref()),
        ] {
            for (name, tensor) in parameters.into_iter().flatten() {
                all.insert(format!("{kind}/{name}"), tensor.clone());
            }
        }
        for (name, moments) in &self.moments {
            for (kind, values) in [("first", &moments.first), ("second", &moments.second)] {
                if !values.is_empty() {
                    let tensor = Tensor::from_vec(values.clone(), values.len(), &Device::Cpu)?;
                    all.insert(format!("{kind}/{name}"), tensor);
                }
            }
        }
        let fresh = path.with_extension("part");
        candle_core::safetensors::save(&all, &fresh)?;
        std::fs::rename(&fresh, path).map_err(TrainingError::io(path))
    }

    /// Reads a state that [`State::save`] wrote.
    ///
    /// # Errors
    /// Files that cannot be read or hold something else.
    pub fn load(path: &Path) -> std::result::Result<Self, TrainingError> {
        let all = candle_core::safetensors::load(path, &Device::Cpu)?;
        let mut state = Self::default();
        let (mut best, mut average) = (Parameters::new(), Parameters::new());
        for (name, tensor) in all {
            match name.split_once('/') {
                Some(("now", name)) => {
                    state.parameters.insert(name.to_owned(), tensor);
                }
                Some(("best", name)) => {
                    best.insert(name.to_owned(), tensor);
                }
                Some(("average", name)) => {
                    average.insert(name.to_owned(), tensor);
                }
                Some(("first", name)) => {
                    state.moments.entry(name.to_owned()).or_default().first = tensor.to_vec1()?;
                }
                Some(("second", name)) => {
                    state.moments.entry(name.to_owned()).or_default().second = tensor.to_vec1()?;
                }
                None if name == "steps" => {
                    state.steps = tensor.to_vec1::<u32>()?.first().copied().unwrap_or(0);
                }
                _ => {
                    return Err(TrainingError::Data(format!(
                        "{}: {name} does not belong to a checkpoint",
                        path.display()
                    )));
                }
            }
        }
        if !best.is_empty() {
            state.best = Some(best);
        }
        if !average.is_empty() {
            state.average = Some(average);
        }
        Ok(state)
    }
}
