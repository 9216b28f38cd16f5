//! Tensors: what calibration saw of them, and the ranges that they got.

use super::layers::decibels;
use crate::page::{Sorted, head, number};
use cygnet_compiler::quantize::{Channels, TensorRecord};
use maud::{Markup, html};

/// Width and height of the drawing of a histogram or of bars, without labels.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 110.0;
/// Room for labels below.
const LABELS: f64 = 22.0;

/// A table of all tensors.
pub fn table(list: &[TensorRecord]) -> Markup {
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
                        td { (thumbnail(t)) }
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

/// Range and steps of a tensor in words.
pub fn spread(t: &TensorRecord) -> String {
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

/// The ends of a tensor's range.
fn ends(t: &TensorRecord) -> (f32, f32) {
    let at = |q: i32| (q - t.zero) as f32 * t.scale;
    (at(-128), at(127))
}

/// The span that a histogram shows: all that was seen, and the whole range.
fn span(t: &TensorRecord) -> (f64, f64) {
    let (low, high) = ends(t);
    let [a, b] = t.seen;
    (f64::from(low.min(a)), f64::from(high.max(b)))
}

/// Bars of the values seen, as left edge, width and height in parts of the drawing. Heights are square roots of counts.
fn bars(t: &TensorRecord) -> Vec<[f64; 3]> {
    let most = t.histogram.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (low, high) = span(t);
    let width = (high - low).max(f64::MIN_POSITIVE);
    let [a, b] = t.seen.map(f64::from);
    let bin = (b - a) / t.histogram.len().max(1) as f64;
    let all = t.histogram.iter().enumerate().filter(|(_, n)| **n > 0);
    all.map(|(i, n)| {
        let left = (a + bin * i as f64 - low) / width;
        [left, bin / width, (*n as f64 / most).sqrt()]
    })
    .collect()
}

/// Where a value lies in the span of a histogram, in parts of it.
fn place(t: &TensorRecord, v: f32) -> f64 {
    let (low, high) = span(t);
    ((f64::from(v) - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
}

/// A histogram in a row of a table: bars, and lines where the range ends.
fn thumbnail(t: &TensorRecord) -> Markup {
    let (low, high) = ends(t);
    html! {
        svg.histogram.small viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=(format!("values of {}", t.tensor)) {
            @for [left, width, height] in bars(t) {
                rect x=(px(left * 100.0)) y=(px(20.0 - height * 20.0)) width=(px(width * 100.0)) height=(px(height * 20.0)) {}
            }
            @for v in [low, high] {
                @let x = px(place(t, v) * 100.0);
                line x1=(x) x2=(x) y1="0" y2="20" {}
            }
        }
    }
}

/// A histogram with its range: what lies outside is dimmed.
pub fn histogram(t: &TensorRecord) -> Markup {
    let (low, high) = ends(t);
    let (first, last) = span(t);
    let at = |v: f32| place(t, v) * WIDTH;
    let zero = (first < 0.0 && last > 0.0).then(|| at(0.0));
    let zero = zero.filter(|x| (70.0..WIDTH - 70.0).contains(x));
    html! {
        figure {
            svg.histogram viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + LABELS)) role="img" {
                title { "values of " (t.tensor) ", range " (format!("{low:.3} to {high:.3}")) }
                rect.range x=(px(at(low))) y="0" width=(px(at(high) - at(low))) height=(px(HEIGHT)) {}
                @for [left, width, height] in bars(t) {
                    @let middle = left + width / 2.0;
                    @let inside = middle >= place(t, low) && middle <= place(t, high);
                    rect.outside[!inside] x=(px(left * WIDTH)) y=(px(HEIGHT - height * (HEIGHT - 6.0))) width=(px((width * WIDTH).max(0.5)))
                        height=(px(height * (HEIGHT - 6.0))) {}
                }
                @for v in [low, high] {
                    @let x = px(at(v));
                    line x1=(x) x2=(x) y1="0" y2=(px(HEIGHT)) {}
                }
                text x="0" y=(px(HEIGHT + LABELS - 6.0)) { (format!("{first:.3}")) }
                @if let Some(x) = zero { text x=(px(x)) y=(px(HEIGHT + LABELS - 6.0)) text-anchor="middle" { "0" } }
                text x=(px(WIDTH)) y=(px(HEIGHT + LABELS - 6.0)) text-anchor="end" { (format!("{last:.3}")) }
            }
        }
    }
}

/// A bar for the largest magnitude of each channel, and a line at the median.
pub fn channels(name: &str, c: &Channels) -> Markup {
    let largest = f64::from(c.largest).max(f64::MIN_POSITIVE);
    let width = WIDTH / c.magnitudes.len().max(1) as f64;
    let height = |m: f32| f64::from(m) / largest * (HEIGHT - 6.0);
    let y = px(HEIGHT - height(c.median));
    let each = c.count.div_ceil(c.magnitudes.len().max(1));
    html! {
        figure {
            svg.histogram viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + LABELS)) role="img" {
                title { (name) }
                @for (i, m) in c.magnitudes.iter().enumerate() {
                    @let outlier = f64::from(*m) > 8.0 * f64::from(c.median);
                    rect.outside[outlier] x=(px(i as f64 * width + width * 0.08)) y=(px(HEIGHT - height(*m))) width=(px(width * 0.84))
                        height=(px(height(*m).max(0.5))) {}
                }
                line x1="0" x2=(px(WIDTH)) y1=(y) y2=(y) {}
                text x="0" y=(px(HEIGHT + LABELS - 6.0)) { "channel 0" }
                text x=(px(WIDTH)) y=(px(HEIGHT + LABELS - 6.0)) text-anchor="end" { (c.count.saturating_sub(1)) }
            }
            figcaption {
                (format!("Up to {:.4} in channel {}, median {:.4} (the line): {:.1} times as far.", c.largest, c.at, c.median, c.spread()))
                @if each > 1 { " A bar is the largest of " (each) " channels." }
            }
        }
    }
}

fn px(v: f64) -> String {
    format!("{v:.2}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_compiler::quantize::Method;

    #[test]
    fn histograms_span_values_and_range() {
        let t = TensorRecord {
            tensor: "x".into(),
            method: Method::Mse,
            scale: 1.0,
            zero: -128,
            seen: [0.0, 510.0],
            kept_back: None,
            saturated: 0.5,
            snr_db: 3.0,
            rms: 1.0,
            softmax: None,
            histogram: vec![4, 0, 0, 1],
        };
        assert_eq!(ends(&t), (0.0, 255.0));
        assert_eq!(place(&t, 255.0), 0.5);
        assert_eq!(bars(&t), [[0.0, 0.25, 1.0], [0.75, 0.25, 0.5]]);
        let drawn = histogram(&t).into_string();
        assert_eq!(drawn.matches("class=\"outside\"").count(), 1, "{drawn}");
    }
}
