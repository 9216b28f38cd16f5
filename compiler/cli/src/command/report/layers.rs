//! Layer by layer: a chart, a table, and below each row what is known of the layer.

use super::summary::{WORST, by_layer, causes};
use super::tensors::{self, channels, histogram, spread};
use crate::page::chart::{self, BAD, FONT, GOOD, GRID, INK, QUIET};
use crate::page::{Sorted, head, number};
use crate::sizes;
use anyhow::Result;
use cygnet_compiler::quantize::{Channels, FINE_DB, Finding, LayerRecord, Record, TensorRecord};
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
                div.scroll { (picture(record, findings, measured)?) }
                figcaption {
                    @if measured {
                        "Signal to noise of each layer's result when nothing but "
                        @if record.tensors.is_empty() { "the layer is" } @else { "the layer and its result are" }
                        " quantised, in execution order. "
                        "Layers that stand out are marked."
                        @if !record.tensors.is_empty() { " The line is at " (FINE_DB) " dB, one part in twenty." }
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
            div.scroll { (tensors::table(&record.tensors)) }
        }
    })
}

/// A cell of decibels, marked where they are few.
pub fn decibels(db: Option<f64>) -> Markup {
    marked(db, db.is_some_and(|db| db < FINE_DB))
}

fn marked(db: Option<f64>, mark: bool) -> Markup {
    let shown = shown(db, |db| format!("{db:.1} dB"));
    match db {
        Some(db) if mark => html! { td.n.bad data-value=(db) { (shown) } },
        _ => number(db, &shown),
    }
}

/// The table; columns that no layer fills are left out.
fn table(record: &Record, findings: &[Finding]) -> Markup {
    let worst = by_layer(findings);
    let ranges = record.layers.iter().any(|l| l.input.is_some());
    let measured = record.layers.iter().any(|l| l.output_snr_db.is_some());
    let packed = record.layers.iter().any(|l| l.bytes.is_some());
    let columns = 6 + 3 * usize::from(ranges) + 2 * usize::from(measured) + usize::from(packed);
    html! {
        table.layers.sortable {
            thead {
                tr {
                    (head("#", "n", Sorted::Ascending)) (head("layer", "", Sorted::No)) (head("operator", "", Sorted::No))
                    (head("stored", "", Sorted::No)) (head("weights", "n", Sorted::No))
                    @if packed { (head("bits each", "n", Sorted::No)) }
                    (head("their SNR", "n", Sorted::No))
                    @if ranges {
                        (head("input's SNR", "n", Sorted::No)) (head("channels apart", "n", Sorted::No)) (head("outside", "n", Sorted::No))
                    }
                    @if measured { (head("result's SNR", "n", Sorted::No)) (head("cause", "", Sorted::No)) }
                }
            }
            tbody {
                @for (i, l) in record.layers.iter().enumerate() {
                    @let input = record.tensor(&l.input);
                    @let spread = l.input_channels.as_ref().map(Channels::spread);
                    @let outside = input.map(|t| t.saturated);
                    @let bits = l.bytes.map(|b| b as f64 * 8.0 / l.weights.max(1) as f64);
                    @let found = worst.iter().find(|f| f[0].subject == l.node).map(Vec::as_slice).unwrap_or_default();
                    @let id = format!("layer-{}", i + 1);
                    tr.layer {
                        (number(Some(i as f64), &(i + 1).to_string()))
                        td.w { button.opener type="button" aria-expanded="false" aria-controls=(id) { (l.node) } }
                        td { (l.operator) }
                        td { (l.stored.as_deref().unwrap_or("int8")) }
                        (number(Some(l.weights as f64), &l.weights.to_string()))
                        @if packed { (number(bits, &shown(bits, |b| format!("{b:.2}")))) }
                        // Few bits have few decibels, which is no fault of a layer.
                        @if l.stored.is_some() { (number(Some(l.weight_snr_db), &format!("{:.1} dB", l.weight_snr_db))) }
                        @else { (decibels(Some(l.weight_snr_db))) }
                        @if ranges {
                            (decibels(input.map(TensorRecord::felt_db)))
                            (number(spread, &shown(spread, |s| format!("{s:.1} ×"))))
                            (number(outside, &shown(outside, |s| format!("{:.3} %", s * 100.0))))
                        }
                        @if measured {
                            (marked(record.result_db(l), !found.is_empty()))
                            td.w { (found.iter().map(|f| f.cause.to_string()).collect::<Vec<_>>().join(", ")) }
                        }
                    }
                    tr.details id=(id) hidden { td colspan=(columns) { div.inner { (details(record, l, found)) } } }
                }
            }
        }
    }
}

/// What there is, in words.
fn shown(value: Option<f64>, words: impl Fn(f64) -> String) -> String {
    value.map_or_else(String::new, words)
}

/// What is known of a layer.
fn details(record: &Record, l: &LayerRecord, found: &[&Finding]) -> Markup {
    let ends = [
        ("Input", record.tensor(&l.input)),
        ("Result", record.tensor(&l.output)),
    ];
    let reach = [
        ("Channels of the input", &l.input_channels),
        ("Weights of the output channels", &l.weight_channels),
    ];
    html! {
        (causes(found))
        @if found.is_empty() && l.output_snr_db.is_some() { p { "Nothing stands out." } }
        @if let Some(bytes) = l.bytes {
            p {
                (l.weights) " weights in " (sizes::show(bytes as u64))
                (format!(", {:.2} bits each", bytes as f64 * 8.0 / l.weights.max(1) as f64)) "."
            }
        }
        div.pair {
            @for (what, tensor) in ends {
                @if let Some(t) = tensor {
                    div { h4 { (what) " " code { (t.tensor) } } (histogram(t)) p.quiet { (spread(t)) "." } }
                }
            }
            @for (what, channels_of) in reach {
                @if let Some(c) = channels_of { div { h4 { (what) } (channels(&format!("{what} of {}", l.node), c)) } }
            }
        }
        @if let Some(share) = l.sum_share { p.quiet { (format!("Sums stay below {:.3} % of what the accumulator holds.", share * 100.0)) } }
    }
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

fn picture(record: &Record, findings: &[Finding], measured: bool) -> Result<Markup> {
    let layers = &record.layers;
    let of = |l: &LayerRecord| {
        let db = if measured {
            record.result_db(l)
        } else {
            Some(l.weight_snr_db)
        };
        db.map(|db| db.clamp(0.0, MOST_DB))
    };
    let named = |l: &LayerRecord, f: &Finding| f.snr_db.is_some() && f.subject == l.node;
    let stands_out = |l: &LayerRecord| findings.iter().any(|f| named(l, f));
    // Weights of few bits are judged by one another.
    let judged = measured && !record.tensors.is_empty();
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
            let colour = if stands_out(l) { BAD } else { GOOD };
            let middle = i as f64 + 1.0;
            let corners = [(middle - 0.38, 0.0), (middle + 0.38, db)];
            Some(Rectangle::new(corners, colour.filled()))
        }))?;
        let mut worst: Vec<(usize, f64)> = layers
            .iter()
            .map(of)
            .enumerate()
            .filter_map(|(i, db)| Some((i, db?)))
            .collect();
        worst.retain(|(i, _)| stands_out(&layers[*i]));
        worst.sort_by(|a, b| a.1.total_cmp(&b.1));
        for (i, db) in worst.into_iter().take(WORST) {
            let (x, y) = plot.backend_coord(&(i as f64 + 1.0, db));
            let text = format!("{}", i + 1);
            let left = x - text.len() as i32 * 4;
            let style = (FONT, 14).into_font().color(&BAD);
            area.draw(&Text::new(text, (left, y - 18), style))?;
        }
        if judged {
            let ends = [(0.5, FINE_DB), (layers.len() as f64 + 0.5, FINE_DB)];
            plot.draw_series(LineSeries::new(ends, QUIET))?;
        }
        Ok(())
    })
}
