//! The `cygnet` command: compile a model into a bundle, run, verify, measure and inspect it.
#![forbid(unsafe_code)]

mod args;
mod calibration;
mod command;
mod decode;
mod failure;
mod feed;
mod machine;
mod media;
mod output;
mod page;
mod pipeline;
mod resources;
mod sizes;
mod validation;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = cli.quiet;
    let result = match cli.command {
        Command::Demo(a) => command::demo::demo(&a, quiet),
        Command::Compile(a) => command::compile::compile(a, quiet),
        Command::Run(a) => command::run::run(&a, quiet),
        Command::Verify(a) => command::verify::verify(&a, quiet),
        Command::Bench(a) => command::bench::bench(&a, quiet),
        Command::Inspect(a) => command::inspect::inspect(&a),
        Command::Package(a) => command::package::package(&a, quiet),
        Command::New(a) => command::project::new(&a),
        Command::Train(a) => command::project::train(&a, quiet),
        Command::Build(a) => command::project::build(&a, quiet),
        Command::Test(a) => command::project::test(&a, quiet),
        Command::Sweep(a) => command::sweep::sweep(&a, quiet),
        Command::Distill(a) => command::project::distill(&a, quiet),
        Command::Completions { shell } => command::shell::completions(shell),
        Command::Man { output } => command::shell::man(output.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", failure::message(&error));
            ExitCode::from(failure::exit_code(&error))
        }
    }
}
