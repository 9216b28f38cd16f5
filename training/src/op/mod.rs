//! Operators with their gradients on slices, channels-last: tensors are `[batch, height, width, channels]`.
//!
//! They run on the kernels of `cygnet-kernels` and every thread of rayon's pool. Sums are made in pieces whose number
//! depends on the shape alone, so that training does not depend on the number of threads.
pub(crate) mod block;
pub(crate) mod conv;
mod memory;
pub(crate) mod pool;
mod shape;
pub(crate) mod work;

pub use block::Statistics;
pub use memory::Memory;
pub use shape::{Geometry, Kind};
