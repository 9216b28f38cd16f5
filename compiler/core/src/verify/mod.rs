//! The independent oracle: tract runs the model's own graph, and its answers are compared with the bundle's.

mod compare;
mod oracle;
mod sample;

pub use compare::{Difference, compare};
pub use oracle::{ORACLE_NAME, Oracle, OracleError};
pub use sample::sample_input;
