//! The Cygnet compiler: imports a model, simplifies, fuses, plans memory and emits a `model.cygnet` bundle.
#![forbid(unsafe_code)]

pub mod bundle;
mod compile;
pub mod cost;
pub mod emit;
pub mod firmware;
mod fit;
pub mod fold;

pub mod import;
pub mod ir;
pub mod passes;
pub mod plan;
pub mod quantize;
#[cfg(test)]
mod testing;
pub mod verify;

pub use compile::{CompileError, CompileOptions, Compiled, compile, compile_graph};
pub use fit::{Bands, Fit, fit};
