//! One module a sub-command.

mod auto;
pub mod bench;
pub mod compile;
pub mod demo;
pub mod inspect;
pub mod package;
mod quantization;
pub mod report;
pub mod run;
pub mod shell;
pub mod verify;
