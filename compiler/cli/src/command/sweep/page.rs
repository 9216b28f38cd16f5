//! The page of a sweep: what is possible within the budget, and what was tried.

use super::record::{Bundle, Standing};
use super::trial::Site;
use super::{Found, Trial, settings};
use crate::page::chart::{self, FONT, GOOD, GRID, INK, QUIET};
use crate::page::{self, Sorted, Tile, head, number, tiles};
use crate::sizes;
use anyhow::Result;
use maud::{Markup, html};
use plotters::prelude::*;

/// Pixels of a chart.
const SIZE: (u32, u32) = (460, 340);

/// What candidates are shown by beside their accuracy.
struct Axis {
    words: &'static str,
    /// The number of a bundle.
    of: fn(&Bundle) -> Option<f64>,
    /// The limit in the same unit.
    limit: Option<f64>,
}

fn axes(site: &Site) -> Vec<Axis> {
    let kib = |bytes: Option<u64>| bytes.map(|b| b as f64 / 1024.0);
    let mut all = vec![
        Axis {
            words: "program, KiB",
            of: |b| Some(b.takes.program_bytes as f64 / 1024.0),
            limit: kib(site.limits.flash),
        },
        Axis {
            words: "memory, KiB",
            of: |b| Some(b.takes.arena_bytes as f64 / 1024.0),
            limit: kib(site.limits.ram),
        },
    ];
    if site.clock.is_some() {
        all.push(Axis {
            words: "ms a run",
            of: |b| b.takes.latency_ms,
            limit: site.limits.latency_ms,
        });
    }
    all
}

/// The page of a sweep.
pub fn page(site: &Site, found: &Found) -> Result<String> {
    let best = found.best.map(|b| &found.trials[b]);
    let figures = best.and_then(|t| Some((t, t.record.bundle?)));
    let mut pictures = Vec::new();
    for axis in axes(site) {
        pictures.push(scatter(site, found, &axis)?);
    }
    let body = html! {
        @if let Some((trial, b)) = figures {
            (tiles(&[
                Tile::new("right of the samples kept back", format!("{:.2} %", b.test_accuracy * 100.0)),
                Tile::new("program", sizes::show(b.takes.program_bytes)),
                Tile::new("memory", sizes::show(b.takes.arena_bytes)),
                Tile::new("a run", b.takes.latency_ms.map_or("-".into(), |ms| format!("{ms:.3} ms"))),
            ]))
            p { "The best is trial " (trial.number) ": " (settings(&trial.record.values)) "." }
        } @else {
            p { b.bad { "No trial keeps all limits." } }
        }
        h2 { "What is possible" }
        figure {
            div.pair { @for picture in &pictures { (picture) } }
            figcaption {
                "Every trial that was trained to its end, as a bundle: filled where it keeps all limits; the line joins those that no "
                "other is better than, a ring marks the best, dashed lines are limits. Right answers are those to validation samples."
            }
        }
        h2 { "Trials" }
        (table(found))
        @if let Some(clock) = site.clock { p.under { "ms a run: " (clock.describe()) "." } }
    };
    let under = format!("{} trials", found.trials.len());
    Ok(page::document(
        &format!("{}: sweep", site.project.name),
        &under,
        &body,
    ))
}

/// The first picture of the page, as a file of its own.
pub fn picture(site: &Site, found: &Found) -> Result<String> {
    let axes = axes(site);
    Ok(chart::alone(&scatter(site, found, &axes[0])?))
}

/// Right answers over what a bundle takes.
fn scatter(site: &Site, found: &Found, axis: &Axis) -> Result<Markup> {
    let mut points: Vec<(f64, f64, &Trial)> = Vec::new();
    for trial in &found.trials {
        let bundle = trial.record.bundle.as_ref();
        if let Some((b, x)) = bundle.and_then(|b| Some((b, (axis.of)(b)?))) {
            points.push((x, b.validation_accuracy * 100.0, trial));
        }
    }
    let span = |values: &mut dyn Iterator<Item = f64>| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let room = ((high - low) * 0.08).max(high.abs() * 1e-3).max(1e-6);
        (low - room, high + room)
    };
    let asked = site.limits.accuracy.map(|a| a * 100.0);
    let (left, right) = span(&mut points.iter().map(|p| p.0).chain(axis.limit));
    let (bottom, top) = span(&mut points.iter().map(|p| p.1).chain(asked));
    let best = found.best.map(|b| found.trials[b].number);
    chart::picture(
        &format!("right answers over {}", axis.words),
        SIZE,
        |area| {
            let mut plot = ChartBuilder::on(area)
                .margin(14)
                .x_label_area_size(40)
                .y_label_area_size(66)
                .build_cartesian_2d(left..right, bottom..top)?;
            plot.configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID)
                .axis_style(QUIET)
                .x_desc(axis.words)
                .y_desc("right, %")
                .x_labels(6)
                .y_labels(6)
                .label_style((FONT, 14).into_font().color(&INK))
                .draw()?;
            let ends = [
                axis.limit.map(|x| [(x, bottom), (x, top)]),
                asked.map(|y| [(left, y), (right, y)]),
            ];
            for line in ends.into_iter().flatten() {
                let style = QUIET.stroke_width(1);
                plot.draw_series(DashedLineSeries::new(line, 4, 4, style))?;
            }
            let mut front: Vec<(f64, f64)> = (points.iter().filter(|p| p.2.on_front))
                .map(|p| (p.0, p.1))
                .collect();
            front.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
            // Of the whole front, what is a front by these two numbers.
            let mut highest = f64::NEG_INFINITY;
            front.retain(|p| {
                let better = p.1 > highest;
                highest = highest.max(p.1);
                better
            });
            plot.draw_series(LineSeries::new(front, GOOD.stroke_width(1)))?;
            for (x, y, trial) in &points {
                let kept = trial.standing == Standing::Kept;
                let style = if kept {
                    GOOD.filled()
                } else {
                    QUIET.stroke_width(1)
                };
                plot.draw_series([Circle::new((*x, *y), 4, style)])?;
                if best == Some(trial.number) {
                    plot.draw_series([Circle::new((*x, *y), 8, INK.stroke_width(2))])?;
                }
            }
            Ok(())
        },
    )
}

fn table(found: &Found) -> Markup {
    html! {
        div.scroll {
            table.sortable {
                thead {
                    tr {
                        (head("trial", "n", Sorted::Ascending))
                        (head("came to", "", Sorted::No))
                        (head("validation, %", "n", Sorted::No))
                        (head("kept back, %", "n", Sorted::No))
                        (head("parameters", "n", Sorted::No))
                        (head("program", "n", Sorted::No))
                        (head("memory", "n", Sorted::No))
                        (head("ms a run", "n", Sorted::No))
                        (head("epochs", "n", Sorted::No))
                        th scope="col" { "settings" }
                    }
                }
                tbody {
                    @for (i, trial) in found.trials.iter().enumerate() {
                        @let record = &trial.record;
                        @let takes = record.bundle.map(|b| b.takes).or(record.footprint);
                        @let rung = record.rungs.iter().next_back();
                        @let share = record.bundle.map(|b| b.validation_accuracy).or(rung.map(|r| f64::from(*r.1)));
                        @let epochs = record.bundle.map(|b| b.epochs).or(rung.map(|r| *r.0));
                        @let percent = |v: Option<f64>| number(v, &v.map_or(String::new(), |v| format!("{:.2}", v * 100.0)));
                        @let size = |v: Option<u64>| number(v.map(|v| v as f64), &v.map_or(String::new(), sizes::show));
                        tr {
                            (number(Some(trial.number as f64), &trial.number.to_string()))
                            td {
                                @if found.best == Some(i) { b { "best" } }
                                @else if trial.on_front { "no other is better" }
                                @else if let Some(why) = &record.failure { "failed: " (why) }
                                @else { (trial.standing.describe()) }
                            }
                            (percent(share)) (percent(record.bundle.map(|b| b.test_accuracy)))
                            (number(takes.map(|t| t.parameters as f64), &takes.map_or(String::new(), |t| t.parameters.to_string())))
                            (size(takes.map(|t| t.program_bytes))) (size(takes.map(|t| t.arena_bytes)))
                            @let ms = takes.and_then(|t| t.latency_ms);
                            (number(ms, &ms.map_or(String::new(), |ms| format!("{ms:.3}"))))
                            (number(epochs.map(|e| e as f64), &epochs.map_or(String::new(), |e| e.to_string())))
                            td { (settings(&record.values)) }
                        }
                    }
                }
            }
        }
    }
}
