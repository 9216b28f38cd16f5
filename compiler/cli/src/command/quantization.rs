//! A quantisation in words.

use crate::sizes;
use cygnet_compiler::quantize::{Cause, Precision, Record, Speed, diagnose};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Nodes that are named for a reason; the others are counted.
const NAMED: usize = 3;

/// What was quantised, how near it is, what stays float.
pub fn describe(record: &Record, speed: Option<&Speed>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_lines(&mut out, record, speed);
    out
}

fn write_lines(out: &mut String, record: &Record, speed: Option<&Speed>) -> std::fmt::Result {
    let c = &record.calibration;
    let name = match record.precision {
        Precision::Int8 => Some("int8"),
        Precision::Int8x16 => Some("int8x16"),
        _ => None,
    };
    if let Some(name) = name {
        writeln!(
            out,
            "  {name}: {} layers from {} calibration samples ({}); {} integer steps, {} float",
            record.layers.len(),
            c.samples,
            record.method,
            record.integer_steps,
            record.float_layers.len()
        )?;
    } else {
        write_stored(out, record)?;
        if record.precision == Precision::Mixed {
            writeln!(
                out,
                "  from {} calibration samples ({}); {} integer steps, {} float",
                c.samples,
                record.method,
                record.integer_steps,
                record.float_layers.len()
            )?;
        }
    }
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
    if let Some(s) = speed {
        writeln!(
            out,
            "  {:.3} ms on this machine ({}, one thread), in floats {:.3}",
            s.quantised_ms, s.isa, s.float_ms
        )?;
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
    let findings = diagnose(record);
    // That samples are few is a warning of its own.
    let told = findings.iter().filter(|f| f.cause != Cause::FewSamples);
    let mut named = Vec::new();
    // Of each layer the cause that weighs most.
    for f in told {
        if named.len() == NAMED || named.contains(&&f.subject) {
            continue;
        }
        named.push(&f.subject);
        let db = f.snr_db.map(|db| format!(" ({db:.1} dB)"));
        writeln!(
            out,
            "  {}{}: {}: {}; {}",
            match f.subject.as_str() {
                "" => "the whole model",
                subject => subject,
            },
            db.unwrap_or_default(),
            f.cause,
            f.evidence,
            f.advice
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

/// How the weights of layers are stored, a line for each way.
fn write_stored(out: &mut String, record: &Record) -> std::fmt::Result {
    let mut ways: BTreeMap<&str, (usize, usize, usize, f64)> = BTreeMap::new();
    for layer in &record.layers {
        let way = layer.stored.as_deref().unwrap_or_default();
        let (layers, weights, bytes, worst) = ways.entry(way).or_insert((0, 0, 0, f64::INFINITY));
        *layers += 1;
        *weights += layer.weights;
        *bytes += layer.bytes.unwrap_or(layer.weights);
        *worst = worst.min(layer.weight_snr_db);
    }
    for (way, (layers, weights, bytes, worst)) in ways {
        writeln!(
            out,
            "  {way}: {layers} layers, {weights} weights in {} ({:.2} bits each), {worst:.1} dB or more above their error",
            sizes::show(bytes as u64),
            bytes as f64 * 8.0 / weights.max(1) as f64
        )?;
    }
    Ok(())
}
