//! Greedy decoding of connectionist temporal classification (Graves et al. 2006): the best class of each step,
//! repeats merged, blanks dropped. Class 0 is the blank.

use super::top;
use crate::answer::Text;
use crate::error::{Error, ErrorKind};

/// Decodes scores `[steps, classes]` with a vocabulary of `classes - 1` entries; one entry less means that the last
/// class is the space.
///
/// # Errors
/// When the vocabulary does not fit the classes, or a step has no number.
pub fn ctc(scores: &[f32], classes: usize, vocabulary: &[String]) -> Result<Text, Error> {
    if classes == 0 || !(1..=2).contains(&classes.saturating_sub(vocabulary.len())) {
        return Err(Error::new(
            ErrorKind::Pipeline,
            format!(
                "the output has {classes} classes, the vocabulary has {} entries: it needs {} (or one less, without the space)",
                vocabulary.len(),
                classes.saturating_sub(1)
            ),
        ));
    }
    let (mut text, mut sum, mut kept, mut last) = (String::new(), 0f32, 0, 0);
    for step in scores.chunks_exact(classes) {
        let Some(&best) = top(step, 1).first() else {
            return Err(Error::new(ErrorKind::Run, "the output is not a number"));
        };
        if best != 0 && best != last {
            text.push_str(vocabulary.get(best - 1).map_or(" ", |s| s));
            sum += step[best];
            kept += 1;
        }
        last = best;
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
