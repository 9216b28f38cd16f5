//! Memory of values, kept from step to step: a step asks for the same sizes as the one before, and memory that the system
//! takes back between steps costs more than the arithmetic of small layers.
use std::collections::HashMap;
use std::sync::Arc;

/// Vectors to be used again, by their length.
#[derive(Debug, Default)]
pub struct Memory {
    free: HashMap<usize, Vec<Vec<f32>>>,
}

impl Memory {
    /// A vector whose elements are whatever they were.
    pub(crate) fn take(&mut self, len: usize) -> Vec<f32> {
        match self.free.get_mut(&len).and_then(Vec::pop) {
            Some(vector) => vector,
            None => vec![0.0; len],
        }
    }

    /// Keeps a vector.
    pub(crate) fn give(&mut self, vector: Vec<f32>) {
        if !vector.is_empty() {
            self.free.entry(vector.len()).or_default().push(vector);
        }
    }

    /// Keeps a shared vector if this was its last owner.
    pub(crate) fn give_shared(&mut self, vector: Arc<Vec<f32>>) {
        if let Ok(vector) = Arc::try_unwrap(vector) {
            self.give(vector);
        }
    }
}
