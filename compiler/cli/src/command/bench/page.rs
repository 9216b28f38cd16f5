//! The profile for people: one HTML file that needs nothing else.

use super::profile::{OperatorTime, StepTime};
use super::{Report, roofline, text};
use crate::machine::Machine;
use crate::sizes;
use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::path::Path;

/// Nothing is fetched, whatever a name in the page says.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'";

/// Writes the page of a profile, whole or not at all.
pub fn write(path: &Path, report: &Report, name: &str) -> Result<()> {
    let page = page(report, name)?;
    cygnet_compiler::bundle::write_atomically(path, page.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn page(r: &Report, name: &str) -> Result<String> {
    let machine = r.machine.as_ref().context("the profile is missing")?;
    let rank = |operator: &str| {
        let found = r.operators.iter().position(|o| o.operator == operator);
        found.unwrap_or(usize::MAX)
    };
    let picture = roofline::svg(machine, &r.profile, &rank)?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (name) ": profile" }
                style { (PreEscaped(include_str!("page.css"))) }
            }
            body {
                h1 { (name) }
                p.under { "Profile of " (r.bundle) " by cygnet " (env!("CARGO_PKG_VERSION")) }
                (tiles(r))
                h2 { "Machine" }
                (facts(machine))
                h2 { "Roofline" }
                figure {
                    (PreEscaped(picture))
                    figcaption {
                        p.legend {
                            @for (i, o) in r.operators.iter().enumerate().filter(|(_, o)| o.operations > 0) {
                                span.entry { (dot(i)) (o.operator) }
                            }
                        }
                        p {
                            "Each circle is a step, its area the time. The lines are the limits of this machine: peak \
                             arithmetic and the bandwidth of each level. Steps without arithmetic, and those below "
                            (format!("{} %", roofline::LEAST_SHARE * 100.0)) " of the time, are in the table only."
                        }
                    }
                }
                h2 { "Time by operator" }
                div.scroll { (operators(&r.operators)) }
                h2 { "Steps" }
                div.scroll { (steps(&r.profile)) }
                h2 { "What the figures mean" }
                ul.notes {
                    @for note in text::NOTES { li { (note) } }
                    li {
                        "Times are medians over observed runs; watching the steps costs a little, so their sum may pass \
                         the median of the whole."
                    }
                }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    };
    Ok(page.into_string())
}

fn dot(rank: usize) -> Markup {
    html! { span.dot style=(format!("background:{}", css(rank))) {} }
}

fn css(rank: usize) -> String {
    let c = roofline::colour(rank);
    format!("rgb({},{},{})", c.0, c.1, c.2)
}

fn tiles(r: &Report) -> Markup {
    let time: f64 = r.profile.iter().map(|s| s.microseconds).sum();
    let least: f64 = r.profile.iter().map(|s| s.limit_microseconds).sum();
    let operations: u64 = r.profile.iter().map(|s| s.operations).sum();
    let plural = if r.threads == 1 { "" } else { "s" };
    let mut tiles = vec![
        ("median latency", format!("{:.3} ms", r.median_ms)),
        ("fastest run", format!("{:.3} ms", r.min_ms)),
        ("99th percentile", format!("{:.3} ms", r.p99_ms)),
        (
            "instruction set",
            format!("{}, {} thread{plural}", r.isa, r.threads),
        ),
        ("load", format!("{:.3} ms", r.load_ms)),
        ("arena", sizes::show(r.arena_bytes)),
        ("bundle", sizes::show(r.file_bytes)),
    ];
    if let Some(bytes) = r.peak_rss_bytes {
        tiles.push(("peak memory of the process", sizes::show(bytes)));
    }
    tiles.push((
        "operations a run",
        format!("{:.3} × 10⁹", operations as f64 / 1e9),
    ));
    if time > 0.0 {
        tiles.push(("of the limit", text::percent(Some(least / time))));
    }
    html! {
        div.tiles {
            @for (what, value) in &tiles { div { b { (value) } span { (what) } } }
        }
    }
}

fn facts(m: &Machine) -> Markup {
    html! {
        table.facts {
            tbody {
                @if let Some(cpu) = &m.cpu {
                    tr { td.text { "processor" } td.text { (cpu) } }
                }
                tr { td.text { "threads" } td.text { (m.threads) } }
                tr { td.text { "peak, float" } td.text { (format!("{:.1} GFLOP/s", m.peak_gflops)) " (" (m.float_isa) ")" } }
                tr { td.text { "peak, 8-bit" } td.text { (format!("{:.1} GOP/s", m.peak_gops)) " (" (m.integer_isa) ")" } }
                @for level in &m.bandwidth {
                    tr {
                        td.text { "read from " (level.name) }
                        td.text {
                            (format!("{:.1} GB/s", level.gigabytes_per_second))
                            @if let Some(bytes) = level.holds_bytes { ", holds " (sizes::show(bytes)) " a thread" }
                        }
                    }
                }
            }
        }
    }
}

fn operators(list: &[OperatorTime]) -> Markup {
    let longest = list
        .iter()
        .map(|o| o.share)
        .fold(f64::MIN_POSITIVE, f64::max);
    html! {
        table {
            thead {
                tr {
                    th.text { "operator" } th { "steps" } th { "µs" } th { "share" } th.text {}
                    th { "rate" } th { "of peak" } th { "of limit" }
                }
            }
            tbody {
                @for (i, o) in list.iter().enumerate() {
                    tr {
                        td.text { (dot(i)) (o.operator) }
                        td { (o.steps) }
                        td { (text::one_decimal(Some(o.microseconds))) }
                        td { (text::percent(Some(o.share))) }
                        td.bars {
                            div.bar {
                                div style=(format!("width:{:.2}%;background:{}", o.share / longest * 100.0, css(i))) {}
                            }
                        }
                        td { (text::rate(o.gflops, o.gops)) }
                        td { (text::percent(o.peak_share)) }
                        td { (text::percent(o.limit_share)) }
                    }
                }
            }
        }
    }
}

/// A cell that sorts by a number.
fn cell(value: f64, shown: &str) -> Markup {
    html! { td data-value=(value) { (shown) } }
}

fn steps(list: &[StepTime]) -> Markup {
    let mut rows: Vec<&StepTime> = list.iter().collect();
    rows.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    html! {
        table.sortable {
            thead {
                tr {
                    th { "step" } th.text { "operator" } th aria-sort="descending" { "µs" } th { "share" }
                    th.text { "result" } th { "rate" } th { "moved" } th { "op/byte" } th { "of limit" }
                    th.text { "bound by" } th.text { "node" }
                }
            }
            tbody {
                @for s in rows {
                    tr {
                        (cell(f64::from(s.step), &s.step.to_string()))
                        td.text { (s.operator) }
                        (cell(s.microseconds, &text::one_decimal(Some(s.microseconds))))
                        (cell(s.share, &text::percent(Some(s.share))))
                        td.text { (text::shape(s)) }
                        (cell(s.rate().unwrap_or(-1.0), &text::rate(s.gflops, s.gops)))
                        (cell(s.bytes as f64, &sizes::show(s.bytes)))
                        (cell(s.intensity.unwrap_or(-1.0), &text::one_decimal(s.intensity)))
                        (cell(s.limit_share.unwrap_or(-1.0), &text::percent(s.limit_share)))
                        td.text { (s.bound.as_deref().unwrap_or_default()) }
                        td.text.node { (s.node) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Level;
    use scraper::{Html, Selector};

    const HOSTILE: &str = "</td></table><script src=\"https://example.org/x.js\">alert(1)</script><img src=x onerror='a()'>&lt;";

    fn report() -> Report {
        let level = |name: &str, holds_bytes| Level {
            name: name.to_owned(),
            holds_bytes,
            gigabytes_per_second: 50.0,
        };
        let step = |step: u32, node: &str, gflops: Option<f64>| StepTime {
            step,
            operator: if gflops.is_some() {
                "conv"
            } else {
                "transpose"
            }
            .to_owned(),
            node: node.to_owned(),
            shape: vec![1, 2],
            dtype: "f32".to_owned(),
            microseconds: 10.0 + f64::from(step),
            share: 0.25,
            gflops,
            intensity: gflops.map(|_| 20.0),
            operations: 1000,
            bytes: 50,
            limit_microseconds: 5.0,
            limit_share: Some(0.5),
            bound: Some("compute".to_owned()),
            ..Default::default()
        };
        Report {
            bundle: HOSTILE.to_owned(),
            median_ms: 1.0,
            min_ms: 1.0,
            p99_ms: 1.0,
            mean_ms: 1.0,
            load_ms: 1.0,
            first_run_ms: 1.0,
            runs: 10,
            arena_bytes: 64,
            file_bytes: 64,
            peak_rss_bytes: None,
            isa: "scalar".to_owned(),
            threads: 1,
            machine: Some(Machine {
                cpu: Some(HOSTILE.to_owned()),
                threads: 1,
                float_isa: "scalar".to_owned(),
                integer_isa: "scalar".to_owned(),
                peak_gflops: 100.0,
                peak_gops: 400.0,
                bandwidth: vec![level("L2", Some(1000)), level("memory", None)],
                measured_ms: 1.0,
            }),
            profile: vec![
                step(0, HOSTILE, Some(80.0)),
                step(1, "plain", Some(90.0)),
                step(2, "", None),
            ],
            operators: vec![OperatorTime {
                operator: "conv".to_owned(),
                steps: 2,
                share: 0.5,
                operations: 2000,
                ..Default::default()
            }],
        }
    }

    fn select<'a>(page: &'a Html, what: &str) -> Vec<scraper::ElementRef<'a>> {
        page.select(&Selector::parse(what).unwrap()).collect()
    }

    #[test]
    fn every_step_is_there_and_names_stay_text() {
        let text = page(&report(), HOSTILE).unwrap();
        let page = Html::parse_document(&text);
        let rows = select(&page, "table.sortable tbody tr");
        assert_eq!(rows.len(), 3);
        let nodes: Vec<String> = select(&page, "td.node")
            .iter()
            .map(|n| n.text().collect())
            .collect();
        // The longest first.
        assert_eq!(nodes, ["", "plain", HOSTILE]);
        assert_eq!(select(&page, "h1")[0].text().collect::<String>(), HOSTILE);
        assert_eq!(select(&page, "script").len(), 1);
        assert!(select(&page, "img, link, iframe, object, [src], [href], [onerror]").is_empty());
    }

    #[test]
    fn nothing_comes_from_outside() {
        let mut report = report();
        report.bundle.clear();
        report.profile[0].node.clear();
        report.machine.as_mut().unwrap().cpu = None;
        let text = page(&report, "name").unwrap();
        for word in ["http://", "https://", "url(", "@import", "src="] {
            assert!(!text.contains(word), "{word}");
        }
        let page = Html::parse_document(&text);
        assert_eq!(
            select(&page, "meta[http-equiv]")[0].attr("content"),
            Some(POLICY)
        );
        // Two steps with arithmetic: a filled and an outlined circle each.
        assert_eq!(select(&page, "figure svg circle").len(), 4);
        let labels: Vec<String> = select(&page, "figure svg text")
            .iter()
            .map(|t| t.text().collect::<String>().trim().to_owned())
            .collect();
        for label in ["0 conv", "1 conv", "100 GFLOP/s (scalar)", "memory 50 GB/s"] {
            assert!(labels.iter().any(|l| l == label), "{label} in {labels:?}");
        }
    }
}
