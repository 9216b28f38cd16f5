//! The report of a compilation: one HTML file.

mod curve;
mod layers;
mod summary;
mod tensors;

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

#[cfg(test)]
mod tests {
    use super::*;

    use cygnet_compiler::quantize::{
        Agreement, Channels, FloatLayer, LayerRecord, Method, TensorRecord,
    };
    use scraper::{Html, Selector};

    const HOSTILE: &str =
        "</td></table><script>alert(1)</script><img src=x onerror='a()'></style>&lt;\"'";

    fn record() -> Record {
        let name = || HOSTILE.to_owned();
        Record {
            agreement: vec![Agreement {
                output: name(),
                snr_db: 20.0,
                ..Agreement::default()
            }],
            float_layers: vec![FloatLayer {
                node: name(),
                operator: name(),
                reason: name(),
            }],
            layers: vec![LayerRecord {
                node: name(),
                operator: name(),
                stored: Some(name()),
                weights: 9,
                weight_snr_db: 10.0,
                output_snr_db: Some(9.0),
                input: Some(name()),
                output: Some(name()),
                input_channels: Channels::of(&[1.0, 2.0]),
                ..LayerRecord::default()
            }],
            tensors: vec![TensorRecord {
                tensor: name(),
                method: Method::Mse,
                scale: 0.1,
                zero: 0,
                seen: [0.0, 8.0],
                kept_back: None,
                saturated: 0.0,
                snr_db: 12.0,
                read_snr_db: None,
                cut: 0.0,
                softmax: None,
                histogram: vec![5, 0, 1],
            }],
            ..Record::default()
        }
    }

    #[test]
    fn names_stay_text() {
        let record = record();
        let manifest = Manifest {
            name: HOSTILE.to_owned(),
            inputs: vec![Tensor {
                name: HOSTILE.to_owned(),
                dtype: HOSTILE.to_owned(),
                ..Tensor::default()
            }],
            ..Manifest::default()
        };
        let quantisation = Quantisation {
            record: &record,
            speed: None,
            float: [4000, 400],
            quantised: [1000, 100],
            search: None,
        };
        let map = MemoryMap::default();
        let text = page(&manifest, &map, 64, Some(&quantisation)).unwrap();
        let page = Html::parse_document(&text);
        let count = |what: &str| page.select(&Selector::parse(what).unwrap()).count();
        assert_eq!((count("script"), count("style")), (1, 1));
        assert_eq!(
            count("img, link, iframe, object, [src], [href], [onerror], [style]"),
            0
        );
        assert_eq!((count("tr.layer"), count("tr.details")), (1, 1));
        let opener = Selector::parse(".opener").unwrap();
        let shown: String = page.select(&opener).flat_map(|o| o.text()).collect();
        assert_eq!(shown, HOSTILE);
        for word in ["http:", "https:", "url(", "@import"] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
