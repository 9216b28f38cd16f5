//! `compile --fit`: layers by bands of rows until a budget of RAM is kept.

use crate::args::Compile;
use crate::command::compile::refused;
use crate::command::footprint;
use anyhow::{Result, anyhow};
use cygnet_compiler::{CompileOptions, Compiled, Fit};
use cygnet_format::Program;
use indicatif::ProgressBar;
use std::fmt::Write;

/// How often the stack is measured: bands bring operators whose stack is another.
const ROUNDS: usize = 3;

/// Runs layers by bands until `--max-ram` is kept by the arena; with `--resources`, by the arena and the stack of one
/// inference, as they are measured.
pub fn fitted(
    args: &Compile,
    compiled: Compiled,
    options: &CompileOptions,
    progress: &ProgressBar,
) -> Result<(Compiled, Option<Fit>)> {
    let Some(budget) = args.max_ram.filter(|_| args.fit) else {
        return Ok((compiled, None));
    };
    let fit = |arena: u64| {
        cygnet_compiler::fit(&compiled, options, arena).map_err(|e| refused(&args.model, e))
    };
    let mut besides = match args.resources {
        true => besides(args, &compiled, progress)?,
        false => 0,
    };
    let mut found = fit(budget.saturating_sub(besides))?;
    for _ in 1..ROUNDS {
        let Some((banded, _)) = found.as_ref().filter(|_| args.resources) else {
            break;
        };
        let now = self::besides(args, banded, progress)?;
        if now <= besides {
            break;
        }
        besides = now;
        found = fit(budget.saturating_sub(besides))?;
    }
    Ok(match found {
        Some((banded, fit)) => (banded, Some(fit)),
        None => (compiled, None),
    })
}

/// Bytes of RAM that a program takes besides its arena.
fn besides(args: &Compile, compiled: &Compiled, progress: &ProgressBar) -> Result<u64> {
    progress.set_message("measuring the stack");
    let program = Program::parse(&compiled.program.bytes).map_err(|e| {
        anyhow!("the compiled program does not validate ({e}): this is a defect of Cygnet, please report it")
    })?;
    let footprint = footprint::of_program(&args.model, args.target, &program)?;
    Ok(footprint.map_or(0, |f| f.of.ram_bytes.saturating_sub(program.arena_bytes())))
}

/// What running by bands saves and costs.
pub fn describe(fit: &Fit) -> String {
    let mut text = format!(
        "  --fit: arena {} -> {} bytes for {} extra multiply-adds ({:.1} % of {})\n",
        fit.before,
        fit.arena_bytes,
        fit.extra_macs(),
        100.0 * fit.extra_macs() as f64 / fit.macs.max(1) as f64,
        fit.macs
    );
    for chain in &fit.chains {
        let _ = writeln!(
            text,
            "    {} layers, from {:?} to {:?}: {} bands of {} rows of the last",
            chain.layers, chain.first, chain.last, chain.bands, chain.rows
        );
    }
    text
}
