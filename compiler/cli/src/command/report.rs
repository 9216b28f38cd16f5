//! The report of a compilation: one HTML file without scripts or outside resources.

use crate::command::explain::STYLE;
use crate::feed::shape_text;
use crate::sizes;
use cygnet_compiler::bundle::{Manifest, MemoryMap, Tensor};
use std::fmt::Write;

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

fn rows(out: &mut String, title: &str, list: &[Tensor]) -> std::fmt::Result {
    for t in list {
        writeln!(
            out,
            "<tr><td>{title}</td><td>{}</td><td>{}{}</td></tr>",
            escape(&t.name),
            escape(&t.dtype),
            escape(&shape_text(t))
        )?;
    }
    Ok(())
}

/// The arena over the steps as a drawing.
fn drawing(out: &mut String, map: &MemoryMap, arena: u64) -> std::fmt::Result {
    let (width, height) = (900.0, 240.0);
    let steps = map.ranges.len().max(1) as f64;
    writeln!(
        out,
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"arena over steps\">"
    )?;
    for (i, ranges) in map.ranges.iter().enumerate() {
        for (from, to) in ranges {
            let y = *from as f64 / arena.max(1) as f64 * height;
            let h = (*to - *from) as f64 / arena.max(1) as f64 * height;
            let class = if i == map.peak_step { "peak" } else { "live" };
            writeln!(
                out,
                "<rect class=\"{class}\" x=\"{:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{h:.2}\"/>",
                i as f64 / steps * width,
                width / steps
            )?;
        }
    }
    writeln!(out, "</svg>")
}

/// The report; `explanation` is the part on quantisation, or nothing.
pub fn html(m: &Manifest, map: &MemoryMap, bundle_bytes: u64, explanation: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_html(&mut out, m, map, bundle_bytes, explanation);
    out
}

fn write_html(
    out: &mut String,
    m: &Manifest,
    map: &MemoryMap,
    bundle_bytes: u64,
    explanation: &str,
) -> std::fmt::Result {
    let name = escape(&m.name);
    writeln!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{name}</title><style>\
body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}\
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #ddd}}\
svg{{width:100%;background:#f4f4f4}}.live{{fill:#5b8db8}}.peak{{fill:#c0504d}}{}</style><h1>{name}</h1>",
        if explanation.is_empty() { "" } else { STYLE }
    )?;
    let x = &m.memory;
    writeln!(out, "<table>")?;
    for (what, bytes) in [
        ("bundle", bundle_bytes),
        ("arena (RAM)", x.arena_bytes),
        ("states in it", x.state_bytes),
        ("live at the peak", x.lower_bound_bytes),
        ("program (flash)", x.program_bytes),
        ("constants in it", x.constant_bytes),
    ] {
        writeln!(
            out,
            "<tr><td>{what}</td><td>{}</td></tr>",
            sizes::show(bytes)
        )?;
    }
    write!(out, "</table>{explanation}")?;
    writeln!(out, "<h2>Inputs and outputs</h2><table>")?;
    rows(out, "input", &m.inputs)?;
    rows(out, "output", &m.outputs)?;
    rows(out, "state", &m.states)?;
    writeln!(
        out,
        "</table><h2>Arena</h2><p>{}</p>",
        escape(&map.peak_text())
    )?;
    drawing(out, map, x.arena_bytes)?;
    writeln!(out, "<h2>Operators</h2><table>")?;
    for (name, count) in &m.operators {
        writeln!(out, "<tr><td>{}</td><td>{count}</td></tr>", escape(name))?;
    }
    writeln!(out, "</table><h2>Provenance</h2><table>")?;
    let p = &m.provenance;
    for (k, v) in [
        ("model", p.source.clone()),
        ("SHA-256", p.source_sha256.clone()),
        ("compiler", m.compiler.clone()),
        ("options", p.options.join(" ")),
        (
            "golden examples",
            m.golden.as_ref().map_or_else(
                || "none".into(),
                |g| format!("{} from {}", g.examples, g.oracle),
            ),
        ),
    ] {
        writeln!(out, "<tr><td>{k}</td><td>{}</td></tr>", escape(&v))?;
    }
    writeln!(out, "</table></html>")
}
