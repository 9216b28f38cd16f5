//! Trains small models for devices: operators with gradients over the kernels of the runtime, on candle's tensors.
#![forbid(unsafe_code)]
pub mod model;
pub mod network;
pub mod op;
pub mod optimize;
pub mod random;
