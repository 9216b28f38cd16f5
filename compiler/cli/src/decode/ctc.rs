//! Greedy decoding of connectionist temporal classification (Graves et al. 2006): the best class of each step,
//! repeats merged, blanks dropped. Class 0 is the blank.

use super::top;
use anyhow::{Result, bail};

/// A line of text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Mean score of the characters kept, 0 when there are none.
    pub confidence: f32,
}

/// Decodes scores `[steps, classes]` with a vocabulary of `classes - 1` entries; one entry less means that the last
/// class is the space.
pub fn ctc(scores: &[f32], classes: usize, vocabulary: &[String]) -> Result<Text> {
    if classes == 0 || !(1..=2).contains(&classes.saturating_sub(vocabulary.len())) {
        bail!(
            "the output has {classes} classes, the vocabulary has {} entries: it needs {} (or one less, without the space)",
            vocabulary.len(),
            classes.saturating_sub(1)
        );
    }
    let (mut text, mut sum, mut kept, mut last) = (String::new(), 0f32, 0, 0);
    for step in scores.chunks_exact(classes) {
        let Some(best) = top(step, 1, None).into_iter().next() else {
            bail!("the output is not a number");
        };
        if best.index != 0 && best.index != last {
            text.push_str(vocabulary.get(best.index - 1).map_or(" ", |s| s));
            sum += best.score;
            kept += 1;
        }
        last = best.index;
    }
    let confidence = if kept > 0 { sum / kept as f32 } else { 0.0 };
    Ok(Text { text, confidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_repeats_and_drops_blanks() {
        let vocabulary = ["a".to_owned(), "b".to_owned()];
        let path = [1, 1, 0, 1, 2, 2, 3, 0];
        let mut scores = vec![0f32; path.len() * 4];
        for (i, &c) in path.iter().enumerate() {
            scores[i * 4 + c] = 0.5;
        }
        let text = ctc(&scores, 4, &vocabulary).unwrap();
        assert_eq!((text.text.as_str(), text.confidence), ("aab ", 0.5));
        assert!(ctc(&scores, 8, &vocabulary).is_err());
    }
}
