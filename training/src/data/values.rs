//! Numbers of samples.
use std::ops::Range;

/// Numbers of samples, in the form in which they were read: it takes the least memory and loses nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Pixels; 255 is 1.0.
    Bytes(Vec<u8>),
    /// Sound; 32,768 is 1.0.
    Sound(Vec<i16>),
    /// Anything else, as it is.
    Floats(Vec<f32>),
}

impl Default for Values {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Values {
    /// How many there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Bytes(v) => v.len(),
            Self::Sound(v) => v.len(),
            Self::Floats(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes those of a range as floats.
    pub fn write(&self, range: Range<usize>, out: &mut [f32]) {
        match self {
            Self::Bytes(v) => {
                for (o, v) in out.iter_mut().zip(&v[range]) {
                    *o = f32::from(*v) / 255.0;
                }
            }
            Self::Sound(v) => {
                for (o, v) in out.iter_mut().zip(&v[range]) {
                    *o = f32::from(*v) / 32768.0;
                }
            }
            Self::Floats(v) => out.copy_from_slice(&v[range]),
        }
    }

    /// The bytes of those of a range, for digests.
    pub fn to_bytes(&self, range: Range<usize>) -> Vec<u8> {
        match self {
            Self::Bytes(v) => v[range].to_vec(),
            Self::Sound(v) => v[range].iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Floats(v) => v[range].iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}
