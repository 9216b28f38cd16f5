//! Tensors: what calibration saw of them, and the ranges that they got.

use super::layers::decibels;
use crate::page::{Sorted, head, number};
use cygnet_compiler::quantize::{Channels, TensorRecord};
use maud::{Markup, html};

/// Width and height of the drawing of a histogram or of bars, without labels.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 90.0;
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
    ) + &t.read_snr_db.map_or_else(String::new, |db| {
        format!(
            "; {:.1} dB above its error, {db:.1} dB after the function that reads it",
            t.snr_db
        )
    })
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

/// Bars of the values seen as two paths, within the range and outside of it, in a drawing of this size. Heights are square
/// roots of counts.
fn bars(t: &TensorRecord, width: f64, height: f64) -> [String; 2] {
    let most = t.histogram.iter().copied().max().unwrap_or(0).max(1) as f64;
    let (low, high) = span(t);
    let all = (high - low).max(f64::MIN_POSITIVE);
    let [a, b] = t.seen.map(f64::from);
    let bin = (b - a) / t.histogram.len().max(1) as f64;
    let wide = (bin / all * width).max(0.3);
    let inside = ends(t);
    let mut paths = [String::new(), String::new()];
    for (i, n) in t.histogram.iter().enumerate().filter(|(_, n)| **n > 0) {
        let begin = a + bin * i as f64;
        let left = (begin - low) / all * width;
        let tall = (*n as f64 / most).sqrt() * height;
        let middle = (begin + bin / 2.0) as f32;
        let outside = usize::from(middle < inside.0 || middle > inside.1);
        paths[outside] += &format!("M{left:.1} {height}v-{tall:.1}h{wide:.1}v{tall:.1}z");
    }
    paths
}

/// Where a value lies in the span of a histogram, in parts of it.
fn place(t: &TensorRecord, v: f32) -> f64 {
    let (low, high) = span(t);
    ((f64::from(v) - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
}

/// A histogram in a row of a table: bars, and lines where the range ends.
fn thumbnail(t: &TensorRecord) -> Markup {
    let (low, high) = ends(t);
    let [inside, outside] = bars(t, 100.0, 20.0);
    html! {
        svg.histogram.small viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label=(format!("values of {}", t.tensor)) {
            path d=(inside) {}
            @if !outside.is_empty() { path.outside d=(outside) {} }
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
    let [inside, outside] = bars(t, WIDTH, HEIGHT);
    let zero = (first < 0.0 && last > 0.0).then(|| at(0.0));
    let zero = zero.filter(|x| (70.0..WIDTH - 70.0).contains(x));
    html! {
        figure {
            svg.histogram viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + LABELS)) role="img" {
                title { "values of " (t.tensor) ", range " (format!("{low:.3} to {high:.3}")) }
                rect.range x=(px(at(low))) y="0" width=(px(at(high) - at(low))) height=(px(HEIGHT)) {}
                path d=(inside) {}
                @if !outside.is_empty() { path.outside d=(outside) {} }
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
            read_snr_db: None,
            cut: 1.0,
            softmax: None,
            histogram: vec![4, 0, 0, 1],
        };
        assert_eq!(ends(&t), (0.0, 255.0));
        assert_eq!(place(&t, 255.0), 0.5);
        let [inside, outside] = bars(&t, 100.0, 20.0);
        assert_eq!(inside, "M0.0 20v-20.0h25.0v20.0z");
        assert_eq!(outside, "M75.0 20v-10.0h25.0v10.0z");
        let drawn = histogram(&t).into_string();
        assert_eq!(drawn.matches("class=\"outside\"").count(), 1, "{drawn}");
    }
}
