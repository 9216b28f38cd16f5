//! Accuracy against size and latency: what was tried, or float and quantised alone.

use super::Quantisation;
use crate::command::auto::Search;
use crate::page::chart::{self, BAD, FONT, GOOD, GRID, INK, QUIET};
use crate::page::{Sorted, head, number};
use crate::sizes;
use anyhow::Result;
use cygnet_compiler::quantize::Agreement;
use cygnet_compiler::quantize::mixed::Sensitivity;
use maud::{Markup, html};
use plotters::prelude::*;

/// Pixels of a picture.
const SIZE: (u32, u32) = (460, 320);
/// Least room above and below what is drawn, in units of the score.
const ROOM: f64 = 0.5;

/// A program that was measured.
struct Mark<'a> {
    name: &'a str,
    score: f64,
    flash_bytes: u64,
    latency_ms: Option<f64>,
    /// Whether it is over a budget.
    over: bool,
    /// Whether it is the result.
    chosen: bool,
}

/// The part of the page.
pub fn part(q: &Quantisation<'_>) -> Result<Markup> {
    let marks = match q.search {
        Some(search) => of_search(search),
        None => of_two(q),
    };
    let score = q.search.map_or("agreement, %", |_| "score");
    let largest = marks.iter().map(|m| m.flash_bytes).max().unwrap_or(0);
    let (unit, name) = match largest >= 10 << 20 {
        true => (f64::from(1 << 20), "MiB"),
        false => (1024.0, "KiB"),
    };
    let speeds = marks.iter().all(|m| m.latency_ms.is_some());
    let note = match q.search {
        Some(_) => {
            "Each point is a compiled program. Orange: over a budget. The ring is the one that was taken."
        }
        None => {
            "The ring is this program, the other point the float program. Agreement is the part of the rows with the same \
             best class, or without classes the part of the outputs that is no error."
        }
    };
    Ok(html! {
        @if !marks.is_empty() {
            h2 { "Accuracy against cost" }
            @if let Some(search) = q.search { (searched(search)) }
            figure {
                div.pair {
                    (scatter(&marks, &|m| m.flash_bytes as f64 / unit, score, &format!("program in {name}"))?)
                    @if speeds {
                        (scatter(&marks, &|m| m.latency_ms.unwrap_or_default(), score, "milliseconds a run on this machine")?)
                    }
                }
                figcaption { (note) }
            }
        }
        @if let Some(search) = q.search { (tables(search)) }
    })
}

fn of_search(search: &Search) -> Vec<Mark<'_>> {
    let mark = |p: &cygnet_compiler::quantize::mixed::Point| Mark {
        name: "",
        score: p.score,
        flash_bytes: p.flash_bytes,
        latency_ms: Some(p.latency_ms),
        over: !p.missed.is_empty(),
        chosen: p.chosen,
    };
    search.points.iter().map(mark).collect()
}

fn of_two<'a>(q: &Quantisation<'_>) -> Vec<Mark<'a>> {
    let agreement = q.record.agreement.iter().map(percent);
    let Some(score) = agreement.reduce(f64::min) else {
        return Vec::new();
    };
    let mark = |name, score, flash_bytes, latency_ms, chosen| Mark {
        name,
        score,
        flash_bytes,
        latency_ms,
        over: false,
        chosen,
    };
    vec![
        mark(
            "float",
            100.0,
            q.float[0],
            q.speed.map(|s| s.float_ms),
            false,
        ),
        mark(
            "quantised",
            score,
            q.quantised[0],
            q.speed.map(|s| s.quantised_ms),
            true,
        ),
    ]
}

/// How much of an output is as in floats, in percent.
fn percent(a: &Agreement) -> f64 {
    let values = 1.0 - 10f64.powf(-a.snr_db / 20.0);
    100.0 * a.top1.unwrap_or(values).max(0.0)
}

/// The score over what it costs.
fn scatter(
    marks: &[Mark<'_>],
    cost: &dyn Fn(&Mark<'_>) -> f64,
    score: &str,
    words: &str,
) -> Result<Markup> {
    let scores = marks.iter().map(|m| m.score);
    let low = scores.clone().fold(f64::INFINITY, f64::min);
    let high = scores.fold(f64::NEG_INFINITY, f64::max);
    let room = ((high - low) * 0.12).max(ROOM);
    // Scores that are percents have no ticks beyond 100.
    let most_score = if high <= 100.0 { 100.0 } else { f64::INFINITY };
    let top = if high <= 100.0 {
        high + room.min(0.3 * (100.0 - low) + 0.12)
    } else {
        high + room
    };
    let most = marks.iter().map(cost).fold(0.0, f64::max) * 1.12;
    // Three digits of the greatest.
    let digits = (2.0 - most.max(1e-9).log10().floor()).clamp(0.0, 5.0) as usize;
    chart::picture(&format!("{score} over {words}"), SIZE, |area| {
        let mut plot = ChartBuilder::on(area)
            .margin(14)
            .x_label_area_size(44)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..most.max(1e-9), low - room..top)?;
        plot.configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(QUIET)
            .x_desc(words)
            .y_desc(score)
            .x_labels(6)
            .x_label_formatter(&|x| format!("{x:.digits$}"))
            .y_labels(6)
            .y_label_formatter(&|y| match *y <= most_score + 1e-9 {
                true => format!("{y:.1}"),
                false => String::new(),
            })
            .label_style((FONT, 14).into_font().color(&INK))
            .draw()?;
        plot.draw_series(marks.iter().map(|m| {
            let colour = if m.over { BAD } else { GOOD };
            Circle::new((cost(m), m.score), 5, colour.filled())
        }))?;
        let chosen = marks.iter().filter(|m| m.chosen);
        plot.draw_series(chosen.map(|m| Circle::new((cost(m), m.score), 10, INK.stroke_width(2))))?;
        for m in marks.iter().filter(|m| !m.name.is_empty()) {
            let (x, y) = plot.backend_coord(&(cost(m), m.score));
            // The label lies on the side with more room.
            let left = cost(m) > most / 2.0;
            let width = m.name.chars().count() as i32 * 8;
            let at = (if left { x - 14 - width } else { x + 14 }, y - 7);
            let style = (FONT, 14).into_font().color(&INK);
            area.draw(&Text::new(m.name.to_owned(), at, style))?;
        }
        Ok(())
    })
}

fn searched(search: &Search) -> Markup {
    html! {
        p {
            "Score: " (search.metric)
            @if let Some(cases) = search.cases { " of " (cases) " cases" }
            ". Budgets: " (search.budgets.join(", ")) ". "
            @if search.met { "They are kept." } @else { b.bad { "No program keeps them." } }
        }
    }
}

fn tables(search: &Search) -> Markup {
    html! {
        div.scroll {
            table.points.sortable {
                thead {
                    tr {
                        (head("program", "", Sorted::No)) (head("score", "n", Sorted::No)) (head("drop", "n", Sorted::No))
                        (head("flash", "n", Sorted::No)) (head("RAM", "n", Sorted::No)) (head("ms", "n", Sorted::No))
                        (head("over budget", "", Sorted::No))
                    }
                }
                tbody {
                    @for p in &search.points {
                        tr.chosen[p.chosen] {
                            td.w { (p.name) }
                            (number(Some(p.score), &format!("{:.2}", p.score)))
                            (number(Some(p.drop), &format!("{:.2}", p.drop)))
                            (number(Some(p.flash_bytes as f64), &sizes::show(p.flash_bytes)))
                            (number(Some(p.ram_bytes as f64), &sizes::show(p.ram_bytes)))
                            (number(Some(p.latency_ms), &format!("{:.3}", p.latency_ms)))
                            td { (p.missed.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) }
                        }
                    }
                }
            }
        }
        @if !search.sensitivities.is_empty() {
            h3 { "What each layer alone does to the outputs" }
            div.scroll {
                table.sortable {
                    thead {
                        tr {
                            (head("layer", "", Sorted::No)) (head("operator", "", Sorted::No)) (head("as", "", Sorted::No))
                            (head("outputs' SNR", "n", Sorted::Ascending)) (head("saves", "n", Sorted::No)) (head("kept out", "", Sorted::No))
                        }
                    }
                    tbody {
                        @for s in by_noise(search) {
                            tr {
                                td.w { (s.node) }
                                td { (s.operator) }
                                td { (s.precision) }
                                (number(Some(s.snr_db), &format!("{:.1} dB", s.snr_db)))
                                (number(Some(s.saves_bytes as f64), &sizes::show(s.saves_bytes)))
                                td { @if s.kept { "yes" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn by_noise(search: &Search) -> Vec<&Sensitivity> {
    let mut all: Vec<_> = search.sensitivities.iter().collect();
    all.sort_by(|a, b| a.snr_db.total_cmp(&b.snr_db));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_is_that_of_classes_or_of_values() {
        let of = |snr_db, top1| {
            percent(&Agreement {
                snr_db,
                top1,
                ..Agreement::default()
            })
        };
        assert!((of(40.0, None) - 99.0).abs() < 1e-9);
        assert!((of(5.0, Some(0.75)) - 75.0).abs() < 1e-9);
        assert_eq!(of(-10.0, None), 0.0);
    }
}
