//! `cygnet inspect`.

use crate::args::Inspect;
use crate::{feed, output, sizes};
use anyhow::{Context, Result};
use cygnet_compiler::bundle::{BundleReader, Manifest, MemoryMap, memory_map, program_text};
use cygnet_format::pipeline::{Activation, Colours, Decode, Record};
use cygnet_format::{OpCode, Program};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

#[derive(Serialize)]
struct Report<'a> {
    bundle: String,
    file_bytes: u64,
    #[serde(flatten)]
    manifest: &'a Manifest,
    memory_map: &'a MemoryMap,
}

/// Shows a bundle.
pub fn inspect(args: &Inspect) -> Result<()> {
    let name = args.bundle.display();
    let mut reader =
        BundleReader::open(&args.bundle).with_context(|| format!("cannot open {name}"))?;
    // Every entry is read once: a damaged bundle is not shown as if it were whole.
    let entries: Vec<String> = reader
        .manifest
        .entries
        .iter()
        .map(|e| e.name.clone())
        .collect();
    let mut program = Vec::new();
    for entry in &entries {
        let bytes = reader
            .entry(entry)
            .with_context(|| format!("cannot use {name}"))?;
        if entry == "program.cyg" {
            program = bytes;
        }
    }
    let program = Program::parse(&program)
        .map_err(|e| anyhow::anyhow!("{name}: the program is not valid: {e}"))?;
    if args.dump {
        return output::print(&program_text(&program));
    }
    if args.operators {
        return output::print(&format!("{}\n", operators(&program)));
    }
    let map = memory_map(&program);
    let file_bytes = std::fs::metadata(&args.bundle)?.len();
    let report = Report {
        bundle: name.to_string(),
        file_bytes,
        manifest: &reader.manifest,
        memory_map: &map,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&describe(&reader.manifest, &map, file_bytes)?)?;
    }
    Ok(())
}

/// The names of the operators that the program's steps use, bodies included, in the order of the table.
fn operators(program: &Program<'_>) -> String {
    let used: BTreeSet<OpCode> = (0..program.steps() as u32)
        .filter_map(|i| Some(program.step(i)?.code))
        .collect();
    let names: Vec<&str> = used.iter().map(|code| code.name()).collect();
    names.join(" ")
}

fn describe(m: &Manifest, map: &MemoryMap, file_bytes: u64) -> Result<String> {
    let mut out = String::new();
    writeln!(
        out,
        "{}  ({}, {})",
        m.name,
        sizes::show(file_bytes),
        m.compiler
    )?;
    for (title, list) in [
        ("inputs", &m.inputs),
        ("outputs", &m.outputs),
        ("states", &m.states),
    ] {
        if list.is_empty() {
            continue;
        }
        writeln!(out, "\n{title}")?;
        for t in list {
            writeln!(out, "  {:<28} {}{}", t.name, t.dtype, feed::shape_text(t))?;
        }
    }
    if !m.symbols.is_empty() {
        writeln!(out, "\nfree dimensions")?;
        for s in &m.symbols {
            writeln!(out, "  {:<28} {}..{}", s.name, s.lo, s.hi)?;
        }
    }
    let x = &m.memory;
    writeln!(out, "\nmemory")?;
    writeln!(
        out,
        "  arena (RAM)                  {}",
        sizes::show(x.arena_bytes)
    )?;
    if x.state_bytes > 0 {
        writeln!(
            out,
            "    of it states               {}",
            sizes::show(x.state_bytes)
        )?;
    }
    let over = if x.lower_bound_bytes > 0 {
        100.0 * (x.arena_bytes as f64 / x.lower_bound_bytes as f64 - 1.0)
    } else {
        0.0
    };
    writeln!(
        out,
        "    live at the peak           {} (the plan is {over:.1} % above it)",
        sizes::show(x.lower_bound_bytes)
    )?;
    writeln!(
        out,
        "  program (flash)              {}",
        sizes::show(x.program_bytes)
    )?;
    writeln!(
        out,
        "    of it constants            {}",
        sizes::show(x.constant_bytes)
    )?;
    out.push_str(&picture(map, x.arena_bytes)?);
    writeln!(out, "\noperators ({} steps)", map.steps.len())?;
    let mut operators: Vec<_> = m.operators.iter().collect();
    operators.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (name, count) in operators {
        writeln!(out, "  {count:>5}  {name}")?;
    }
    if let Some(g) = &m.golden {
        writeln!(out, "\ngolden examples: {} from {}", g.examples, g.oracle)?;
        if let Some(reason) = &g.fallback_reason {
            writeln!(out, "  instead of tract: {reason}")?;
        }
    }
    out.push_str(&pipeline(m)?);
    writeln!(
        out,
        "\nfrom {} (sha256 {})",
        m.provenance.source, m.provenance.source_sha256
    )?;
    for option in &m.provenance.options {
        writeln!(out, "  {option}")?;
    }
    writeln!(out, "\nentries")?;
    for e in &m.entries {
        writeln!(
            out,
            "  {:<28} {:>12}  {}",
            e.name,
            sizes::show(e.bytes),
            &e.sha256[..16.min(e.sha256.len())]
        )?;
    }
    Ok(out)
}

/// How media become the first input, and the first output an answer.
fn pipeline(m: &Manifest) -> Result<String> {
    let mut out = String::new();
    let records = cygnet_compiler::bundle::pipeline(m).map_err(anyhow::Error::msg)?;
    if records.is_empty() {
        return Ok(out);
    }
    let name = |list: &[cygnet_compiler::bundle::Tensor], i: u32| {
        list.get(i as usize)
            .map_or(String::new(), |t| t.name.clone())
    };
    writeln!(out, "\npipeline")?;
    for record in records {
        match record {
            Record::Picture(i, p) => {
                let layout = if p.channels_last { "nhwc" } else { "nchw" };
                let channels = if p.colours == Colours::Gray { 1 } else { 3 };
                let numbers = |v: [f32; 3]| {
                    let same = v.iter().all(|x| *x == v[0]);
                    let shown = &v[..if same { 1 } else { channels }];
                    let text: Vec<String> = shown.iter().map(f32::to_string).collect();
                    text.join(", ")
                };
                writeln!(
                    out,
                    "  {:<28} picture: {}, {} {layout}, (value * {} - {}) / {}",
                    name(&m.inputs, i),
                    p.fit.name(),
                    p.colours.name(),
                    p.scale,
                    numbers(p.mean),
                    numbers(p.std)
                )?;
            }
            Record::Sound(i, s) => writeln!(
                out,
                "  {:<28} sound: {} samples a second",
                name(&m.inputs, i),
                s.rate
            )?,
            Record::Answer(i, decode) => {
                let words = match decode {
                    Decode::Classes {
                        activation, top, ..
                    } => {
                        let made = match activation {
                            Activation::None => String::new(),
                            a => format!(", by {}", a.name()),
                        };
                        match top {
                            0 => format!("classes{made}"),
                            n => format!("the {n} best classes{made}"),
                        }
                    }
                    Decode::Ctc => "text".to_owned(),
                    Decode::TextBoxes => "boxes around text".to_owned(),
                    Decode::Boxes {
                        form,
                        threshold,
                        overlap,
                    } => format!(
                        "boxes ({}), score at least {threshold}, overlap at most {overlap}",
                        form.name()
                    ),
                    Decode::Mask { .. } => "the class of every pixel".to_owned(),
                    Decode::Embedding { .. } => "an embedding".to_owned(),
                    _ => "an answer".to_owned(),
                };
                writeln!(out, "  {:<28} answer: {words}", name(&m.outputs, i))?;
            }
            _ => {}
        }
    }
    Ok(out)
}

/// The arena as a picture: steps to the right, addresses downwards, a dot where nothing lives.
fn picture(map: &MemoryMap, arena: u64) -> Result<String> {
    const COLUMNS: usize = 72;
    const ROWS: usize = 12;
    let steps = map.ranges.len();
    if steps == 0 || arena == 0 {
        return Ok(String::new());
    }
    let columns = steps.min(COLUMNS);
    let mut out = String::new();
    writeln!(
        out,
        "\narena over {steps} steps (right) and addresses (down); the peak is step {}",
        map.peak_step
    )?;
    for row in 0..ROWS {
        let (from, to) = (
            arena * row as u64 / ROWS as u64,
            (arena * (row as u64 + 1) / ROWS as u64).max(arena * row as u64 / ROWS as u64 + 1),
        );
        out.push_str("  |");
        for column in 0..columns {
            let first = column * steps / columns;
            let last = ((column + 1) * steps / columns).max(first + 1);
            // The fullest step of the column decides.
            let used = map.ranges[first..last]
                .iter()
                .map(|ranges| {
                    ranges
                        .iter()
                        .map(|&(a, b)| b.min(to).saturating_sub(a.max(from)))
                        .sum::<u64>()
                })
                .max()
                .unwrap_or(0);
            out.push(match used * 4 / (to - from) {
                0 if used == 0 => '.',
                0 | 1 => '-',
                2 => '=',
                _ => '#',
            });
        }
        writeln!(out, "| {}", sizes::show(to))?;
    }
    Ok(out)
}
