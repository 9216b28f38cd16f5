//! What a quantisation did and why, for people: a part of the report of a compilation.

use super::auto::Search;
use crate::sizes;
use anyhow::{Result, anyhow};
use cygnet_compiler::quantize::mixed::Point;
use cygnet_compiler::quantize::{
    FINE_DB, Finding, LayerRecord, Record, Speed, TensorRecord, diagnose,
};
use maud::{Markup, PreEscaped, html};
use plotters::coord::Shift;
use plotters::prelude::*;

/// Pixels of a picture.
const SIZE: (u32, u32) = (1040, 340);
/// Findings that are told.
const TOLD: usize = 8;
/// Decibels that pictures reach to.
const MOST_DB: f64 = 80.0;

const INK: RGBColor = RGBColor(51, 51, 51);
const QUIET: RGBColor = RGBColor(115, 115, 115);
const GRID: RGBColor = RGBColor(230, 230, 230);
const GOOD: RGBColor = RGBColor(0, 114, 178);
const BAD: RGBColor = RGBColor(213, 94, 0);
const FONT: &str = "sans-serif";

/// Style sheet of the part, beside that of the page.
pub const STYLE: &str = "
:root{color-scheme:light}
.quantisation{font-variant-numeric:tabular-nums}
.quantisation table{width:100%;font-size:.87rem}
.quantisation th{color:#555;vertical-align:bottom}
.quantisation td.n,.quantisation th.n{text-align:right;white-space:nowrap}
.quantisation td.w{overflow-wrap:anywhere;min-width:8rem}
.quantisation .bad{color:#b34700;font-weight:600}
.quantisation .scroll{overflow-x:auto}
.quantisation .verdict{font-size:1.1rem}
.quantisation .findings li{margin:.5rem 0}
.quantisation figure{margin:.5rem 0}
.quantisation figcaption,.quantisation .quiet{color:#666;font-size:.87rem}
.quantisation svg{background:none}
.quantisation tr.chosen td{font-weight:600;background:#eef5fa}
.quantisation svg.histogram{width:11rem;height:2.2rem;vertical-align:middle}
.quantisation svg.histogram rect{fill:#0072b2}
.quantisation svg.histogram line{stroke:#d55e00;stroke-width:.6}
";

/// What the part is made from.
pub struct Explanation<'a> {
    pub record: &'a Record,
    pub speed: Option<&'a Speed>,
    /// Program and arena of the float program, in bytes.
    pub float: [u64; 2],
    /// Those of the quantised one.
    pub quantised: [u64; 2],
    pub search: Option<&'a Search>,
}

/// The part of the page.
pub fn part(e: &Explanation<'_>) -> Result<String> {
    let findings = diagnose(e.record);
    let layers = &e.record.layers;
    let measured = layers.iter().any(|l| l.output_snr_db.is_some());
    let part = html! {
        section.quantisation {
            h2 { "Quantisation" }
            p.verdict { (verdict(e, &findings)) }
            (before_and_after(e))
            @if let Some(search) = e.search { (trade_off(search)?) }
            h3 { "What costs accuracy" }
            @if findings.is_empty() && !measured {
                p {
                    "Layers are not measured on their own in this arithmetic: the agreement of the outputs above tells what it costs, the table below \
                     how near the stored weights are."
                }
            } @else if findings.is_empty() {
                p { "Nothing stands out: every layer that was measured is more than " (FINE_DB) " dB above its error." }
            } @else {
                ol.findings {
                    @for f in findings.iter().take(TOLD) { (finding(f)) }
                }
                @if findings.len() > TOLD { p.quiet { "and " (findings.len() - TOLD) " more, in the tables below and in --json" } }
            }
            @if !e.record.techniques.is_empty() {
                h3 { "What was tried" }
                (techniques(e.record))
            }
            @if !layers.is_empty() {
                h3 { "Layers" }
                @if measured {
                    figure {
                        (PreEscaped(layers_picture(layers)?))
                        figcaption {
                            "Signal to noise of each layer's result when nothing but the layer is quantised, in execution order. Higher is better; "
                            "below " (FINE_DB) " dB, one part in twenty, a layer is marked."
                        }
                    }
                }
                div.scroll { (layer_table(e.record, &findings)) }
            }
            @if !e.record.float_layers.is_empty() {
                h3 { "Steps that stay float" }
                div.scroll { (float_table(e.record)) }
            }
            @if !e.record.tensors.is_empty() {
                h3 { "Ranges of activations" }
                p.quiet {
                    "Each histogram spans all values seen in calibration, counts as square roots; lines mark the range that 256 steps share."
                }
                div.scroll { (tensor_table(&e.record.tensors)) }
            }
        }
    };
    Ok(part.into_string())
}

/// How a figure changed: `2.50 times smaller`, `1.20 times larger`, `as before`.
fn change(before: f64, after: f64, less: &str, more: &str) -> String {
    let ratio = before / after.max(f64::MIN_POSITIVE);
    match ratio {
        _ if (ratio - 1.0).abs() < 0.005 => "as before".to_owned(),
        _ if ratio > 1.0 => format!("{ratio:.2} times {less}"),
        _ => format!("{:.2} times {more}", 1.0 / ratio),
    }
}

fn verdict(e: &Explanation<'_>, findings: &[Finding]) -> String {
    let worst = e.record.agreement.iter().map(|a| a.snr_db);
    let worst = worst.fold(f64::INFINITY, f64::min);
    let same = e.record.agreement.iter().filter_map(|a| a.top1);
    let same = same.fold(f64::INFINITY, f64::min);
    let of = |at: usize| {
        let [before, after] = [e.float[at], e.quantised[at]];
        change(before as f64, after as f64, "smaller", "larger")
    };
    let mut text = format!("The program is {}, its RAM {}", of(0), of(1));
    if let Some(s) = e.speed {
        let speed = change(s.float_ms, s.quantised_ms, "faster", "slower");
        text += &format!(", a run on this machine {speed}");
    }
    if worst.is_finite() {
        text += &format!("; its outputs are {worst:.1} dB above their error");
    }
    if same.is_finite() {
        text += &format!(", the best class is the same in {:.2} %", same * 100.0);
    }
    text += ".";
    if let Some(first) = findings.iter().find(|f| f.snr_db.is_some()) {
        text += &format!(" The layer that loses most is {}.", first.subject);
    }
    text
}

fn before_and_after(e: &Explanation<'_>) -> Markup {
    html! {
        table {
            thead { tr { th { "" } th.n { "float" } th.n { "quantised" } } }
            tbody {
                tr { td { "program (flash)" } td.n { (sizes::show(e.float[0])) } td.n { (sizes::show(e.quantised[0])) } }
                tr { td { "arena (RAM)" } td.n { (sizes::show(e.float[1])) } td.n { (sizes::show(e.quantised[1])) } }
                @if let Some(s) = e.speed {
                    tr {
                        td { "run on this machine (" (s.isa) ", one thread)" }
                        td.n { (format!("{:.3} ms", s.float_ms)) }
                        td.n { (format!("{:.3} ms", s.quantised_ms)) }
                    }
                }
                @for a in &e.record.agreement {
                    tr {
                        td.w { "output " (a.output) ", " (a.samples) " samples" }
                        td.n { "" }
                        td.n {
                            (format!("{:.1} dB", a.snr_db))
                            @if let Some(top1) = a.top1 { (format!(", same class in {:.2} % of {}", top1 * 100.0, a.rows)) }
                        }
                    }
                }
            }
        }
    }
}

fn finding(f: &Finding) -> Markup {
    html! {
        li {
            b { @if f.subject.is_empty() { "The whole model" } @else { (f.subject) } }
            @if let Some(db) = f.snr_db { " (" (format!("{db:.1} dB")) ")" }
            ": " (f.evidence) ". " i { (f.advice) "." }
        }
    }
}

fn techniques(record: &Record) -> Markup {
    html! {
        table {
            thead { tr { th { "technique" } th { "used" } th.n { "outputs without" } th.n { "with" } th { "why" } } }
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

fn layer_table(record: &Record, findings: &[Finding]) -> Markup {
    html! {
        table.layers {
            thead {
                tr {
                    th.n { "#" } th { "layer" } th { "operator" } th { "stored" } th.n { "weights" } th.n { "their SNR" }
                    th.n { "input's SNR" } th.n { "result's SNR" } th { "cause" }
                }
            }
            tbody {
                @for (i, l) in record.layers.iter().enumerate() {
                    @let tensor = record.tensors.iter().find(|t| Some(&t.tensor) == l.input.as_ref());
                    @let found = findings.iter().find(|f| f.subject == l.node);
                    tr {
                        td.n { (i + 1) }
                        td.w { (l.node) }
                        td { (l.operator) }
                        td { (l.stored.as_deref().unwrap_or("int8")) }
                        td.n { (l.weights) }
                        td.n { (format!("{:.1} dB", l.weight_snr_db)) }
                        td.n { @if let Some(t) = tensor { (format!("{:.1} dB", t.snr_db)) } }
                        td.n.bad[l.output_snr_db.is_some_and(|db| db < FINE_DB)] {
                            @if let Some(db) = l.output_snr_db { (format!("{db:.1} dB")) }
                        }
                        td.w { @if let Some(f) = found { (f.evidence) } }
                    }
                }
            }
        }
    }
}

fn float_table(record: &Record) -> Markup {
    html! {
        table {
            thead { tr { th { "step" } th { "operator" } th { "why" } } }
            tbody {
                @for l in &record.float_layers {
                    tr { td.w { (l.node) } td { (l.operator) } td.w { (l.reason) } }
                }
            }
        }
    }
}

fn tensor_table(tensors: &[TensorRecord]) -> Markup {
    html! {
        table {
            thead {
                tr {
                    th { "tensor" } th { "values" } th.n { "seen" } th.n { "range" } th.n { "step" } th { "method" }
                    th.n { "outside" } th.n { "SNR" }
                }
            }
            tbody {
                @for t in tensors {
                    @let (low, high) = ends(t);
                    tr {
                        td.w { (t.tensor) }
                        td { (histogram(t)) }
                        td.n { (format!("{:.3} to {:.3}", t.seen[0], t.seen[1])) }
                        td.n { (format!("{low:.3} to {high:.3}")) }
                        td.n { (format!("{:.5}", t.scale)) }
                        td { (t.method) }
                        td.n { (format!("{:.3} %", t.saturated * 100.0)) }
                        td.n.bad[t.snr_db < FINE_DB] { (format!("{:.1} dB", t.snr_db)) }
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
        svg.histogram viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=(format!("values of {}", t.tensor)) {
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

fn trade_off(search: &Search) -> Result<Markup> {
    let flash = |p: &Point| p.flash_bytes as f64 / 1024.0;
    let latency = |p: &Point| p.latency_ms;
    Ok(html! {
        h3 { "What was searched" }
        p {
            "Score: " (search.metric)
            @if let Some(cases) = search.cases { " of " (cases) " cases" }
            ". Budgets: " (search.budgets.join(", ")) ". "
            @if search.met { "They are kept." } @else { b.bad { "No program keeps them." } }
        }
        figure {
            (PreEscaped(scatter(search, &flash, "program in KiB")?))
            (PreEscaped(scatter(search, &latency, "milliseconds a run on this machine")?))
            figcaption { "Each point is a compiled program. Orange: over a budget. The ring is the one that was taken." }
        }
        div.scroll {
            table.points {
                thead {
                    tr {
                        th { "program" } th.n { "score" } th.n { "drop" } th.n { "flash" } th.n { "RAM" } th.n { "ms" } th { "over budget" }
                    }
                }
                tbody {
                    @for p in &search.points {
                        tr.chosen[p.chosen] {
                            td.w { (p.name) }
                            td.n { (format!("{:.2}", p.score)) }
                            td.n { (format!("{:.2}", p.drop)) }
                            td.n { (sizes::show(p.flash_bytes)) }
                            td.n { (sizes::show(p.ram_bytes)) }
                            td.n { (format!("{:.3}", p.latency_ms)) }
                            td { (p.missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                        }
                    }
                }
            }
        }
        @if !search.sensitivities.is_empty() {
            h3 { "What each layer alone does to the outputs" }
            div.scroll {
                table {
                    thead { tr { th { "layer" } th { "operator" } th { "as" } th.n { "outputs' SNR" } th.n { "saves" } th { "" } } }
                    tbody {
                        @for s in by_noise(search) {
                            tr {
                                td.w { (s.node) }
                                td { (s.operator) }
                                td { (s.precision) }
                                td.n { (format!("{:.1} dB", s.snr_db)) }
                                td.n { (sizes::show(s.saves_bytes)) }
                                td { @if s.kept { "kept out" } }
                            }
                        }
                    }
                }
            }
        }
    })
}

fn by_noise(search: &Search) -> Vec<&cygnet_compiler::quantize::mixed::Sensitivity> {
    let mut all: Vec<_> = search.sensitivities.iter().collect();
    all.sort_by(|a, b| a.snr_db.total_cmp(&b.snr_db));
    all
}

/// Draws a picture.
fn picture(
    draw: impl FnOnce(
        &DrawingArea<SVGBackend<'_>, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        draw(&area).map_err(|e| anyhow!("cannot draw: {e}"))?;
        area.present().map_err(|e| anyhow!("cannot draw: {e}"))?;
    }
    // Pictures take the width of the page.
    let from = format!("width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    Ok(svg.replacen(&from, "role=\"img\" ", 1))
}

fn layers_picture(layers: &[LayerRecord]) -> Result<String> {
    let of = |l: &LayerRecord| l.output_snr_db.map(|db| db.clamp(0.0, MOST_DB));
    let top = layers.iter().filter_map(of).fold(30.0, f64::max) + 5.0;
    picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(0.0..layers.len() as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(QUIET)
            .x_desc("layer")
            .y_desc("dB above the error")
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        chart.draw_series(layers.iter().enumerate().filter_map(|(i, l)| {
            let db = of(l)?;
            let colour = if db < FINE_DB { BAD } else { GOOD };
            let corners = [(i as f64 + 0.12, 0.0), (i as f64 + 0.88, db)];
            Some(Rectangle::new(corners, colour.filled()))
        }))?;
        chart.draw_series(LineSeries::new(
            [(0.0, FINE_DB), (layers.len() as f64, FINE_DB)],
            QUIET,
        ))?;
        Ok(())
    })
}

/// The score over what it costs.
fn scatter(search: &Search, cost: &dyn Fn(&Point) -> f64, words: &str) -> Result<String> {
    let scores = search.points.iter().map(|p| p.score);
    let low = scores.clone().fold(f64::INFINITY, f64::min);
    let high = scores.fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.08).max(0.05);
    let most = search.points.iter().map(cost).fold(0.0, f64::max) * 1.08;
    picture(|area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..most.max(1e-9), low - room..high + room)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(QUIET)
            .x_desc(words)
            .y_desc("score")
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        chart.draw_series(search.points.iter().map(|p| {
            let colour = if p.missed.is_empty() { GOOD } else { BAD };
            Circle::new((cost(p), p.score), 5, colour.filled())
        }))?;
        let chosen = search.points.iter().filter(|p| p.chosen);
        chart.draw_series(
            chosen.map(|p| Circle::new((cost(p), p.score), 10, INK.stroke_width(2))),
        )?;
        Ok(())
    })
}
