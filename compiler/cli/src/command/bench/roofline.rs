//! The roofline picture: what steps reach beside what the machine allows, over operations a byte.

use super::profile::StepTime;
use crate::machine::Machine;
use crate::page::chart::{self, Canvas, FONT, GRID, INK, QUIET};
use anyhow::Result;
use maud::Markup;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Pixels of the picture.
const SIZE: (u32, u32) = (1040, 600);
/// Steps that get a label.
const LABELS: usize = 6;
/// Share of the time below which a step is not drawn.
pub const LEAST_SHARE: f64 = 0.0005;
/// Area in square pixels of a step that takes all the time.
const WHOLE_AREA: f64 = 9000.0;
/// How far below the highest roof the picture reaches at most: slower steps lie on its edge.
const LOWEST: f64 = 1e4;

/// A step in the picture.
struct Point {
    step: u32,
    name: String,
    intensity: f64,
    rate: f64,
    share: f64,
    rank: usize,
}

/// A box of pixels: left, top, right, bottom.
type Area = [i32; 4];

fn meet(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

fn points(steps: &[StepTime], rank: &dyn Fn(&str) -> usize) -> Vec<Point> {
    let mut points: Vec<Point> = steps
        .iter()
        .filter(|s| s.share >= LEAST_SHARE)
        .filter_map(|s| {
            Some(Point {
                step: s.step,
                name: s.operator.clone(),
                intensity: s.intensity?,
                rate: s.rate()?,
                share: s.share,
                rank: rank(&s.operator),
            })
        })
        .collect();
    // Large ones first: small ones lie on top.
    points.sort_by(|a, b| b.share.total_cmp(&a.share));
    points
}

/// The picture; `rank` numbers the operators by time.
pub fn svg(machine: &Machine, steps: &[StepTime], rank: &dyn Fn(&str) -> usize) -> Result<Markup> {
    let points = points(steps, rank);
    let mut roofs = Vec::new();
    let kinds = [
        (
            steps.iter().any(|s| s.gflops.is_some()),
            machine.peak_gflops,
            "GFLOP/s",
            &machine.float_isa,
        ),
        (
            steps.iter().any(|s| s.gops.is_some()),
            machine.peak_gops,
            "GOP/s, 8-bit",
            &machine.integer_isa,
        ),
    ];
    for (used, peak, unit, isa) in kinds {
        if used {
            roofs.push((peak, format!("{peak:.0} {unit} ({isa})")));
        }
    }
    let top = roofs.iter().fold(1.0, |t, r| r.0.max(t));
    let slowest = machine
        .bandwidth
        .iter()
        .fold(f64::MAX, |t, l| l.gigabytes_per_second.min(t));
    let ridge = top / slowest;
    let edge = |of: &dyn Fn(&Point) -> f64, first: f64, pick: fn(f64, f64) -> f64| {
        points.iter().map(of).fold(first, pick)
    };
    // Room on both sides, and for the slopes where all steps are bound by arithmetic.
    let x = (
        edge(&|p| p.intensity, ridge / 20.0, f64::min) / 1.5,
        edge(&|p| p.intensity, ridge * 3.0, f64::max) * 1.8,
    );
    let low = edge(&|p| p.rate, slowest * x.0, f64::min);
    let y = (low.max(top / LOWEST) / 1.5, top * 1.8);

    chart::picture(
        "what steps reach beside what the machine allows",
        SIZE,
        |root| {
            let mut plot = ChartBuilder::on(root)
                .margin(12)
                .margin_right(24)
                .x_label_area_size(48)
                .y_label_area_size(64)
                .build_cartesian_2d((x.0..x.1).log_scale(), (y.0..y.1).log_scale())?;
            plot.configure_mesh()
                .x_desc("operations a byte")
                .y_desc("10⁹ operations a second")
                .axis_desc_style((FONT, 15, &INK))
                .label_style((FONT, 13, &INK))
                .x_label_formatter(&|v| format!("{v}"))
                .y_label_formatter(&|v| format!("{v}"))
                .light_line_style(TRANSPARENT)
                .y_labels(8)
                .bold_line_style(GRID)
                .axis_style(QUIET)
                .draw()?;
            let circles: Vec<((i32, i32), i32)> = points
                .iter()
                .map(|p| {
                    let radius = (p.share * WHOLE_AREA / std::f64::consts::PI).sqrt() as i32;
                    let at = plot.backend_coord(&(p.intensity, p.rate.max(y.0)));
                    (at, radius.max(3))
                })
                .collect();
            let frame = plot.plotting_area().get_pixel_range();
            let frame = [frame.0.start, frame.1.start, frame.0.end, frame.1.end];
            let mut taken: Vec<Area> = circles
                .iter()
                .map(|(at, radius)| around(*at, radius * 4 / 5))
                .collect();
            let note = TextStyle::from((FONT, 13).into_font()).color(&QUIET);
            for (peak, text) in &roofs {
                let line = [(x.0, *peak), (x.1, *peak)];
                plot.draw_series(LineSeries::new(line, INK.stroke_width(2)))?;
                let (start, end) = (plot.backend_coord(&line[0]), plot.backend_coord(&line[1]));
                let style = note.color(&INK);
                let free = (0..10).find_map(|tenth| {
                    let at = (end.0 - 6 - (end.0 - start.0) * tenth / 10, end.1 - 11);
                    is_free(&area_of(text, at, false), &frame, &taken).then_some(at)
                });
                // On top of circles rather than nowhere.
                let at = free.unwrap_or((end.0 - 6, end.1 - 11));
                taken.push(label(root, text, at, &style, HPos::Right)?);
                taken.push([start.0, end.1 - 2, end.0, end.1 + 2]);
            }
            for (i, level) in machine.bandwidth.iter().enumerate() {
                let bandwidth = level.gigabytes_per_second;
                let from = x.0.max(y.0 / bandwidth);
                let to = top / bandwidth;
                let line = [(from, from * bandwidth), (to, top)];
                plot.draw_series(LineSeries::new(line, QUIET.stroke_width(1)))?;
                let text = format!("{} {bandwidth:.0} GB/s", level.name);
                // The first has room above, the others below.
                let (side, shift) = if i == 0 {
                    (HPos::Right, (-12, -4))
                } else {
                    (HPos::Left, (18, 2))
                };
                let free = (0..10).find_map(|tenth| {
                    let along = from * (to / from).powf(f64::from(tenth) / 10.0);
                    let at = plot.backend_coord(&(along, along * bandwidth));
                    let at = (at.0 + shift.0, at.1 + shift.1);
                    let area = area_of(&text, at, i > 0);
                    is_free(&area, &frame, &taken).then_some(at)
                });
                if let Some(at) = free {
                    taken.push(label(root, &text, at, &note, side)?);
                }
            }
            for (p, (at, radius)) in points.iter().zip(&circles) {
                let colour = chart::series(p.rank);
                root.draw(&Circle::new(*at, *radius, colour.mix(0.45).filled()))?;
                root.draw(&Circle::new(*at, *radius, colour.stroke_width(1)))?;
            }
            let style = TextStyle::from((FONT, 13).into_font()).color(&INK);
            for (p, (at, radius)) in points.iter().zip(&circles).take(LABELS) {
                let text = format!("{} {}", p.step, p.name);
                let Some((place, area)) = free_place(&text, *at, *radius, &frame, &taken) else {
                    continue;
                };
                let end = (place.0, place.1);
                if (end.0 - at.0).abs() + (end.1 - at.1).abs() > radius + 24 {
                    let near = (if end.0 > at.0 { area[0] } else { area[2] }, end.1);
                    root.draw(&PathElement::new(vec![*at, near], QUIET.mix(0.6)))?;
                }
                let side = if end.0 > at.0 {
                    HPos::Left
                } else {
                    HPos::Right
                };
                taken.push(label(root, &text, place, &style, side)?);
            }
            Ok(())
        },
    )
}

fn around(at: (i32, i32), by: i32) -> Area {
    [at.0 - by, at.1 - by, at.0 + by, at.1 + by]
}

/// Pixels that a text of 13-pixel letters takes, a little generously: an SVG has no fonts of its own to measure.
fn extent(text: &str) -> (i32, i32) {
    (text.chars().count() as i32 * 15 / 2, 16)
}

fn area_of(text: &str, at: (i32, i32), right: bool) -> Area {
    let (w, h) = extent(text);
    let left = if right { at.0 } else { at.0 - w };
    [left, at.1 - h / 2, left + w, at.1 + h / 2]
}

/// Whether an area lies in the frame and meets nothing.
fn is_free(area: &Area, frame: &Area, taken: &[Area]) -> bool {
    let inside =
        area[0] > frame[0] && area[2] < frame[2] && area[1] > frame[1] && area[3] < frame[3];
    inside && !taken.iter().any(|t| meet(t, area))
}

/// Somewhere near a circle where a label meets nothing: the anchor (left of the text's middle when it lies to the right
/// of the circle, right of it otherwise) and the area.
fn free_place(
    text: &str,
    at: (i32, i32),
    radius: i32,
    frame: &Area,
    taken: &[Area],
) -> Option<((i32, i32), Area)> {
    for ring in 0..16 {
        for side in [1, -1] {
            for up in [0, -1, 1] {
                let place = (at.0 + side * (radius + 5 + ring * 6), at.1 + up * ring * 17);
                let area = area_of(text, place, side > 0);
                if is_free(&area, frame, taken) {
                    return Some((place, area));
                }
            }
        }
    }
    None
}

/// Draws a text, its left or right end at `at`; gives its area.
fn label(
    root: &Canvas<'_>,
    text: &str,
    at: (i32, i32),
    style: &TextStyle<'_>,
    side: HPos,
) -> Result<Area> {
    let right = matches!(side, HPos::Left);
    root.draw(&Text::new(
        text.to_owned(),
        at,
        style.pos(Pos::new(side, VPos::Center)),
    ))?;
    Ok(area_of(text, at, right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart() {
        let frame = [0, 0, 500, 300];
        let mut taken = vec![around((100, 100), 5)];
        for _ in 0..5 {
            let (_, area) = free_place("12 conv", (100, 100), 10, &frame, &taken).unwrap();
            assert!(!taken.iter().any(|t| meet(t, &area)));
            taken.push(area);
        }
        assert!(free_place(&"w".repeat(100), (100, 100), 10, &frame, &taken).is_none());
    }
}
