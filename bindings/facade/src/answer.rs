//! What a model answers, in types.

/// An answer, as the bundle's pipeline makes it of the outputs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Classes, best first.
    Classes(Vec<Class>),
    /// Text.
    Text(Text),
    /// Boxes around things or text, best first.
    Boxes(Vec<Detection>),
    /// The class of every pixel.
    Mask(Mask),
    /// A vector for comparisons.
    Embedding(Vec<f32>),
}

impl Answer {
    /// What it is, in a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Answer::Classes(_) => "classes",
            Answer::Text(_) => "text",
            Answer::Boxes(_) => "boxes",
            Answer::Mask(_) => "mask",
            Answer::Embedding(_) => "embedding",
        }
    }
}

/// A class and its score.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Position in the output.
    pub index: usize,
    /// Its name; the position in digits where the bundle has no labels.
    pub label: String,
    /// Score.
    pub score: f32,
}

/// A line of text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The characters.
    pub text: String,
    /// Mean score of the characters, 0 when there are none.
    pub confidence: f32,
}

/// A box in a picture, in pixels of the picture as it was given (upright).
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// Class of what is in it.
    pub class: Class,
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
}

/// The class of every pixel, in the model's size.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Position of the class in the labels, row by row.
    pub classes: Vec<u16>,
}
