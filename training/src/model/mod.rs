//! Architectures, each a function over [`crate::network::Builder`] to use or to copy.
mod mobilenet;

pub use mobilenet::{mobilenet_v1, mobilenet_v2};
