//! Outputs become answers, as devices read them, in a form for JSON.

use anyhow::Result;
use cygnet_sdk::decode;

/// A class and its score.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Class {
    /// Position in the output.
    pub index: usize,
    /// Its name, when the bundle has labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The output's value.
    pub score: f32,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Mean score of the characters kept, 0 when there are none.
    pub confidence: f32,
}

/// A region in pixels of the original picture.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Region {
    /// What is in it; nothing for text.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub class: Option<Thing>,
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
    /// Mean probability of a region of text, score of a thing.
    pub score: f32,
}

/// The class of a thing.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Thing {
    /// Position of the class.
    pub class: usize,
    /// Its name, when the bundle has labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// The `k` largest values, largest first, ties by position. NaN never wins.
pub fn top(values: &[f32], k: usize, labels: Option<&[String]>) -> Vec<Class> {
    decode::top(values, k)
        .into_iter()
        .map(|index| Class {
            index,
            label: labels.and_then(|l| l.get(index)).cloned(),
            score: values[index],
        })
        .collect()
}

/// Text of scores `[steps, classes]`.
pub fn ctc(scores: &[f32], classes: usize, vocabulary: &[String]) -> Result<Text> {
    let text = decode::ctc(scores, classes, vocabulary)?;
    Ok(Text {
        text: text.text,
        confidence: text.confidence,
    })
}
