//! `cygnet bench`.

mod page;
mod profile;
mod roofline;
mod text;

use crate::args::Bench;
use crate::command::{run, verify};
use crate::machine::{self, Machine};
use crate::output;
use anyhow::Result;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::Runner;
use profile::{OperatorTime, StepTime};
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Report {
    bundle: String,
    median_ms: f64,
    min_ms: f64,
    p99_ms: f64,
    mean_ms: f64,
    load_ms: f64,
    first_run_ms: f64,
    runs: usize,
    arena_bytes: u64,
    file_bytes: u64,
    peak_rss_bytes: Option<u64>,
    isa: String,
    threads: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<StepTime>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    operators: Vec<OperatorTime>,
}

/// The process's largest resident set; from the kernel's accounting where there is one.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn percentile(sorted: &[f64], p: f64) -> f64 {
    let at = (p * (sorted.len() - 1) as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

/// Measures a bundle.
pub fn bench(args: &Bench, quiet: bool) -> Result<()> {
    let options = run::options(&args.machine)?;
    // The manifest is for tools: loading is what an application does.
    let load = Instant::now();
    let mut runner = Runner::open(&args.bundle, &options).map_err(|e| {
        anyhow::Error::new(e).context(format!("cannot load {}", args.bundle.display()))
    })?;
    let load_ms = load.elapsed().as_secs_f64() * 1e3;
    let reader = cygnet_compiler::bundle::BundleReader::open(&args.bundle)?;
    let manifest = reader.manifest.clone();
    drop(reader);
    let dims = verify::dimensions(&args.dim, &manifest, true)?;
    let arrays = verify::samples(&manifest, &dims, 0)?;
    // A run may overwrite its inputs.
    let feeds: Vec<&Array> = arrays.iter().collect();
    runner.set_inputs(&feeds)?;

    let first = Instant::now();
    runner.run()?;
    let first_run = first.elapsed();
    let runs = match args.runs {
        Some(n) => n as usize,
        None => {
            let each = first_run.max(Duration::from_micros(1)).as_secs_f64();
            ((2.0 / each) as usize).clamp(10, 2000)
        }
    };
    for _ in 0..(runs / 10).clamp(1, 20) {
        runner.set_inputs(&feeds)?;
        runner.run()?;
    }
    let progress = output::bar(quiet, runs as u64, "runs");
    let mut times = Vec::with_capacity(runs);
    for i in 0..runs {
        runner.set_inputs(&feeds)?;
        let start = Instant::now();
        runner.run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        if i % 16 == 0 {
            progress.set_position(i as u64);
        }
    }
    progress.finish_and_clear();
    let mean = times.iter().sum::<f64>() / runs as f64;
    times.sort_by(f64::total_cmp);
    // Before the memory that measuring the machine takes.
    let peak_rss_bytes = peak_rss_bytes();
    let (machine, profile, operators) = if args.profile {
        let machine = machine::measure(runner.features(), args.machine.threads);
        let p = profile::observe(&mut runner, &feeds, runs.clamp(3, 30), &machine)?;
        (Some(machine), p.steps, p.operators)
    } else {
        Default::default()
    };
    let report = Report {
        bundle: args.bundle.display().to_string(),
        median_ms: percentile(&times, 0.5),
        min_ms: times[0],
        p99_ms: percentile(&times, 0.99),
        mean_ms: mean,
        load_ms,
        first_run_ms: first_run.as_secs_f64() * 1e3,
        runs,
        arena_bytes: runner.arena_bytes(),
        file_bytes: std::fs::metadata(&args.bundle)?.len(),
        peak_rss_bytes,
        isa: runner.isa().to_owned(),
        threads: args.machine.threads,
        machine,
        profile,
        operators,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&text::describe(&report)?)?;
    }
    if let Some(path) = &args.report {
        page::write(path, &report, &manifest.name)?;
    }
    Ok(())
}
