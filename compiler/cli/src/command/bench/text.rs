//! The result in words.

use super::Report;
use super::profile::StepTime;
use crate::machine::Machine;
use crate::sizes;
use anyhow::Result;
use std::fmt::Write;

/// Rows that the terminal shows.
const ROWS: usize = 40;

/// What the figures of a profile mean; the page has it too.
pub const NOTES: [&str; 3] = [
    "Operations are those of the plain definition, two a multiply-add; a step that computes in a cleverer way, such as \
     Winograd's convolutions, may pass 100 % of the limit.",
    "Bytes are what a step has to read and write once: inputs, outputs, weights.",
    "The limit is the slower of operations at the peak and bytes at the read bandwidth of the nearest level that holds \
     the step (activations) or everything a run touches (weights); what a level does not hold comes from the next.",
];

pub fn percent(share: Option<f64>) -> String {
    share.map_or(String::new(), |s| format!("{:.1}%", s * 100.0))
}

/// A rate with its unit, for floats or for integers.
pub fn rate(gflops: Option<f64>, gops: Option<f64>) -> String {
    match (gflops, gops) {
        (Some(r), _) => format!("{r:.1} GFLOP/s"),
        (_, Some(r)) => format!("{r:.1} GOP/s"),
        _ => String::new(),
    }
}

pub fn one_decimal(value: Option<f64>) -> String {
    value.map_or(String::new(), |v| format!("{v:.1}"))
}

/// The limits in a line.
pub fn limits(m: &Machine) -> String {
    let levels: Vec<String> = m
        .bandwidth
        .iter()
        .map(|l| format!("{} {:.1} GB/s", l.name, l.gigabytes_per_second))
        .collect();
    let cores = match m.threads {
        1 => "one core".to_owned(),
        n => format!("{n} cores"),
    };
    format!(
        "{:.1} GFLOP/s ({}), 8-bit {:.1} GOP/s ({}), read {} on {cores}",
        m.peak_gflops,
        m.float_isa,
        m.peak_gops,
        m.integer_isa,
        levels.join(", ")
    )
}

/// The step's result as `f32[1,2,3]`.
pub fn shape(row: &StepTime) -> String {
    format!("{}{:?}", row.dtype, row.shape).replace(' ', "")
}

/// The report for a terminal.
pub fn describe(r: &Report) -> Result<String> {
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
    let Some(machine) = &r.machine else {
        return Ok(out);
    };
    writeln!(out, "limits {}", limits(machine))?;
    writeln!(
        out,
        "\n{:>5} {:>10} {:>6}  {:<16} {:<24} {:>13} {:>10} {:>7} {:>8} {:<8} node",
        "step", "us", "share", "operator", "shape", "rate", "moved", "op/byte", "of limit", "by"
    )?;
    let mut rows: Vec<&StepTime> = r.profile.iter().collect();
    rows.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    for row in rows.iter().take(ROWS) {
        writeln!(
            out,
            "{:>5} {:>10.1} {:>5.1}%  {:<16} {:<24} {:>13} {:>10} {:>7} {:>8} {:<8} {}",
            row.step,
            row.microseconds,
            row.share * 100.0,
            row.operator,
            shape(row),
            rate(row.gflops, row.gops),
            sizes::show(row.bytes),
            one_decimal(row.intensity),
            percent(row.limit_share),
            row.bound.as_deref().unwrap_or_default(),
            row.node
        )?;
    }
    if rows.len() > ROWS {
        writeln!(out, "and {} more (all in --json)", rows.len() - ROWS)?;
    }
    writeln!(
        out,
        "\n{:<22} {:>5} {:>10} {:>6} {:>13} {:>8} {:>8}",
        "operator", "steps", "us", "share", "rate", "of peak", "of limit"
    )?;
    for o in &r.operators {
        writeln!(
            out,
            "{:<22} {:>5} {:>10.1} {:>5.1}% {:>13} {:>8} {:>8}",
            o.operator,
            o.steps,
            o.microseconds,
            o.share * 100.0,
            rate(o.gflops, o.gops),
            percent(o.peak_share),
            percent(o.limit_share)
        )?;
    }
    out.push('\n');
    for note in NOTES {
        writeln!(out, "{note}")?;
    }
    Ok(out)
}
