//! `cygnet verify`: the bundle against tract, tensor by tensor; of TFLite models, which tract does not read, against the
//! unoptimised graph.

use crate::args::Verify;
use crate::command::run;
use crate::failure::usage;
use crate::feed::{self, Feed};
use crate::output;
use anyhow::{Context, Result, bail};
use cygnet_compiler::bundle::{Array, BundleReader, Length, Manifest, Preprocess, Trace};
use cygnet_compiler::verify::{
    ORACLE_NAME, Oracle, REFERENCE_NAME, compare, reference, sample_input, to_array,
};
use cygnet_format::DType;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;

/// Floats closer than this agree whatever their magnitude: a saturated sigmoid has no more digits.
const FLOOR: f64 = 1e-6;

/// Signal to noise, in decibels, that quantised integers have at least where they are more than a step apart: what is
/// rounded the other way in one layer moves more than one element of the next.
const LEAST_SNR_DB: f64 = 20.0;

/// True for the integers of quantised tensors.
fn is_quantised(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I16)
}

/// One compared tensor.
#[derive(Serialize)]
struct Row {
    tensor: String,
    step: Option<u32>,
    operator: String,
    shape: Vec<usize>,
    max_abs: f64,
    relative: f64,
    snr_db: Option<f64>,
    is_output: bool,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize)]
struct Report {
    model: String,
    bundle: String,
    oracle: String,
    tolerance: f64,
    ok: bool,
    first_divergence: Option<String>,
    layers: Vec<Row>,
}

/// Values for the free dimensions: given, else small.
pub fn dimensions(
    texts: &[String],
    manifest: &Manifest,
    largest: bool,
) -> Result<HashMap<String, i64>> {
    let mut values: HashMap<String, i64> = manifest
        .symbols
        .iter()
        .map(|s| {
            let step = s.lo.max(1);
            let value = if largest {
                s.hi
            } else {
                (step * (16 / step).max(2)).clamp(s.lo, s.hi)
            };
            (s.name.clone(), value)
        })
        .collect();
    for text in texts {
        let parsed = text
            .split_once('=')
            .and_then(|(n, v)| Some((n, v.parse::<i64>().ok()?)));
        let Some((name, value)) = parsed else {
            return Err(usage(format!("--dim {text} is not NAME=VALUE")));
        };
        let Some(symbol) = manifest.symbols.iter().find(|s| s.name == name) else {
            let names: Vec<&str> = manifest.symbols.iter().map(|s| s.name.as_str()).collect();
            return Err(usage(format!(
                "the bundle has no free dimension `{name}`{}",
                if names.is_empty() {
                    String::new()
                } else {
                    format!("; it has: {}", names.join(", "))
                }
            )));
        };
        if !(symbol.lo..=symbol.hi).contains(&value) {
            return Err(usage(format!(
                "--dim {text}: the bundle was compiled for {}..{}",
                symbol.lo, symbol.hi
            )));
        }
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

/// Seeded inputs of these dimensions.
pub fn samples(manifest: &Manifest, dims: &HashMap<String, i64>, seed: u64) -> Result<Vec<Array>> {
    manifest
        .inputs
        .iter()
        .map(|t| {
            let shape: Vec<usize> = t
                .shape
                .iter()
                .zip(&t.max_shape)
                .map(|(d, &max)| match d {
                    Length::Fixed(v) => *v as usize,
                    Length::Symbolic(s) => dims.get(s).map_or(max as usize, |&v| v as usize),
                })
                .collect();
            let dtype = DType::from_name(&t.dtype)
                .with_context(|| format!("the manifest's type `{}` is unknown", t.dtype))?;
            sample_input(&t.name, dtype, &shape, seed)
                .with_context(|| format!("input `{}` is too large", t.name))
        })
        .collect()
}

/// Frozen inputs and states as the oracle must see them; `compile` records them in the provenance.
fn recorded(manifest: &Manifest, reader: &mut BundleReader) -> Result<Vec<(String, Array)>> {
    let mut arrays = Vec::new();
    for state in &manifest.states {
        let (dtype, shape) = match &state.declared {
            Some(declared) => (&declared.dtype, &declared.shape),
            None => (&state.dtype, &state.max_shape),
        };
        let dtype = DType::from_name(dtype).context("the manifest names an unknown type")?;
        let shape: Vec<usize> = shape.iter().map(|&d| d as usize).collect();
        let array = Array::zeros(dtype, &shape).context("a state is too large")?;
        arrays.push((state.name.clone(), array));
    }
    let names: Vec<String> = manifest.entries.iter().map(|e| e.name.clone()).collect();
    for entry in names {
        let Some(name) = entry
            .strip_prefix("const/")
            .and_then(|n| n.strip_suffix(".npy"))
        else {
            continue;
        };
        let bytes = reader.entry(&entry)?;
        arrays.push((name.to_owned(), crate::media::npy::parse(&bytes)?));
    }
    Ok(arrays)
}

/// tract's answers by tensor.
fn tract(onnx: &[u8], feeds: &[(String, Array)]) -> Result<HashMap<String, Array>> {
    let oracle = Oracle::load(onnx, feeds, true).or_else(|_| Oracle::load(onnx, feeds, false))?;
    Ok(oracle.run(feeds)?.into_iter().collect())
}

/// Compares a bundle with its model.
pub fn verify(args: &Verify, quiet: bool) -> Result<()> {
    let onnx = std::fs::read(&args.model)
        .with_context(|| format!("cannot read {}", args.model.display()))?;
    let (mut reader, mut runner) = run::open(&args.bundle, &args.machine)?;
    let manifest = reader.manifest.clone();
    if cygnet_compiler::bundle::sha256_hex(&onnx) != manifest.provenance.source_sha256 && !quiet {
        eprintln!(
            "note: {} is not the very file that {} was compiled from",
            args.model.display(),
            args.bundle.display()
        );
    }
    let dims = dimensions(&args.dim, &manifest, false)?;
    let mut arrays = samples(&manifest, &dims, args.seed)?;
    let names: Vec<&str> = manifest.inputs.iter().map(|i| i.name.as_str()).collect();
    for text in &args.input {
        let (name, _) = feed::split(text, &names);
        let index = match name {
            Some(name) => names.iter().position(|n| *n == name).unwrap_or(0),
            None if names.len() == 1 => 0,
            None => {
                return Err(usage(format!(
                    "--input {text}: write NAME=FILE with one of: {}",
                    names.join(", ")
                )));
            }
        };
        let mut alone = manifest.clone();
        alone.inputs = vec![manifest.inputs[index].clone()];
        let wish = manifest
            .preprocess
            .clone()
            .unwrap_or_else(Preprocess::default);
        arrays[index] = match feed::read(std::slice::from_ref(text), &alone, &wish, 32)?.remove(0) {
            Feed::Array(a) | Feed::Picture(a, _) => a,
            Feed::Sound(..) | Feed::Frames(_) => {
                bail!("--input {text}: verify takes one array or picture")
            }
        };
    }

    let progress = output::spinner(quiet, "running the bundle");
    let trace: Vec<Trace> = match reader.text("trace.json")? {
        Some(text) => serde_json::from_str(&text).context("trace.json is not valid")?,
        None => Vec::new(),
    };
    let traced: HashMap<u32, &Trace> = trace.iter().map(|t| (t.tensor, t)).collect();
    runner.set_inputs(&arrays.iter().collect::<Vec<_>>())?;
    runner.reset();
    let mut seen: Vec<(String, Option<u32>, String, Array)> = Vec::new();
    runner.run_observed(&mut |step| {
        for (id, tensor) in step.outputs {
            if let Some(t) = traced.get(id) {
                let array = to_array(tensor).unpermute(&t.perm);
                seen.push((
                    t.name.clone(),
                    Some(step.step),
                    step.operator.to_owned(),
                    array,
                ));
            }
        }
    })?;
    let outputs: Vec<(String, Array)> = manifest
        .outputs
        .iter()
        .enumerate()
        .map(|(i, t)| Ok((t.name.clone(), runner.output(i)?)))
        .collect::<Result<_>>()?;

    let unoptimised = cygnet_compiler::import::is_tflite(&onnx);
    let mut feeds: Vec<(String, Array)> =
        names.iter().map(|n| (*n).to_owned()).zip(arrays).collect();
    let expected = if unoptimised {
        progress.set_message("running the unoptimised graph");
        reference(&onnx, &feeds)
            .with_context(|| format!("cannot run {} unoptimised", args.model.display()))?
    } else {
        progress.set_message("running tract");
        feeds.extend(recorded(&manifest, &mut reader)?);
        tract(&onnx, &feeds)
            .with_context(|| format!("the oracle cannot check {}", args.model.display()))?
    };
    progress.finish_and_clear();

    let mut rows = Vec::new();
    for (name, step, operator, array) in &seen {
        if let Some(e) = expected.get(name)
            && !outputs.iter().any(|(n, _)| n == name)
            && !rows.iter().any(|r: &Row| r.tensor == *name)
        {
            rows.push(row(name, *step, operator, e, array, args.tolerance, false));
        }
    }
    for (name, array) in &outputs {
        let Some(e) = expected.get(name) else {
            bail!(
                "the oracle has no output `{name}`: {} belongs to another model",
                args.bundle.display()
            );
        };
        rows.push(row(name, None, "output", e, array, args.tolerance, true));
    }
    let ok = rows.iter().filter(|r| r.is_output).all(|r| r.ok);
    let first = rows.iter().find(|r| !r.ok).map(|r| r.tensor.clone());
    let report = Report {
        model: args.model.display().to_string(),
        bundle: args.bundle.display().to_string(),
        oracle: if unoptimised {
            REFERENCE_NAME
        } else {
            ORACLE_NAME
        }
        .to_owned(),
        tolerance: args.tolerance,
        ok,
        first_divergence: first.clone(),
        layers: rows,
    };
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&table(&report)?)?;
    }
    if !ok {
        let worst = report
            .layers
            .iter()
            .filter(|r| r.is_output && !r.ok)
            .map(|r| format!("`{}` ({:.2e})", r.tensor, r.relative))
            .collect::<Vec<_>>()
            .join(", ");
        bail!(
            "{}: outputs differ from {} by more than {:.1e}: {worst}; the first tensor that diverges is `{}`",
            args.bundle.display(),
            report.oracle,
            args.tolerance,
            first.unwrap_or_default()
        );
    }
    Ok(())
}

fn row(
    name: &str,
    step: Option<u32>,
    operator: &str,
    expected: &Array,
    actual: &Array,
    tolerance: f64,
    is_output: bool,
) -> Row {
    let difference = compare(expected, actual);
    let note = difference.is_none().then(|| {
        format!(
            "shape {:?}, the oracle's is {:?}",
            actual.shape, expected.shape
        )
    });
    let (max_abs, relative, snr) = difference
        .map_or((f64::MAX, f64::MAX, f64::NEG_INFINITY), |d| {
            (d.max_abs.min(f64::MAX), d.relative.min(f64::MAX), d.snr_db)
        });
    Row {
        tensor: name.to_owned(),
        step,
        operator: operator.to_owned(),
        shape: actual.shape.clone(),
        max_abs,
        relative,
        snr_db: snr.is_finite().then_some(snr),
        is_output,
        ok: relative <= tolerance
            || (expected.dtype.is_float() && max_abs <= FLOOR)
            || (is_quantised(expected.dtype) && (max_abs <= 1.0 || snr >= LEAST_SNR_DB)),
        note,
    }
}

fn table(report: &Report) -> Result<String> {
    let mut out = String::new();
    let width = report
        .layers
        .iter()
        .map(|r| r.tensor.chars().count())
        .max()
        .unwrap_or(6)
        .clamp(6, 44);
    writeln!(
        out,
        "  {:<width$}  {:<16} {:>22}  {:>10}  {:>10}  {:>7}",
        "tensor", "operator", "shape", "max error", "relative", "SNR dB"
    )?;
    let first = report.first_divergence.as_deref();
    let mut marked = false;
    for r in &report.layers {
        let name: String = if r.tensor.chars().count() > width {
            let tail: Vec<char> = r.tensor.chars().rev().take(width - 2).collect();
            format!("..{}", tail.into_iter().rev().collect::<String>())
        } else {
            r.tensor.clone()
        };
        let mark = if !marked && first == Some(r.tensor.as_str()) {
            marked = true;
            ">"
        } else if r.ok {
            " "
        } else {
            "!"
        };
        let snr = r.snr_db.map_or("exact".to_owned(), |v| format!("{v:.1}"));
        writeln!(
            out,
            "{mark} {name:<width$}  {:<16} {:>22}  {:>10.2e}  {:>10.2e}  {snr:>7}{}",
            r.operator,
            format!("{:?}", r.shape).replace(' ', ""),
            r.max_abs,
            r.relative,
            r.note
                .as_deref()
                .map_or(String::new(), |n| format!("  {n}"))
        )?;
    }
    let compared = report.layers.len();
    match first {
        None => writeln!(
            out,
            "{compared} tensors agree with {} within {:.1e} of their largest magnitude",
            report.oracle, report.tolerance
        )?,
        Some(name) => writeln!(
            out,
            "first divergence: {name} ({compared} tensors compared, tolerance {:.1e})",
            report.tolerance
        )?,
    }
    Ok(out)
}
