//! Labelled data, and what programs score on them.

mod detection;
mod outside;
mod read;
mod score;

pub use detection::Detector;
pub use outside::Outside;
pub use read::read;
pub use score::{Kind, Labelled};

use cygnet_compiler::quantize::Sample;

/// What a case really is.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// A class, by its position in the output.
    Class(usize),
    /// A line of text.
    Text(String),
    /// Things in a picture, with its width and height.
    Boxes(Vec<TrueBox>, (f32, f32)),
}

/// A thing in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueBox {
    /// Its class, by its position in the output.
    pub class: usize,
    /// Left, upper, right and lower edge in pixels of the picture.
    pub edges: [f32; 4],
    /// Too small, or a crowd: finding it counts neither way.
    pub ignored: bool,
}

/// A case: what is fed, and what it really is.
#[derive(Clone, Debug)]
pub struct Case {
    /// A run, or the runs of a stream, the last of which answers.
    pub samples: Vec<Sample>,
    /// The answer.
    pub truth: Truth,
}
