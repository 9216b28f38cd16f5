//! What the conformance and real-model tests share: test data, comparison, and one way through compiler and runtime.
#![forbid(unsafe_code)]

pub mod cases;
pub mod compare;
pub mod conformance;
pub mod expectations;
pub mod hostile;
pub mod npy;
pub mod path;
pub mod proto;
pub mod recognised;
pub mod through;

use cygnet_format::DType;

/// A dense tensor in the program's form: row-major, little-endian, sub-byte elements one a byte.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// `product(shape) * dtype.size()` bytes.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True without elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements of an `f32` tensor; empty for any other type.
    pub fn f32s(&self) -> Vec<f32> {
        if self.dtype != DType::F32 {
            return Vec::new();
        }
        self.bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    /// Entry `i` along the first axis.
    pub fn row(&self, i: usize) -> Tensor {
        let shape = self.shape[1..].to_vec();
        let size = shape.iter().product::<usize>() * self.dtype.size();
        Tensor {
            dtype: self.dtype,
            bytes: self.bytes[i * size..(i + 1) * size].to_vec(),
            shape,
        }
    }
}

/// The least number of characters to insert, remove or replace to make `a` of `b` (Levenshtein 1966).
pub fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_words() {
        for (a, b, n) in [
            ("", "", 0),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("Zürich", "Zurich", 1),
        ] {
            assert_eq!((edits(a, b), edits(b, a)), (n, n), "{a} {b}");
        }
    }
}
