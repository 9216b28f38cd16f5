//! The page of a build: what each network came to, how it learnt, and what the bundle gets wrong.

use super::Ready;
use super::judge::{Measured, told};
use super::stage::Outcome;
use crate::page::chart::{self, FONT, GRID, INK, QUIET};
use crate::page::{self, Tile, tiles};
use crate::sizes;
use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use candle_core::Device;
use cygnet_training::data::{Task, Values};
use cygnet_training::fit::{Epoch, History};
use maud::{Markup, html};
use plotters::prelude::*;

/// Pixels of a chart.
const SIZE: (u32, u32) = (460, 300);
/// Classes of which a confusion matrix is shown.
const MOST_CLASSES: usize = 20;
/// Samples that are shown.
const MOST_SAMPLES: usize = 24;

/// The page of a project's build; the last of `measured` is the bundle.
pub fn page(ready: &Ready, measured: &[Measured], bundle_bytes: u64) -> Result<String> {
    let Some(bundle) = measured.last() else {
        anyhow::bail!("internal: a page of nothing");
    };
    let body = html! {
        (tiles(&[
            Tile::new("right of the samples kept back", format!("{:.2} %", bundle.accuracy * 100.0)),
            Tile::new("bundle", sizes::show(bundle_bytes)),
            Tile::new("memory", sizes::show(bundle.arena_bytes)),
            Tile::new("a run on this machine", format!("{:.3} ms", bundle.latency_ms)),
        ]))
        h2 { "Networks" }
        (table(measured))
        @for (name, outcome) in stages(ready) {
            h2 { "How the " (name) " learnt" }
            p { (outcome.epochs) " epochs; the best state was that of epoch " (best(&outcome.history)) "." }
            figure {
                div.pair {
                    (losses(name, &outcome.history)?)
                    @if ready.samples.task == Task::Classes { (rates(name, &outcome.history)?) }
                }
                figcaption { "The dashed line is the epoch whose state was kept." }
            }
        }
        h2 { "What the bundle answers" }
        @match &bundle.anomaly {
            Some(found) => p { (told(found)) "." },
            None => {
                @if ready.samples.classes.len() <= MOST_CLASSES { (confusion(ready, bundle)) }
                (mistakes(ready, bundle)?)
            }
        }
    };
    let under = format!(
        "{} samples: {} to learn from, {} to choose by, {} kept back",
        ready.samples.len(),
        ready.split.train.len(),
        ready.split.validation.len(),
        ready.split.test.len()
    );
    Ok(page::document(&ready.project.name, &under, &body))
}

fn stages(ready: &Ready) -> Vec<(&'static str, &Outcome)> {
    let t = &ready.trained;
    let all = [
        ("teacher", t.teacher.as_ref()),
        ("model", Some(&t.model)),
        ("pruned model", t.pruned.as_ref()),
        ("model in 8-bit integers", t.quantized.as_ref()),
    ];
    all.into_iter()
        .filter_map(|(name, outcome)| Some((name, outcome?)))
        .collect()
}

fn best(history: &History) -> usize {
    history.best().map_or(0, |e| e.epoch)
}

fn table(measured: &[Measured]) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "network" } th scope="col" { "arithmetic" }
                        th.n scope="col" { "parameters" } th.n scope="col" { "program" } th.n scope="col" { "memory" }
                        th.n scope="col" { "right" } th.n scope="col" { "ms a run" }
                    }
                }
                tbody {
                    @for m in measured {
                        tr {
                            td { (m.name) } td { (m.precision) }
                            td.n { (m.parameters) } td.n { (sizes::show(m.program_bytes)) } td.n { (sizes::show(m.arena_bytes)) }
                            td.n { (format!("{:.2} %", m.accuracy * 100.0)) } td.n { (format!("{:.3}", m.latency_ms)) }
                        }
                    }
                }
            }
        }
    }
}

/// The learning curves of a network as files: their names and what they hold.
pub fn curves(name: &str, history: &History) -> Result<[(&'static str, String); 2]> {
    Ok([
        ("loss.svg", chart::alone(&losses(name, history)?)),
        ("right.svg", chart::alone(&rates(name, history)?)),
    ])
}

/// A line of a chart: its name and its value at each epoch.
type Line<'a> = (&'a str, &'a dyn Fn(&Epoch) -> f64);

fn losses(name: &str, history: &History) -> Result<Markup> {
    let lines: [Line<'_>; 2] = [
        ("training", &|e| f64::from(e.train_loss)),
        ("validation", &|e| f64::from(e.validation_loss)),
    ];
    curve(&format!("loss of the {name}"), "loss", history, &lines)
}

fn rates(name: &str, history: &History) -> Result<Markup> {
    let right: Line<'_> = ("validation", &|e| 100.0 * f64::from(e.validation_accuracy));
    curve(
        &format!("right answers of the {name}"),
        "right, %",
        history,
        &[right],
    )
}

/// Values over epochs.
fn curve(title: &str, words: &str, history: &History, lines: &[Line<'_>]) -> Result<Markup> {
    let values = history
        .epochs
        .iter()
        .flat_map(|e| lines.iter().map(|l| l.1(e)));
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for v in values.filter(|v| v.is_finite()) {
        (low, high) = (low.min(v), high.max(v));
    }
    let room = ((high - low) * 0.06).max(1e-6);
    let last = history.epochs.len().max(2) as f64;
    chart::picture(title, SIZE, |area| {
        let mut plot = ChartBuilder::on(area)
            .margin(14)
            .margin_top(34)
            .x_label_area_size(40)
            .y_label_area_size(66)
            .build_cartesian_2d(1.0..last, low - room..high + room)?;
        plot.configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(QUIET)
            .x_desc("epoch")
            .y_desc(words)
            .x_labels(6)
            .x_label_formatter(&|x| format!("{x:.0}"))
            .y_labels(5)
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        let kept = best(history) as f64;
        let (top, bottom) = (high + room, low - room);
        plot.draw_series(DashedLineSeries::new(
            vec![(kept, bottom), (kept, top)],
            4,
            4,
            QUIET.stroke_width(1),
        ))?;
        for (rank, (name, value)) in lines.iter().enumerate() {
            let points: Vec<_> = history
                .epochs
                .iter()
                .map(|e| (e.epoch as f64, value(e)))
                .collect();
            let colour = chart::series(rank);
            plot.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
            if lines.len() > 1 {
                // Above the plot, so that no line passes through.
                let (left, y) = (106 + 130 * rank as i32, 10);
                let key = [(left - 26, y + 7), (left - 6, y + 7)];
                area.draw(&PathElement::new(key.to_vec(), colour.stroke_width(2)))?;
                let style = (FONT, 14).into_font().color(&INK);
                area.draw(&Text::new((*name).to_owned(), (left, y), style))?;
            }
        }
        Ok(())
    })
}

fn confusion(ready: &Ready, bundle: &Measured) -> Markup {
    let classes = &ready.samples.classes;
    html! {
        p { "Samples kept back: a row for what each is, a column for the answer." }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "" }
                        @for c in classes { th.n scope="col" { (c) } }
                        th.n scope="col" { "right" }
                    }
                }
                tbody {
                    @for (k, row) in bundle.confusion.iter().enumerate() {
                        @let all = row.iter().sum::<usize>();
                        tr {
                            th scope="row" { (classes[k]) }
                            @for (j, n) in row.iter().enumerate() {
                                td.n { @if *n > 0 { @if j == k { (n) } @else { b.bad { (n) } } } }
                            }
                            td.n { @if all > 0 { (format!("{:.1} %", 100.0 * row[k] as f64 / all as f64)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The samples that the bundle gets wrong.
fn mistakes(ready: &Ready, bundle: &Measured) -> Result<Markup> {
    let classes = &ready.samples.classes;
    let mut shown = Vec::new();
    for &(i, answer) in bundle.wrong.iter().take(MOST_SAMPLES) {
        let label = ready.samples.labels[i] as usize;
        shown.push((picture(ready, i)?, &classes[label], &classes[answer]));
    }
    Ok(html! {
        h3 { "What it gets wrong" }
        @if shown.is_empty() {
            p { "Nothing of what was kept back." }
        } @else {
            p {
                (bundle.wrong.len()) " of " (ready.split.test.len()) " samples"
                @if bundle.wrong.len() > shown.len() { "; the first " (shown.len()) }
                "."
            }
            div.samples {
                @for (url, label, answer) in &shown {
                    figure {
                        @if let Some(url) = url { img src=(url) alt=(format!("a sample of {label}")) width="96" height="96"; }
                        figcaption { (label) ", read as " b.bad { (answer) } }
                    }
                }
            }
        }
    })
}

/// A sample as a PNG picture in a URL: what was read of a picture, what the network sees of anything else that has rows.
fn picture(ready: &Ready, i: usize) -> Result<Option<String>> {
    let (sizes, bytes) = match &ready.samples.values {
        Values::Bytes(_) => (ready.samples.shape, ready.samples.bytes(i)),
        _ => {
            let seen = ready.samples.plain(&[i], &Device::Cpu)?;
            let seen = seen.flatten_all()?.to_vec1::<f32>()?;
            let low = seen.iter().copied().fold(f32::INFINITY, f32::min);
            let high = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let grey = |v: f32| ((v - low) / (high - low).max(1e-9) * 255.0) as u8;
            let bytes = seen.into_iter().map(grey).collect();
            (ready.samples.input_shape(), bytes)
        }
    };
    if sizes[0] < 2 || sizes[1] < 2 {
        return Ok(None);
    }
    let png = crate::media::picture::png(&bytes, sizes)?;
    Ok(png.map(|png| format!("data:image/png;base64,{}", STANDARD.encode(png))))
}
