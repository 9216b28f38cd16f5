//! The Cygnet compiler: imports a model, simplifies, fuses, plans memory and emits a `model.cygnet` bundle.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod import;
pub mod ir;
pub mod verify;
