//! One module a sub-command.

mod auto;
pub mod bench;
mod budget;
pub mod compile;
pub mod demo;
mod fitting;
mod footprint;
pub mod inspect;
pub mod package;
pub mod project;
mod quantization;
pub mod report;
pub mod run;
pub mod shell;
pub mod sweep;
pub mod verify;
