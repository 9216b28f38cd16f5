//! The report of a compilation: one HTML file.

mod curve;
mod layers;
mod summary;

use super::auto::Search;
use crate::feed::shape_text;
use crate::page::document;
use anyhow::Result;
use cygnet_compiler::bundle::{Manifest, MemoryMap, Tensor};
use cygnet_compiler::quantize::{Record, Speed, diagnose};
use maud::{Markup, html};

/// What is told of a quantisation.
pub struct Quantisation<'a> {
    pub record: &'a Record,
    pub speed: Option<&'a Speed>,
    /// Program and arena of the float program, in bytes.
    pub float: [u64; 2],
    /// Those of the quantised one.
    pub quantised: [u64; 2],
    pub search: Option<&'a Search>,
}

/// The report of a bundle of so many bytes.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn page(
    m: &Manifest,
    map: &MemoryMap,
    bundle_bytes: u64,
    quantisation: Option<&Quantisation<'_>>,
) -> Result<String> {
    let body = html! {
        @match quantisation {
            Some(q) => (explained(q)?),
            None => (crate::page::tiles(&summary::sizes(m, bundle_bytes))),
        }
        h2 { "Inputs and outputs" }
        div.scroll {
            table {
                thead { tr { th scope="col" { "" } th scope="col" { "name" } th scope="col" { "type and shape" } } }
                tbody { (ports("input", &m.inputs)) (ports("output", &m.outputs)) (ports("state", &m.states)) }
            }
        }
        h2 { "Memory" }
        @if quantisation.is_some() { (crate::page::tiles(&summary::sizes(m, bundle_bytes))) }
        p { (map.peak_text()) }
        (arena(map, m.memory.arena_bytes))
        h2 { "Operators" }
        table.facts {
            thead { tr { th scope="col" { "operator" } th.n scope="col" { "steps" } } }
            tbody { @for (name, count) in &m.operators { tr { td { (name) } td.n { (count) } } } }
        }
        h2 { "Provenance" }
        (provenance(m))
    };
    let subtitle = format!("Compiled from {} by {}", m.provenance.source, m.compiler);
    Ok(document(&m.name, &subtitle, &body))
}

/// The part on quantisation.
fn explained(q: &Quantisation<'_>) -> Result<Markup> {
    let findings = diagnose(q.record);
    Ok(html! {
        section.quantisation {
            (summary::summary(q, &findings))
            (curve::part(q)?)
            (layers::part(q.record, &findings)?)
        }
    })
}

fn ports(what: &str, list: &[Tensor]) -> Markup {
    html! {
        @for t in list { tr { td { (what) } td.w { (t.name) } td.w { (t.dtype) (shape_text(t)) } } }
    }
}

/// The arena over the steps.
fn arena(map: &MemoryMap, bytes: u64) -> Markup {
    let (width, height) = (900.0, 240.0);
    let steps = map.ranges.len().max(1) as f64;
    let place = |at: u64| at as f64 / bytes.max(1) as f64 * height;
    html! {
        figure {
            div.scroll {
                svg.arena.wide viewBox=(format!("0 0 {width} {height}")) role="img" {
                    title { "what the arena holds at each step" }
                    @for (i, ranges) in map.ranges.iter().enumerate() {
                        @for (from, to) in ranges {
                            rect class=(if i == map.peak_step { "peak" } else { "live" })
                                x=(format!("{:.2}", i as f64 / steps * width)) y=(format!("{:.2}", place(*from)))
                                width=(format!("{:.2}", width / steps)) height=(format!("{:.2}", place(*to - *from))) {}
                        }
                    }
                }
            }
            figcaption { "Steps from left to right, addresses from top to bottom; the step that needs most stands out." }
        }
    }
}

fn provenance(m: &Manifest) -> Markup {
    let p = &m.provenance;
    let golden = m.golden.as_ref().map_or_else(
        || "none".to_owned(),
        |g| format!("{} from {}", g.examples, g.oracle),
    );
    let rows = [
        ("model", p.source.clone()),
        ("SHA-256", p.source_sha256.clone()),
        ("compiler", m.compiler.clone()),
        ("options", p.options.join(" ")),
        ("golden examples", golden),
    ];
    html! {
        table.facts { tbody { @for (what, value) in &rows { tr { th scope="row" { (what) } td { (value) } } } } }
    }
}
