//! The head of the report: what a quantisation gained, what it lost, and where.

use super::Quantisation;
use crate::page::{Tile, tiles};
use crate::sizes as bytes;
use cygnet_compiler::bundle::Manifest;
use cygnet_compiler::quantize::{Agreement, FINE_DB, Finding, LayerRecord, Record};
use maud::{Markup, html};

/// Layers that are told at the top.
pub const WORST: usize = 3;
/// Part of the rows with the same best class from which on programs answer alike, and below which they do not.
const ALIKE: [f64; 2] = [0.99, 0.95];
/// Decibels from which on outputs are near, and below which they are not.
const NEAR_DB: [f64; 2] = [FINE_DB, 15.0];

/// The sizes of a bundle.
pub fn sizes(m: &Manifest, bundle_bytes: u64) -> Vec<Tile> {
    let x = &m.memory;
    let all = [
        ("bundle", bundle_bytes),
        ("program (flash)", x.program_bytes),
        ("constants in it", x.constant_bytes),
        ("arena (RAM)", x.arena_bytes),
        ("states in it", x.state_bytes),
        ("live at the peak", x.lower_bound_bytes),
    ];
    let tile = |(what, n): (&str, u64)| Tile::new(what, bytes::show(n));
    all.into_iter().map(tile).collect()
}

/// Verdict, figures, worst layers.
pub fn summary(q: &Quantisation<'_>, findings: &[Finding]) -> Markup {
    let measured = q.record.layers.iter().any(|l| l.output_snr_db.is_some());
    let worst = by_layer(findings);
    let whole: Vec<&Finding> = findings.iter().filter(|f| f.snr_db.is_none()).collect();
    html! {
        p.verdict { (verdict(q)) }
        (tiles(&figures(q)))
        h2 { "What costs accuracy" }
        @if findings.is_empty() && !measured {
            p { "Layers were not measured on their own: the agreement of the outputs tells what quantising costs." }
        } @else if findings.is_empty() {
            p { (nothing(q.record)) }
        } @else {
            ol.findings {
                @for of in worst.iter().take(WORST) {
                    li {
                        h3 { (of[0].subject) @if let Some(db) = of[0].snr_db { span.bad { (format!(" {db:.1} dB")) } } }
                        (causes(of))
                    }
                }
                @for f in &whole {
                    li { h3 { @if f.subject.is_empty() { "The whole model" } @else { (f.subject) } } (causes(&[f])) }
                }
            }
            @if worst.len() > WORST { p.quiet { "and " (worst.len() - WORST) " more layers, marked in the table below" } }
        }
        @if !q.record.agreement.is_empty() {
            h2 { "Outputs" }
            (outputs(&q.record.agreement))
        }
    }
}

/// That no layer stands out, and which lose most all the same.
fn nothing(record: &Record) -> String {
    let db = |l: &LayerRecord| record.result_db(l);
    let mut all: Vec<(f64, &str)> = record
        .layers
        .iter()
        .filter_map(|l| Some((db(l)?, l.node.as_str())))
        .collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let named = |(db, node): &(f64, &str)| format!("{node} ({db:.1} dB)");
    let named: Vec<String> = all.iter().take(WORST).map(named).collect();
    format!(
        "Nothing stands out. The layers that lose most are {}.",
        named.join(", ")
    )
}

/// The findings of layers, the worst layer first.
pub fn by_layer(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut layers: Vec<Vec<&Finding>> = Vec::new();
    for f in findings.iter().filter(|f| f.snr_db.is_some()) {
        match layers.iter_mut().find(|l| l[0].subject == f.subject) {
            Some(of) => of.push(f),
            None => layers.push(vec![f]),
        }
    }
    layers
}

/// Causes with their evidence and what helps.
pub fn causes(findings: &[&Finding]) -> Markup {
    html! {
        @for f in findings {
            p { b { (capital(&f.cause.to_string())) ". " } (coded(&capital(&f.evidence))) "." br; span.advice { "→ " (coded(&f.advice)) "." } }
        }
    }
}

/// Text in which what stands between backticks is code.
fn coded(text: &str) -> Markup {
    html! {
        @for (i, part) in text.split('`').enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
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

/// The least decibels of an output, and the least part of rows with the same best class.
fn least(agreement: &[Agreement]) -> (Option<f64>, Option<f64>) {
    let db = agreement.iter().map(|a| a.snr_db).reduce(f64::min);
    let same = agreement.iter().filter_map(|a| a.top1).reduce(f64::min);
    (db, same)
}

fn verdict(q: &Quantisation<'_>) -> String {
    let (db, same) = least(&q.record.agreement);
    // Where there are classes, they are what the model is for.
    let rank = |value: f64, [good, poor]: [f64; 2]| match value {
        v if v >= good => "answers as the float model does",
        v if v >= poor => "comes close to the float model",
        _ => "differs from the float model",
    };
    let judged = match (db, same) {
        (_, Some(same)) => rank(same, ALIKE),
        (Some(db), None) => rank(db, NEAR_DB),
        (None, None) => "was not compared with the float model",
    };
    let of = |at: usize| {
        let [before, after] = [q.float[at], q.quantised[at]];
        change(before as f64, after as f64, "smaller", "larger")
    };
    let mut text = format!(
        "The quantised model {judged}; its program is {}, its RAM {}",
        of(0),
        of(1)
    );
    if let Some(s) = q.speed {
        let speed = change(s.float_ms, s.quantised_ms, "faster", "slower");
        text += &format!(", a run on this machine {speed}");
    }
    text + "."
}

fn figures(q: &Quantisation<'_>) -> Vec<Tile> {
    let of = |what: &str, at: usize| Tile {
        what: what.to_owned(),
        value: bytes::show(q.quantised[at]),
        note: Some(format!("float: {}", bytes::show(q.float[at]))),
    };
    let mut all = vec![of("program (flash)", 0), of("arena (RAM)", 1)];
    if let Some(s) = q.speed {
        all.push(Tile {
            what: format!("a run on this machine ({}, one thread)", s.isa),
            value: format!("{:.3} ms", s.quantised_ms),
            note: Some(format!("float: {:.3} ms", s.float_ms)),
        });
    }
    let (db, same) = least(&q.record.agreement);
    let kept = match q.record.calibration.held_back {
        0 => None,
        n => Some(format!("on {n} samples kept back from calibration")),
    };
    if let Some(same) = same {
        all.push(Tile {
            what: "the same best class as in floats".to_owned(),
            value: format!("{:.2} %", same * 100.0),
            note: kept.clone(),
        });
    }
    if let Some(db) = db {
        all.push(Tile {
            what: "outputs above their error".to_owned(),
            value: format!("{db:.1} dB"),
            note: kept,
        });
    }
    all
}

fn outputs(agreement: &[Agreement]) -> Markup {
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "output" } th.n scope="col" { "above its error" } th.n scope="col" { "the same best class" }
                        th.n scope="col" { "samples" }
                    }
                }
                tbody {
                    @for a in agreement {
                        tr {
                            td.w { (a.output) }
                            td.n { (format!("{:.1} dB", a.snr_db)) }
                            td.n { @if let Some(top1) = a.top1 { (format!("{:.2} % of {}", top1 * 100.0, a.rows)) } }
                            td.n { (a.samples) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cygnet_compiler::quantize::Speed;

    fn verdict_of(snr_db: f64, top1: Option<f64>) -> String {
        let record = Record {
            agreement: vec![Agreement {
                snr_db,
                top1,
                ..Agreement::default()
            }],
            ..Record::default()
        };
        let speed = Speed {
            isa: "avx2".into(),
            float_ms: 1.0,
            quantised_ms: 2.0,
        };
        verdict(&Quantisation {
            record: &record,
            speed: Some(&speed),
            float: [1000, 500],
            quantised: [250, 500],
            search: None,
        })
    }

    #[test]
    fn names_between_backticks_are_code() {
        assert_eq!(
            coded("its `a<b` and `c`").into_string(),
            "its <code>a&lt;b</code> and <code>c</code>"
        );
    }

    #[test]
    fn verdicts_judge_by_what_models_are_for() {
        assert_eq!(
            verdict_of(12.0, Some(1.0)),
            "The quantised model answers as the float model does; its program is 4.00 times smaller, its RAM as before, \
             a run on this machine 2.00 times slower."
        );
        assert!(verdict_of(40.0, Some(0.5)).contains("differs"));
        assert!(verdict_of(40.0, Some(0.97)).contains("comes close"));
        assert!(verdict_of(40.0, None).contains("answers as"));
        assert!(verdict_of(5.0, None).contains("differs"));
    }
}
