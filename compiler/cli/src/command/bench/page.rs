//! The profile for people: one HTML file that needs nothing else.

use super::profile::{OperatorTime, StepTime};
use super::{Report, roofline, text};
use crate::machine::Machine;
use crate::page::{Sorted, Tile, chart, document, head, number, tiles};
use crate::sizes;
use anyhow::{Context, Result};
use maud::{Markup, html};
use std::path::Path;

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
    let body = html! {
        (tiles(&figures(r)))
        h2 { "Machine" }
        (facts(machine))
        h2 { "Roofline" }
        figure {
            div.scroll { (picture) }
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
    };
    let subtitle = format!(
        "Profile of {} by cygnet {}",
        r.bundle,
        env!("CARGO_PKG_VERSION")
    );
    Ok(document(name, &subtitle, &body))
}

fn dot(rank: usize) -> Markup {
    html! { svg.dot viewBox="0 0 2 2" aria-hidden="true" { circle class=(chart::fill(rank)) cx="1" cy="1" r="1" {} } }
}

fn figures(r: &Report) -> Vec<Tile> {
    let time: f64 = r.profile.iter().map(|s| s.microseconds).sum();
    let least: f64 = r.profile.iter().map(|s| s.limit_microseconds).sum();
    let operations: u64 = r.profile.iter().map(|s| s.operations).sum();
    let plural = if r.threads == 1 { "" } else { "s" };
    let mut tiles = vec![
        Tile::new("median latency", format!("{:.3} ms", r.median_ms)),
        Tile::new("fastest run", format!("{:.3} ms", r.min_ms)),
        Tile::new("99th percentile", format!("{:.3} ms", r.p99_ms)),
        Tile::new(
            "instruction set",
            format!("{}, {} thread{plural}", r.isa, r.threads),
        ),
        Tile::new("load", format!("{:.3} ms", r.load_ms)),
        Tile::new("arena", sizes::show(r.arena_bytes)),
        Tile::new("bundle", sizes::show(r.file_bytes)),
    ];
    if let Some(bytes) = r.peak_rss_bytes {
        tiles.push(Tile::new("peak memory of the process", sizes::show(bytes)));
    }
    let operations = format!("{:.3} × 10⁹", operations as f64 / 1e9);
    tiles.push(Tile::new("operations a run", operations));
    if time > 0.0 {
        let part = text::percent(Some(least / time));
        tiles.push(Tile::new("of the limit", part));
    }
    tiles
}

fn facts(m: &Machine) -> Markup {
    html! {
        table.facts {
            tbody {
                @if let Some(cpu) = &m.cpu {
                    tr { th scope="row" { "processor" } td { (cpu) } }
                }
                tr { th scope="row" { "threads" } td { (m.threads) } }
                tr { th scope="row" { "peak, float" } td { (format!("{:.1} GFLOP/s", m.peak_gflops)) " (" (m.float_isa) ")" } }
                tr { th scope="row" { "peak, 8-bit" } td { (format!("{:.1} GOP/s", m.peak_gops)) " (" (m.integer_isa) ")" } }
                @for level in &m.bandwidth {
                    tr {
                        th scope="row" { "read from " (level.name) }
                        td {
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
                    th scope="col" { "operator" } th.n scope="col" { "steps" } th.n scope="col" { "µs" }
                    th.n scope="col" { "share" } td {} th.n scope="col" { "rate" } th.n scope="col" { "of peak" }
                    th.n scope="col" { "of limit" }
                }
            }
            tbody {
                @for (i, o) in list.iter().enumerate() {
                    tr {
                        td { (dot(i)) (o.operator) }
                        td.n { (o.steps) }
                        td.n { (text::one_decimal(Some(o.microseconds))) }
                        td.n { (text::percent(Some(o.share))) }
                        td.bars {
                            svg.bar viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true" {
                                rect class=(chart::fill(i)) width=(format!("{:.2}", o.share / longest * 100.0)) height="1" {}
                            }
                        }
                        td.n { (text::rate(o.gflops, o.gops)) }
                        td.n { (text::percent(o.peak_share)) }
                        td.n { (text::percent(o.limit_share)) }
                    }
                }
            }
        }
    }
}

fn steps(list: &[StepTime]) -> Markup {
    let mut rows: Vec<&StepTime> = list.iter().collect();
    rows.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
    html! {
        table.sortable {
            thead {
                tr {
                    (head("step", "n", Sorted::No)) (head("operator", "", Sorted::No)) (head("µs", "n", Sorted::Descending))
                    (head("share", "n", Sorted::No)) (head("result", "", Sorted::No)) (head("rate", "n", Sorted::No))
                    (head("moved", "n", Sorted::No)) (head("op/byte", "n", Sorted::No)) (head("of limit", "n", Sorted::No))
                    (head("bound by", "", Sorted::No)) (head("node", "", Sorted::No))
                }
            }
            tbody {
                @for s in rows {
                    tr {
                        (number(Some(f64::from(s.step)), &s.step.to_string()))
                        td { (s.operator) }
                        (number(Some(s.microseconds), &text::one_decimal(Some(s.microseconds))))
                        (number(Some(s.share), &text::percent(Some(s.share))))
                        td { (text::shape(s)) }
                        (number(s.rate(), &text::rate(s.gflops, s.gops)))
                        (number(Some(s.bytes as f64), &sizes::show(s.bytes)))
                        (number(s.intensity, &text::one_decimal(s.intensity)))
                        (number(s.limit_share, &text::percent(s.limit_share)))
                        td { (s.bound.as_deref().unwrap_or_default()) }
                        td.w.node { (s.node) }
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
            Some(crate::page::policy().as_str())
        );
        // Two steps with arithmetic: a filled and an outlined circle each.
        assert_eq!(select(&page, "figure svg.wide circle").len(), 4);
        let labels: Vec<String> = select(&page, "figure svg text")
            .iter()
            .map(|t| t.text().collect::<String>().trim().to_owned())
            .collect();
        for label in ["0 conv", "1 conv", "100 GFLOP/s (scalar)", "memory 50 GB/s"] {
            assert!(labels.iter().any(|l| l == label), "{label} in {labels:?}");
        }
    }
}
