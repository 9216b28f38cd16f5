//! Layer by layer: a chart, a table, and below each row what is known of the layer.

use super::summary::{by_layer, causes};
use crate::page::chart::{self, BAD, FONT, GOOD, GRID, INK, QUIET};
use crate::page::{Sorted, head, number};
use crate::sizes;
use anyhow::Result;
use cygnet_compiler::quantize::{FINE_DB, Finding, LayerRecord, Record, TensorRecord};
use maud::{Markup, html};
use plotters::prelude::*;

/// Pixels of the picture of layers.
const SIZE: (u32, u32) = (1040, 320);
/// Decibels that the picture reaches to.
const MOST_DB: f64 = 80.0;

/// The part of the page.
pub fn part(record: &Record, findings: &[Finding]) -> Result<Markup> {
    let measured = record.layers.iter().any(|l| l.output_snr_db.is_some());
    Ok(html! {
        @if !record.layers.is_empty() {
            h2 { "Layers" }
            figure {
                div.scroll { (picture(&record.layers, measured)?) }
                figcaption {
                    @if measured {
                        "Signal to noise of each layer's result when nothing but the layer is quantised, in execution order. "
                        "Below " (FINE_DB) " dB, one part in twenty, a layer is marked."
                    } @else {
                        "Signal to noise of each layer's stored weights, in execution order."
                    }
                }
            }
            p.quiet { "Higher is better. Click a head to sort, a layer for its details." }
            div.scroll { (table(record, findings)) }
        }
        @if !record.float_layers.is_empty() {
            h2 { "Steps that stay float" }
            div.scroll { (stays(record)) }
        }
        @if !record.techniques.is_empty() {
            h2 { "What was tried" }
            div.scroll { (techniques(record)) }
        }
        @if !record.tensors.is_empty() {
            h2 { "Ranges of activations" }
            p.quiet {
                "Each histogram spans all values seen in calibration, counts as square roots; lines mark the range that 256 steps share."
            }
            div.scroll { (tensors(&record.tensors)) }
        }
    })
}

fn decibels(db: Option<f64>) -> Markup {
    let shown = db.map_or_else(String::new, |db| format!("{db:.1} dB"));
    match db {
        Some(db) if db < FINE_DB => html! { td.n.bad data-value=(db) { (shown) } },
        _ => number(db, &shown),
    }
}

fn table(record: &Record, findings: &[Finding]) -> Markup {
    let worst = by_layer(findings);
    html! {
        table.layers.sortable {
            thead {
                tr {
                    (head("#", "n", Sorted::Ascending)) (head("layer", "", Sorted::No)) (head("operator", "", Sorted::No))
                    (head("stored", "", Sorted::No)) (head("weights", "n", Sorted::No)) (head("their SNR", "n", Sorted::No))
                    (head("input's SNR", "n", Sorted::No)) (head("result's SNR", "n", Sorted::No)) (head("cause", "", Sorted::No))
                }
            }
            tbody {
                @for (i, l) in record.layers.iter().enumerate() {
                    @let input = record.tensors.iter().find(|t| Some(&t.tensor) == l.input.as_ref());
                    @let found = worst.iter().find(|f| f[0].subject == l.node).map(Vec::as_slice).unwrap_or_default();
                    @let id = format!("layer-{}", i + 1);
                    tr.layer {
                        (number(Some(i as f64), &(i + 1).to_string()))
                        td.w { button.opener type="button" aria-expanded="false" aria-controls=(id) { (l.node) } }
                        td { (l.operator) }
                        td { (l.stored.as_deref().unwrap_or("int8")) }
                        (number(Some(l.weights as f64), &l.weights.to_string()))
                        (decibels(Some(l.weight_snr_db)))
                        (decibels(input.map(|t| t.snr_db)))
                        (decibels(l.output_snr_db))
                        td.w { (found.iter().map(|f| f.cause.to_string()).collect::<Vec<_>>().join(", ")) }
                    }
                    tr.details id=(id) hidden { td colspan="9" { (details(l, input, found)) } }
                }
            }
        }
    }
}

/// What is known of a layer.
fn details(l: &LayerRecord, input: Option<&TensorRecord>, found: &[&Finding]) -> Markup {
    html! {
        (causes(found))
        @if found.is_empty() && l.output_snr_db.is_some() { p { "Nothing stands out." } }
        @if let Some(bytes) = l.bytes {
            p {
                (l.weights) " weights in " (sizes::show(bytes as u64))
                (format!(", {:.2} bits each", bytes as f64 * 8.0 / l.weights.max(1) as f64)) "."
            }
        }
        @if let Some(t) = input {
            p { "Input " code { (t.tensor) } ": " (spread(t)) "." }
            (histogram(t))
        }
    }
}

/// Range and steps of a tensor in words.
fn spread(t: &TensorRecord) -> String {
    let (low, high) = ends(t);
    format!(
        "values from {:.3} to {:.3}, range by {} from {low:.3} to {high:.3} in steps of {:.5}, {:.3} % outside",
        t.seen[0],
        t.seen[1],
        t.method,
        t.scale,
        t.saturated * 100.0
    )
}

fn stays(record: &Record) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "step" } th scope="col" { "operator" } th scope="col" { "why" } } }
            tbody {
                @for l in &record.float_layers {
                    tr { td.w { (l.node) } td { (l.operator) } td.w { (l.reason) } }
                }
            }
        }
    }
}

fn techniques(record: &Record) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th scope="col" { "technique" } th scope="col" { "used" } th.n scope="col" { "outputs without" }
                    th.n scope="col" { "with" } th scope="col" { "why" }
                }
            }
            tbody {
                @for t in &record.techniques {
                    tr {
                        td { (t.name) }
                        td { @if t.applied { "yes" } @else { "no" } }
                        td.n { (format!("{:.1} dB", t.snr_db[0])) }
                        td.n { (format!("{:.1} dB", t.snr_db[1])) }
                        td.w { (t.reason) }
                    }
                }
            }
        }
    }
}

fn tensors(list: &[TensorRecord]) -> Markup {
    html! {
        table.sortable {
            thead {
                tr {
                    (head("tensor", "", Sorted::No)) th scope="col" { "values" } (head("seen", "n", Sorted::No))
                    (head("range", "n", Sorted::No)) (head("step", "n", Sorted::No)) (head("method", "", Sorted::No))
                    (head("outside", "n", Sorted::No)) (head("SNR", "n", Sorted::No))
                }
            }
            tbody {
                @for t in list {
                    @let (low, high) = ends(t);
                    tr {
                        td.w { (t.tensor) }
                        td { (histogram(t)) }
                        (number(Some(f64::from(t.seen[1] - t.seen[0])), &format!("{:.3} to {:.3}", t.seen[0], t.seen[1])))
                        (number(Some(f64::from(high - low)), &format!("{low:.3} to {high:.3}")))
                        (number(Some(f64::from(t.scale)), &format!("{:.5}", t.scale)))
                        td { (t.method) }
                        (number(Some(t.saturated), &format!("{:.3} %", t.saturated * 100.0)))
                        (decibels(Some(t.snr_db)))
                    }
                }
            }
        }
    }
}

/// The ends of a tensor's range.
fn ends(t: &TensorRecord) -> (f32, f32) {
    let at = |q: i32| (q - t.zero) as f32 * t.scale;
    (at(-128), at(127))
}

/// Bars of the values seen, and lines where the range ends, if it ends inside.
fn histogram(t: &TensorRecord) -> Markup {
    let most = t.histogram.iter().copied().max().unwrap_or(0).max(1) as f64;
    let count = t.histogram.len().max(1) as f64;
    let [seen_low, seen_high] = t.seen;
    let width = f64::from(seen_high - seen_low).max(f64::MIN_POSITIVE);
    let (low, high) = ends(t);
    let place = |v: f32| (f64::from(v - seen_low) / width * 100.0).clamp(0.0, 100.0);
    html! {
        svg.histogram.small viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=(format!("values of {}", t.tensor)) {
            @for (i, n) in t.histogram.iter().enumerate().filter(|(_, n)| **n > 0) {
                @let h = (*n as f64 / most).sqrt() * 20.0;
                rect x=(format!("{:.2}", i as f64 / count * 100.0)) y=(format!("{:.2}", 20.0 - h))
                    width=(format!("{:.2}", 100.0 / count)) height=(format!("{h:.2}")) {}
            }
            @for v in [low, high] {
                @let x = format!("{:.2}", place(v));
                line x1=(x) x2=(x) y1="0" y2="20" {}
            }
        }
    }
}

fn picture(layers: &[LayerRecord], measured: bool) -> Result<Markup> {
    let of = |l: &LayerRecord| {
        let db = if measured {
            l.output_snr_db
        } else {
            Some(l.weight_snr_db)
        };
        db.map(|db| db.clamp(0.0, MOST_DB))
    };
    let top = layers.iter().filter_map(of).fold(30.0, f64::max) + 5.0;
    chart::picture("signal to noise of each layer", SIZE, |area| {
        let mut plot = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.5..layers.len() as f64 + 0.5, 0.0..top)?;
        plot.configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(QUIET)
            .x_desc("layer")
            .y_desc("dB above the error")
            .x_labels(layers.len().min(16))
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        plot.draw_series(layers.iter().enumerate().filter_map(|(i, l)| {
            let db = of(l)?;
            let colour = if db < FINE_DB { BAD } else { GOOD };
            let middle = i as f64 + 1.0;
            let corners = [(middle - 0.38, 0.0), (middle + 0.38, db)];
            Some(Rectangle::new(corners, colour.filled()))
        }))?;
        let ends = [(0.5, FINE_DB), (layers.len() as f64 + 0.5, FINE_DB)];
        plot.draw_series(LineSeries::new(ends, QUIET))?;
        Ok(())
    })
}
