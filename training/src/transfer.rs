//! Learning that begins with what another network has learnt: parameters of a file, and layers that do not learn.
use crate::error::TrainingError;
use crate::network::{Network, Running};
use crate::state::{Parameters, State};
use candle_core::Device;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What `[transfer]` says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transfer {
    /// Safetensors with parameters `LAYER.weight`, `LAYER.affine`, `LAYER.bias` and statistics `LAYER.running`, such as the
    /// `runs/model/state.safetensors` of another project.
    pub file: Option<PathBuf>,
    /// Layers that do not learn: names, in which `*` stands for anything.
    pub freeze: Vec<String>,
}

/// What was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Layers that have all their parameters from the file.
    pub layers: usize,
    /// Layers that begin anew.
    pub anew: Vec<String>,
    /// Layers that do not learn.
    pub frozen: usize,
}

impl Transfer {
    /// The parameters of the file, relative to a folder.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn read(&self, folder: &Path) -> Result<Parameters, TrainingError> {
        let Some(file) = &self.file else {
            return Ok(Parameters::new());
        };
        let path = folder.join(file);
        let wrong = |why: String| {
            TrainingError::Project(format!("[transfer] file = {}: {why}", path.display()))
        };
        if !path.exists() {
            return Err(wrong("it is not there".into()));
        }
        let all = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|e| wrong(format!("these are no safetensors ({e})")))?;
        if !all.contains_key("steps") {
            return Ok(all.into_iter().collect());
        }
        let state = State::load(&path)?;
        Ok(state.best.unwrap_or(state.parameters))
    }

    /// Gives a network the parameters that fit, by name and shape, and freezes layers.
    ///
    /// # Errors
    /// Parameters of which none fits, names of layers that the network does not have.
    pub fn apply(&self, network: &mut Network, found: &Parameters) -> Result<Taken, TrainingError> {
        let mut taken = Taken::default();
        for node in network.nodes.iter().filter(|n| n.layer.has_weights()) {
            let mut whole = true;
            let prefix = format!("{}.", node.name);
            let own = network.parameters.range(prefix.clone()..);
            for (name, var) in own.take_while(|(name, _)| name.starts_with(&prefix)) {
                match found.get(name) {
                    Some(tensor) if tensor.dims() == var.dims() => {
                        var.set(&tensor.to_dtype(var.dtype())?.to_device(&network.device)?)?;
                    }
                    _ => whole = false,
                }
            }
            if let (true, Some(running)) = (whole, network.running.get_mut(&node.name)) {
                let c = running.mean.len();
                match found.get(&format!("{prefix}running")) {
                    Some(tensor) if tensor.dims() == [2, c] => {
                        let both = tensor.to_vec2::<f32>()?;
                        *running = Running {
                            mean: both[0].clone(),
                            variance: both[1].clone(),
                        };
                    }
                    _ => whole = false,
                }
            }
            match whole {
                true => taken.layers += 1,
                false => taken.anew.push(node.name.clone()),
            }
        }
        let names = || {
            let layers = network.nodes.iter().filter(|n| n.layer.has_weights());
            layers.map(|n| n.name.as_str()).collect::<Vec<_>>()
        };
        if self.file.is_some() && taken.layers == 0 {
            return Err(TrainingError::Project(format!(
                "[transfer] file: none of its parameters ({}, ...) fits a layer of the model by name and shape ({})",
                found.keys().take(3).cloned().collect::<Vec<_>>().join(", "),
                names().join(", ")
            )));
        }
        for pattern in &self.freeze {
            let chosen: Vec<String> = names()
                .into_iter()
                .filter(|name| matches(pattern, name))
                .map(String::from)
                .collect();
            if chosen.is_empty() {
                return Err(TrainingError::Project(format!(
                    "[transfer] freeze = {pattern:?}: no layer is called so; there are {}",
                    names().join(", ")
                )));
            }
            network.frozen.extend(chosen);
        }
        taken.frozen = network.frozen.len();
        if names().iter().all(|name| network.frozen.contains(*name)) {
            return Err(TrainingError::Project(
                "[transfer] freeze: nothing is left to learn; leave the last layer out".into(),
            ));
        }
        Ok(taken)
    }
}

/// Whether a name is as a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut ends = None;
    for part in parts {
        ends = Some(part);
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    match ends {
        None => rest.is_empty(),
        // The last part may stand anywhere so far: it has to be the end.
        Some(last) => {
            last.is_empty() || name.len() >= first.len() + last.len() && name.ends_with(last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Architecture;

    #[test]
    fn patterns() {
        for (pattern, name, fits) in [
            ("stem", "stem", true),
            ("stem", "stem2", false),
            ("expand*", "expand12", true),
            ("*", "anything", true),
            ("*wise1", "depthwise1", true),
            ("*wise1", "depthwise12", false),
            ("d*2", "depthwise12", true),
            ("d*2", "expand2", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn parameters_are_taken_by_name_and_shape() {
        let build = |classes, seed| {
            let model = Architecture::Tiny { channels: 4 };
            model
                .build([16, 16, 1], classes, seed, &Device::Cpu)
                .unwrap()
        };
        let other = build(5, 1);
        let found = State::parameters_of(&other).unwrap();
        let mut network = build(3, 2);
        let transfer = Transfer {
            file: Some("x".into()),
            freeze: vec!["stem".into(), "*wise0".into()],
        };
        let taken = transfer.apply(&mut network, &found).unwrap();
        assert_eq!(taken.anew, ["classifier"]);
        assert_eq!((taken.layers, taken.frozen), (9, 3));
        let values = |n: &Network| {
            n.parameter("pointwise2.weight")
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        };
        assert_eq!(values(&network), values(&other));
        assert!(network.is_frozen("depthwise0.affine") && !network.is_frozen("depthwise1.affine"));

        let refused = |freeze: &str, found: &Parameters| {
            let transfer = Transfer {
                file: Some("x".into()),
                freeze: vec![freeze.into()],
            };
            transfer
                .apply(&mut build(3, 2), found)
                .unwrap_err()
                .to_string()
        };
        assert!(refused("stern", &found).contains("no layer is called so"));
        assert!(refused("*", &found).contains("nothing is left"));
        assert!(refused("stem", &Parameters::new()).contains("none of its parameters"));
    }
}
