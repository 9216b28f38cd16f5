//! Trains small models for devices: operators with gradients over the kernels of the runtime, on candle's tensors.
//!
//! A [`network::Network`] is data: what trains, saves and exports it reads its layers. [`fit::fit`] trains one on
//! [`data::Samples`], [`export::onnx`] writes it for the compiler.
#![forbid(unsafe_code)]
pub mod anomaly;
mod average;
pub mod data;
mod error;
pub mod events;
pub mod export;
pub mod fit;
pub mod front;
pub mod hints;
pub mod model;
pub mod network;
pub mod op;
pub mod optimize;
pub mod project;
pub mod prune;
pub mod random;
pub mod schedule;
pub mod search;
pub mod state;
pub mod transfer;
pub mod trial;

pub use error::TrainingError;
