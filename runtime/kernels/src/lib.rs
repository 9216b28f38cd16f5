//! Arithmetic kernels of the Cygnet runtime: functions on slices that know no graph and no bundle.
//!
//! Choose once with [`Kernels::for_features`]; every call checks its slices against its shape, then runs the body that
//! was chosen. Tensors are dense, row-major and channels-last.
#![no_std]
// What only the plain bodies call.
#![cfg_attr(
    all(
        feature = "baseline",
        any(target_arch = "aarch64", target_arch = "wasm32", arm_dsp)
    ),
    allow(dead_code)
)]
#[cfg(any(feature = "std", test))]
extern crate std;

mod activation;
mod aligned;
pub mod attention;
mod broadcast;
pub mod cast;
pub mod compressed;
pub mod conv;
mod depthwise;
pub mod element;
pub mod elementwise;
mod error;
mod features;
pub mod gemm;
pub mod generic;
#[cfg(any(feature = "training", test))]
pub mod gradient;
pub mod index;
pub mod int16;
pub mod integer;
pub mod isa;
mod kernels;
mod math;
pub mod movement;
mod norm;
pub mod peak;
pub mod picture;
pub mod pool;
pub mod quantize;
pub mod quantized;
pub mod recurrent;
pub mod reduce;
pub mod resize;
pub mod sample;
pub mod signal;
mod softmax;
pub mod sort;
#[cfg(test)]
mod tests;
mod wide;

pub use activation::Activation;
pub use aligned::{Aligned, Others, Plain};
pub use attention::Attention;
pub use conv::Conv;
pub use conv::winograd::Winograd;
pub use elementwise::{Binary, Broadcast, Step, Unary};
pub use error::KernelError;
pub use features::Features;
pub use gemm::Gemm;
pub use kernels::Kernels;
pub use pool::{Pool, PoolKind, taps_inside};
pub use wide::{element as element_at, is_number};
