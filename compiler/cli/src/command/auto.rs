//! `cygnet compile --quantize auto`: budgets in, the arithmetic of every layer out.

use crate::args::{Compile, Decode, Score, Wanted};
use crate::failure::usage;
use crate::validation::{self, Detector, Kind, Labelled, Outside};
use crate::{calibration, feed, sizes};
use anyhow::{Context, Result};
use cygnet_compiler::bundle::{BundleInput, Manifest, Preprocess, build, picture_input};
use cygnet_compiler::ir::Graph;
use cygnet_compiler::quantize::Sample;
use cygnet_compiler::quantize::mixed::{
    self, Auto, AutoOptions, Budgets, Metric, Point, Prefer, Progress, Sensitivity,
};
use cygnet_compiler::{CompileOptions, Compiled};
use indicatif::ProgressBar;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// Layers that are named among those that bear least.
const NAMED: usize = 3;

/// A search for machines.
#[derive(Clone, Debug, Serialize)]
pub struct Search {
    /// Whether the budgets are kept.
    pub met: bool,
    /// What the score is.
    pub metric: String,
    /// Cases that give it; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cases: Option<usize>,
    /// The float program's score.
    pub float_score: f64,
    /// The budgets in words.
    pub budgets: Vec<String>,
    /// What was tried, in that order.
    pub points: Vec<Point>,
    /// Layers by what they alone do.
    pub sensitivities: Vec<Sensitivity>,
}

impl Search {
    /// A search of these arguments.
    pub fn of(args: &Compile, auto: &Auto) -> Search {
        Search {
            met: auto.met,
            metric: auto.metric.clone(),
            cases: (auto.cases < usize::MAX).then_some(auto.cases),
            float_score: auto.float_score,
            budgets: budget_words(args),
            points: auto.points.clone(),
            sensitivities: auto.sensitivities.clone(),
        }
    }
}

fn budgets(args: &Compile) -> Budgets {
    let mut budgets = Budgets::default();
    budgets.max_drop = args.max_drop.unwrap_or_default();
    budgets.max_ram = args.max_ram;
    budgets.max_flash = args.max_flash;
    budgets.max_latency_ms = args.max_latency;
    budgets
}

/// The budgets as users wrote them.
pub fn budget_words(args: &Compile) -> Vec<String> {
    let mut words = Vec::new();
    words.extend(args.max_drop.map(|d| format!("--max-drop {d}")));
    words.extend(args.max_ram.map(|n| format!("--max-ram {n}")));
    words.extend(args.max_flash.map(|n| format!("--max-flash {n}")));
    words.extend(args.max_latency.map(|ms| format!("--max-latency {ms}")));
    words
}

/// Searches. `onnx` is the model, `graph` the imported one.
pub fn search(
    args: &Compile,
    onnx: &[u8],
    graph: Graph,
    choices: &CompileOptions,
    manifest: &Manifest,
    wish: &Preprocess,
    samples: &[Sample],
    progress: &ProgressBar,
) -> Result<Auto> {
    let mut options = AutoOptions::default();
    options.budgets = budgets(args);
    options.method = args.calibration_method;
    options.prefer = match args.prefer {
        Wanted::Memory => Prefer::Memory,
        Wanted::Size => Prefer::Size,
        Wanted::Speed => Prefer::Speed,
    };
    let mut labelled;
    let mut outside;
    let metric: Option<&mut dyn Metric> = if let Some(command) = &args.metric_command {
        outside = Outside::new(command, |compiled| candidate(args, onnx, compiled))?;
        Some(&mut outside)
    } else if let Some(path) = &args.validate {
        labelled = read_labelled(args, path, &graph, manifest, wish)?;
        Some(&mut labelled)
    } else {
        None
    };
    let mut tell = |p: &Progress| {
        let [done, all] = p.done;
        progress.set_message(if all > 1 {
            format!("{} {}/{all}", p.text, done + 1)
        } else {
            p.text.clone()
        });
    };
    mixed::auto(graph, choices, &options, samples, metric, &mut tell)
        .with_context(|| format!("cannot quantise {}", args.model.display()))
}

/// A bundle of a program that may become the result, for a command to judge.
fn candidate(args: &Compile, onnx: &[u8], compiled: &Compiled) -> Result<Vec<u8>> {
    let read =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(std::fs::read_to_string).transpose();
    let preprocess = feed::wish(&args.media, None);
    let built = build(BundleInput {
        onnx,
        source: "candidate",
        name: "candidate",
        graph: &compiled.graph,
        program: &compiled.program.bytes,
        trace: Vec::new(),
        constants: &[],
        states: &[],
        options: Vec::new(),
        preprocess: (preprocess != Preprocess::default()).then_some(preprocess),
        postprocess: None,
        labels: read(&args.labels)?,
        vocab: read(&args.vocab)?,
        extra: Vec::new(),
        golden: false,
        quantized: None,
    })?;
    Ok(built.bytes)
}

fn read_labelled(
    args: &Compile,
    path: &Path,
    graph: &Graph,
    manifest: &Manifest,
    wish: &Preprocess,
) -> Result<Labelled> {
    let json = calibration::extension(path) == "json" || path.join("annotations.json").exists();
    let kind = match (args.metric, args.decode) {
        (Some(Score::Top1), _) => Kind::Class,
        (Some(Score::Cer), _) => Kind::Text,
        (Some(Score::Auc), _) => Kind::Auc,
        (Some(Score::Map), _) => Kind::Boxes,
        (None, Some(Decode::Ctc)) => Kind::Text,
        (None, _) if json => Kind::Boxes,
        (None, _) => Kind::Class,
    };
    let lines = |path: &Path| -> Result<Vec<String>> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let labels = args.labels.as_deref().map(lines).transpose()?;
    let mut vocabulary = Vec::new();
    if kind == Kind::Text {
        let known = graph.metadata.iter().find(|(k, _)| k == "character");
        vocabulary = match (&args.vocab, known) {
            (Some(path), _) => lines(path)?,
            (None, Some((_, text))) => text.lines().map(str::to_owned).collect(),
            (None, None) => {
                return Err(usage(
                    "--metric cer reads text: the model has no vocabulary, give --vocab FILE",
                ));
            }
        };
    }
    let mut detector = None;
    if kind == Kind::Boxes {
        let shape: Vec<usize> = match manifest.inputs.first() {
            Some(input) => feed::bounds(input, manifest).iter().map(|l| l.1).collect(),
            None => Vec::new(),
        };
        let recipe = picture_input(wish, &shape, false)
            .map_err(anyhow::Error::msg)
            .context("--metric map needs a model that is fed with pictures")?;
        detector = Some(Detector {
            map: args.decode == Some(Decode::Db),
            fit: recipe.fit,
            channels_last: recipe.channels_last,
        });
    }
    let limit = args.validation_samples as usize;
    let cases = validation::read(path, kind, manifest, wish, labels.as_deref(), limit)?;
    Ok(Labelled::new(kind, cases, vocabulary, detector))
}

/// The trade-off in a table: what nothing beats, the float program, and what was taken.
pub fn describe(auto: &Auto) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut out, auto);
    out
}

fn write_table(out: &mut String, auto: &Auto) -> std::fmt::Result {
    let cases = match auto.cases {
        usize::MAX => String::new(),
        n => format!(" of {n}"),
    };
    writeln!(
        out,
        "  score: {}{cases}; {} programs were compiled and judged",
        auto.metric,
        auto.points.len()
    )?;
    let mut shown = auto.frontier();
    let listed = |p: &Point| shown.iter().any(|q| q.name == p.name);
    let more: Vec<&Point> = auto.points.iter().filter(|p| !listed(p)).collect();
    let more = more.into_iter().filter(|p| p.chosen || p.name == "float");
    shown.extend(more);
    shown.sort_by_key(|p| std::cmp::Reverse(p.flash_bytes));
    let width = shown.iter().map(|p| p.name.chars().count()).max();
    let width = width.unwrap_or(0).max(7);
    writeln!(
        out,
        "    {:width$}  {:>8}  {:>7}  {:>10}  {:>10}  {:>9}  over budget",
        "program", "score", "drop", "flash", "RAM", "ms here"
    )?;
    for p in shown {
        let missed: Vec<String> = p.missed.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "  {} {:width$}  {:>8.2}  {:>7.2}  {:>10}  {:>10}  {:>9.3}  {}",
            if p.chosen { '>' } else { ' ' },
            p.name,
            p.score,
            p.drop,
            sizes::show(p.flash_bytes),
            sizes::show(p.ram_bytes),
            p.latency_ms,
            if missed.is_empty() {
                "-".to_owned()
            } else {
                missed.join(", ")
            }
        )?;
    }
    let mut hard: Vec<&Sensitivity> = auto.sensitivities.iter().collect();
    hard.sort_by(|a, b| a.snr_db.total_cmp(&b.snr_db));
    for s in hard.iter().take(NAMED) {
        writeln!(
            out,
            "  {} {} alone as {}: outputs {:.1} dB above the error{}",
            s.operator,
            s.node,
            s.precision,
            s.snr_db,
            if s.kept { ", kept out" } else { "" }
        )?;
    }
    Ok(())
}

/// Why no program keeps the budgets, and what would.
pub fn missed(args: &Compile, auto: &Auto) -> String {
    let p = auto.chosen();
    let over: Vec<String> = p.missed.iter().map(ToString::to_string).collect();
    let mut advice = Vec::new();
    use mixed::Budget;
    let least = |of: &dyn Fn(&Point) -> f64| {
        let accurate = auto
            .points
            .iter()
            .filter(|q| !q.missed.contains(&Budget::Accuracy));
        accurate.map(of).fold(f64::INFINITY, f64::min)
    };
    if p.missed.contains(&Budget::Accuracy) {
        advice.push(format!(
            "--max-drop {:.2} would be kept by it",
            (p.drop * 100.0).ceil() / 100.0
        ));
    }
    if args.max_flash.is_some() {
        let flash = least(&|q| q.flash_bytes as f64) as u64;
        advice.push(format!(
            "the smallest program within --max-drop takes {} of flash",
            sizes::show(flash)
        ));
    }
    if args.max_ram.is_some() {
        let ram = least(&|q| q.ram_bytes as f64) as u64;
        advice.push(format!(
            "the smallest arena within --max-drop takes {} of RAM; smaller inputs or --dim bounds lower it",
            sizes::show(ram)
        ));
    }
    if args.max_latency.is_some() {
        advice.push(format!(
            "the fastest program within --max-drop takes {:.3} ms here",
            least(&|q| q.latency_ms)
        ));
    }
    format!(
        "{}: none of {} programs keeps {}, nothing was written; `{}` comes nearest and misses {}\n  {}",
        args.model.display(),
        auto.points.len(),
        budget_words(args).join(" "),
        p.name,
        over.join(", "),
        advice.join("\n  ")
    )
}
