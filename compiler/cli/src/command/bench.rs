//! `cygnet bench`.

use crate::args::Bench;
use crate::command::{run, verify};
use crate::{output, sizes};
use anyhow::Result;
use cygnet_compiler::bundle::Array;
use cygnet_compiler::verify::Runner;
use cygnet_format::Op;
use cygnet_format::program::{Program, StepInfo, TensorId};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<StepTime>,
}

/// Median time of a step.
#[derive(Serialize, Clone)]
struct StepTime {
    step: u32,
    operator: String,
    node: String,
    shape: Vec<usize>,
    dtype: String,
    microseconds: f64,
    share: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gflops: Option<f64>,
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

/// Multiply-adds times two for a step that gives `outputs` elements.
fn operations(program: &Program<'_>, step: &StepInfo<'_>, outputs: u64) -> Option<u64> {
    let dim = |id: Option<TensorId>, axis_from_end: usize| -> Option<u64> {
        let info = program.tensor(id?);
        let at = info.dims.len().checked_sub(axis_from_end)?;
        info.dims.get(at)?.as_const().map(|v| v as u64)
    };
    let taps = |kernel: &[i32]| -> u64 { kernel.iter().map(|&k| k.max(0) as u64).product() };
    let weights = step.inputs.get(1);
    let depth = match step.op()? {
        // Packed weights are [.., K, 16].
        Op::Conv(_) | Op::MatMul(_) | Op::WinogradConv(_) => dim(weights, 2)?,
        Op::DepthwiseConv(o) => taps(&o.kernel),
        Op::SeparableConv(o) => {
            let (x, y, w) = (step.inputs.get(0), step.outputs.get(0), step.inputs.get(3));
            let middle = dim(w, 1)?;
            let pixels = outputs / dim(y, 1)?.max(1);
            let expanded = dim(x, 4)? * dim(x, 3)? * dim(x, 2)? * middle * dim(x, 1)?;
            let expand = step.inputs.get(1).map_or(0, |_| expanded);
            let project = step.inputs.get(5).map_or(0, |_| middle * outputs);
            return Some(2 * (expand + pixels * middle * taps(&o.kernel) + project));
        }
        _ => return None,
    };
    Some(2 * depth * outputs)
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
    let profile = if args.profile {
        profile(&mut runner, &feeds, runs.clamp(3, 30))?
    } else {
        Vec::new()
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
        peak_rss_bytes: peak_rss_bytes(),
        isa: runner.isa().to_owned(),
        threads: args.machine.threads,
        profile,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&describe(&report)?)?;
    }
    Ok(())
}

/// Median time of every step over some observed runs.
fn profile(runner: &mut Runner, feeds: &[&Array], runs: usize) -> Result<Vec<StepTime>> {
    let mut order: Vec<u32> = Vec::new();
    let mut rows: HashMap<u32, (StepTime, Vec<f64>)> = HashMap::new();
    for _ in 0..runs {
        let mut sums: HashMap<u32, f64> = HashMap::new();
        runner.set_inputs(feeds)?;
        runner.run_observed(&mut |s| {
            // Steps of loop bodies run many times in one run.
            *sums.entry(s.step).or_default() += s.nanos as f64 / 1e3;
            rows.entry(s.step).or_insert_with(|| {
                order.push(s.step);
                let (shape, dtype) = s
                    .outputs
                    .first()
                    .map(|(_, t)| (t.shape.to_vec(), t.dtype.name().to_owned()))
                    .unwrap_or_default();
                let row = StepTime {
                    step: s.step,
                    operator: s.operator.to_owned(),
                    node: s.node.to_owned(),
                    shape,
                    dtype,
                    microseconds: 0.0,
                    share: 0.0,
                    gflops: None,
                };
                (row, Vec::new())
            });
        })?;
        for (step, time) in sums {
            if let Some((_, times)) = rows.get_mut(&step) {
                times.push(time);
            }
        }
    }
    let program = runner.program();
    let mut out = Vec::new();
    for step in order {
        let Some((mut row, mut times)) = rows.remove(&step) else {
            continue;
        };
        times.sort_by(f64::total_cmp);
        row.microseconds = percentile(&times, 0.5);
        let count: usize = row.shape.iter().product();
        let flops = program
            .step(step)
            .and_then(|s| operations(&program, &s, count as u64));
        row.gflops = flops
            .filter(|_| row.microseconds > 0.0)
            .map(|f| f as f64 / row.microseconds / 1e3);
        out.push(row);
    }
    let total: f64 = out.iter().map(|r| r.microseconds).sum();
    for row in &mut out {
        row.share = if total > 0.0 {
            row.microseconds / total
        } else {
            0.0
        };
    }
    Ok(out)
}

fn describe(r: &Report) -> Result<String> {
    let mut out = String::new();
    writeln!(
        out,
        "median {:.3} ms   min {:.3} ms   p99 {:.3} ms   ({} runs, {}, {} thread{})",
        r.median_ms,
        r.min_ms,
        r.p99_ms,
        r.runs,
        r.isa,
        r.threads,
        if r.threads == 1 { "" } else { "s" }
    )?;
    writeln!(
        out,
        "load {:.3} ms   arena {}   file {}   peak memory of the process {}",
        r.load_ms,
        sizes::show(r.arena_bytes),
        sizes::show(r.file_bytes),
        r.peak_rss_bytes.map_or("unknown".to_owned(), sizes::show)
    )?;
    if r.profile.is_empty() {
        return Ok(out);
    }
    writeln!(
        out,
        "\n{:>5} {:>10} {:>6}  {:<16} {:<24} {:>8}  node",
        "step", "us", "share", "operator", "shape", "GFLOP/s"
    )?;
    let mut rows = r.profile.clone();
    rows.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    for row in rows.iter().take(40) {
        writeln!(
            out,
            "{:>5} {:>10.1} {:>5.1}%  {:<16} {:<24} {:>8}  {}",
            row.step,
            row.microseconds,
            row.share * 100.0,
            row.operator,
            format!("{}{:?}", row.dtype, row.shape).replace(' ', ""),
            row.gflops.map_or(String::new(), |g| format!("{g:.1}")),
            row.node
        )?;
    }
    if rows.len() > 40 {
        writeln!(out, "and {} more (all in --json)", rows.len() - 40)?;
    }
    let mut by_operator: HashMap<&str, (f64, usize)> = HashMap::new();
    for row in &r.profile {
        let entry = by_operator.entry(row.operator.as_str()).or_default();
        entry.0 += row.share;
        entry.1 += 1;
    }
    let mut sums: Vec<_> = by_operator.into_iter().collect();
    sums.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then(a.0.cmp(b.0)));
    writeln!(out, "\nby operator:")?;
    for (name, (share, count)) in sums {
        writeln!(out, "  {:>5.1}%  {name} ({count})", share * 100.0)?;
    }
    Ok(out)
}
