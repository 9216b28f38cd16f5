//! A quantisation in words.

use cygnet_compiler::quantize::Record;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Nodes that are named for a reason; the others are counted.
const NAMED: usize = 3;

/// What was quantised, how near it is, what stays float.
pub fn describe(record: &Record) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_lines(&mut out, record);
    out
}

fn write_lines(out: &mut String, record: &Record) -> std::fmt::Result {
    let c = &record.calibration;
    writeln!(
        out,
        "  int8: {} layers from {} calibration samples ({}); {} integer steps, {} float",
        record.layers.len(),
        c.samples,
        record.method,
        record.integer_steps,
        record.float_layers.len()
    )?;
    for a in &record.agreement {
        write!(
            out,
            "  output `{}`: {:.1} dB above its error",
            a.output, a.snr_db
        )?;
        if let Some(top1) = a.top1 {
            write!(
                out,
                ", the same best class in {:.2} % of {}",
                top1 * 100.0,
                a.rows
            )?;
        }
        let kept = if c.held_back > 0 { " kept back" } else { "" };
        writeln!(out, " (float model, {} samples{kept})", a.samples)?;
    }
    for t in &record.techniques {
        let [without, with] = t.snr_db;
        let used = if t.applied { "used" } else { "not used" };
        writeln!(
            out,
            "  {}: {used} ({without:.1} -> {with:.1} dB; {})",
            t.name, t.reason
        )?;
    }
    let mut stays: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for layer in &record.float_layers {
        let kind = (layer.operator.as_str(), layer.reason.as_str());
        stays.entry(kind).or_default().push(&layer.node);
    }
    for ((operator, reason), nodes) in stays {
        let mut named = nodes[..nodes.len().min(NAMED)].join(", ");
        if nodes.len() > NAMED {
            write!(named, " and {} more", nodes.len() - NAMED)?;
        }
        writeln!(out, "  stays float: {operator} ({named}): {reason}")?;
    }
    Ok(())
}
