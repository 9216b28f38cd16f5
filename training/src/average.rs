//! The running average of a network's parameters, which is often better than the last ones (Polyak and Juditsky, 1992).
use crate::network::Network;
use crate::state::Parameters;
use candle_core::Result;

/// Moves an average, which begins as the parameters, towards them. `step` counts from 1: the first steps weigh more, for the
/// average begins with parameters that nobody will want.
///
/// # Errors
/// None but those of the device.
pub fn towards(average: &mut Parameters, network: &Network, decay: f32, step: u32) -> Result<()> {
    let step = step as f32;
    let keep = f64::from(decay.min((1.0 + step) / (10.0 + step)));
    for (name, var) in &network.parameters {
        let now = var.as_tensor();
        let next = match average.get(name) {
            Some(before) => ((before * keep)? + (now * (1.0 - keep))?)?,
            None => now.copy()?,
        };
        average.insert(name.clone(), next);
    }
    Ok(())
}

/// Puts the average in the place of the parameters, which come back.
///
/// # Errors
/// None but those of the device.
pub fn exchange(average: &Parameters, network: &Network) -> Result<Parameters> {
    let mut before = Parameters::new();
    for (name, var) in &network.parameters {
        if let Some(other) = average.get(name) {
            before.insert(name.clone(), var.as_tensor().copy()?);
            var.set(other)?;
        }
    }
    Ok(before)
}
