//! The independent oracle: tract runs the model's own graph, and its answers are compared with the bundle's.

mod compare;
mod declared;
mod oracle;
mod quantised;
mod reference;
mod runner;
mod sample;

pub use compare::{Difference, compare};
pub use declared::declared_input;
pub use oracle::{ORACLE_NAME, Oracle, OracleError};
pub use quantised::Quantisation;
pub use reference::{REFERENCE_NAME, ReferenceError, reference};
pub use runner::{Observed, Runner, RunnerError, RunnerOptions, to_array};
pub use sample::sample_input;
