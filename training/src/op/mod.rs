//! Operators with gradients, channels-last: tensors are `[batch, height, width, channels]`.
//!
//! On the CPU they run on the kernels of `cygnet-kernels` and every thread of rayon's pool; elsewhere they are candle's
//! own operators. Sums over pixels are made in parts whose number depends on the shape alone, so that a run does not
//! depend on the number of threads.
mod block;
mod conv;
mod pool;
mod shape;
mod work;

pub use block::{Statistics, affine, block};
pub use conv::convolve;
pub use pool::mean_pixels;
pub use shape::{Geometry, Kind};
pub(crate) use work::kernels;
