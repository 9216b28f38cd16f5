//! What a text recogniser says.

use crate::{Tensor, proto};

/// Greedy CTC decoding (Graves et al. 2006) with the dictionary in the model's metadata.
///
/// # Errors
/// When the model has no dictionary, or classes without characters.
pub fn read(probabilities: &Tensor, model: &[u8]) -> Result<String, String> {
    let model = proto::model(model)?;
    let (_, characters) = model
        .metadata
        .iter()
        .find(|(key, _)| key == "character")
        .ok_or("no dictionary")?;
    let mut characters: Vec<&str> = characters.lines().collect();
    characters.push(" ");
    let classes = *probabilities.shape.last().ok_or("no classes")?;
    let mut text = String::new();
    let mut before = 0;
    for step in probabilities.f32s().chunks(classes) {
        let best = (0..classes)
            .max_by(|&a, &b| step[a].total_cmp(&step[b]))
            .unwrap_or(0);
        if best != 0 && best != before {
            text.push_str(
                characters
                    .get(best - 1)
                    .ok_or("a class without character")?,
            );
        }
        before = best;
    }
    Ok(text)
}
