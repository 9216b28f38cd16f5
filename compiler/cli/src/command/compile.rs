//! `cygnet compile`.

use crate::args::{Compile, Decode, Quantize, Target};
use crate::command::budget::Budgets;
use crate::command::footprint::{self, Footprint};
use crate::command::report::Quantisation;
use crate::command::{auto, fitting, quantization, report};
use crate::failure::{BudgetMissed, usage};
use crate::media::npy;
use crate::{calibration, feed, output, pipeline, sizes};
use anyhow::{Context, Result, anyhow, bail};
use cygnet_compiler::bundle::{
    Array, BuiltBundle, BundleInput, Manifest, Preprocess, QuantizedInput, Trace, build,
    memory_map, write_atomically,
};
use cygnet_compiler::import::{ConstantInput, DimSpec, ImportOptions, InputSpec};
use cygnet_compiler::passes::Level;
use cygnet_compiler::quantize::mixed::Auto;
use cygnet_compiler::quantize::{
    self, Agreement, Finding, Format, Method, Precision, Quantised, Record,
};
use cygnet_compiler::{CompileError, CompileOptions, Compiled, Fit};
use cygnet_format::DType;
use cygnet_format::program::Program;
use indicatif::ProgressBar;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// An output whose error is no further below it says something else.
const LEAST_SNR_DB: f64 = 3.0;

#[derive(Serialize)]
struct Report<'a> {
    bundle: String,
    bundle_bytes: u64,
    compile_ms: f64,
    mismatches: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<&'a quantize::Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<&'a auto::Search>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<&'a Footprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit: Option<&'a Fit>,
    #[serde(flatten)]
    manifest: &'a Manifest,
}

fn compiler_options(import: ImportOptions, args: &Compile) -> CompileOptions {
    let mut options = CompileOptions::default();
    options.import = import;
    options.keep_float.clone_from(&args.keep_float);
    let target = args.target;
    if is_microcontroller(target) {
        options.level = Level::Compact;
    }
    options
}

/// Which program tensors equal tensors of the model.
fn trace(compiled: &Compiled) -> Vec<Trace> {
    compiled
        .program
        .origins
        .iter()
        .enumerate()
        .filter_map(|(i, origin)| {
            origin.as_ref().map(|o| Trace {
                tensor: i as u32,
                name: o.name.clone(),
                perm: o.perm.clone(),
            })
        })
        .collect()
}

/// `x=1,3,height,width:f32`.
fn input_spec(text: &str) -> Result<InputSpec> {
    let wrong = |what: &str| {
        usage(format!(
            "--input {text}: {what}; write NAME=SHAPE[:TYPE], such as x=1,3,224,224 or ids=1,length:i64"
        ))
    };
    let (name, rest) = text
        .rsplit_once('=')
        .ok_or_else(|| wrong("there is no `=`"))?;
    let (shape, dtype) = match rest.split_once(':') {
        Some((shape, dtype)) => {
            let dtype = DType::from_name(dtype)
                .ok_or_else(|| wrong(&format!("`{dtype}` is not a type")))?;
            (shape, Some(dtype))
        }
        None => (rest, None),
    };
    let shape = shape.trim_matches(|c| c == '[' || c == ']');
    let dims = shape
        .split([',', 'x'].as_slice())
        .map(str::trim)
        .collect::<Vec<_>>();
    // An `x` separates only lengths: names may contain one.
    let dims = if dims.iter().all(|d| d.parse::<i64>().is_ok()) {
        dims
    } else {
        shape.split(',').map(str::trim).collect()
    };
    let shape = match shape {
        "" => Vec::new(),
        _ => dims
            .into_iter()
            .map(|d| match d.parse::<i64>() {
                Ok(v) if v >= 0 => Ok(DimSpec::Fixed(v)),
                Ok(_) => Err(wrong("a length is negative")),
                Err(_) if d.is_empty() => Err(wrong("a length is empty")),
                Err(_) => Ok(DimSpec::Symbol(d.to_owned())),
            })
            .collect::<Result<_>>()?,
    };
    Ok(InputSpec {
        name: name.to_owned(),
        shape: Some(shape),
        dtype,
    })
}

/// `width=32..1280`, both ends included; `width=64` fixes it.
fn dim_spec(text: &str) -> Result<(String, i64, i64)> {
    let wrong = || {
        usage(format!(
            "--dim {text}: write NAME=LO..HI (both included), such as width=32..1280"
        ))
    };
    let (name, range) = text.split_once('=').ok_or_else(wrong)?;
    let (lo, hi) = range.split_once("..").unwrap_or((range, range));
    let lo: i64 = lo.trim().parse().map_err(|_| wrong())?;
    let hi: i64 = hi
        .trim()
        .trim_start_matches('=')
        .parse()
        .map_err(|_| wrong())?;
    if lo < 0 || hi < lo {
        return Err(wrong());
    }
    Ok((name.to_owned(), lo, hi))
}

/// `IN:OUT`; names may hold colons, so the model's names decide.
fn state_spec(text: &str) -> Result<(String, String)> {
    text.split_once(':')
        .filter(|(a, b)| !a.is_empty() && !b.is_empty())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .ok_or_else(|| usage(format!("--state {text}: write IN:OUT, such as h0:hn")))
}

/// `sr=16000` or `mask=mask.npy`. Numbers take the type that the model's input has.
fn constant(text: &str, onnx: &[u8]) -> Result<(String, Array)> {
    let (name, rest) = text.split_once('=').ok_or_else(|| {
        usage(format!(
            "--const {text}: write NAME=FILE.npy or NAME=NUMBERS"
        ))
    })?;
    if let Some(values) = feed::numbers(rest) {
        let declared = cygnet_compiler::verify::declared_input(onnx, name);
        let (dtype, shape) = declared.unwrap_or((
            if values.iter().all(|v| v.trunc() == *v) {
                DType::I64
            } else {
                DType::F32
            },
            None,
        ));
        let shape = shape
            .filter(|s| s.iter().product::<usize>() == values.len())
            .unwrap_or(if values.len() == 1 {
                Vec::new()
            } else {
                vec![values.len()]
            });
        let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let array = Array::new(DType::F64, shape, data)
            .ok_or_else(|| anyhow!("--const {text}: the numbers do not fit"))?
            .cast(dtype);
        return Ok((name.to_owned(), array));
    }
    Ok((name.to_owned(), npy::read(Path::new(rest))?))
}

fn import_options(args: &Compile, onnx: &[u8]) -> Result<ImportOptions> {
    let mut options = ImportOptions::default();
    for text in &args.input {
        options.inputs.push(input_spec(text)?);
    }
    for text in &args.dim {
        options.dims.push(dim_spec(text)?);
    }
    for text in &args.state {
        options.states.push(state_spec(text)?);
    }
    for text in &args.constant {
        let (name, array) = constant(text, onnx)?;
        options.constants.push(ConstantInput {
            name,
            dtype: array.dtype,
            shape: array.shape,
            bytes: array.data,
        });
    }
    Ok(options)
}

/// Options that shape the result, in words.
fn option_words(args: &Compile) -> Vec<String> {
    let mut words = Vec::new();
    for (flag, values) in [
        ("input", &args.input),
        ("dim", &args.dim),
        ("state", &args.state),
    ] {
        words.extend(values.iter().map(|v| format!("--{flag} {v}")));
    }
    for v in &args.constant {
        // Files are named without their folders: the same model gives the same bytes anywhere.
        let short = match v.split_once('=') {
            Some((n, f)) if feed::numbers(f).is_none() => {
                let base = Path::new(f).file_name().unwrap_or_default();
                format!("{n}={}", base.to_string_lossy())
            }
            _ => v.clone(),
        };
        words.push(format!("--const {short}"));
    }
    if args.quantize != Quantize::None {
        words.push(format!("--quantize {}", quantize_name(args.quantize)));
        if args.quantize == Quantize::Int4 {
            words.push(format!("--weight-group {}", args.weight_group));
            if args.asymmetric {
                words.push("--asymmetric".to_owned());
            }
        }
        words.extend(args.keep_float.iter().map(|n| format!("--keep-float {n}")));
        let name = args.calibrate.as_deref().and_then(Path::file_name);
        if let Some(name) = name {
            words.push(format!("--calibrate {}", name.to_string_lossy()));
        }
        if args.quantize == Quantize::Auto {
            words.extend(auto::budget_words(args));
            let name = args.validate.as_deref().and_then(Path::file_name);
            words.extend(name.map(|n| format!("--validate {}", n.to_string_lossy())));
        }
        if args.calibration_method != Method::Auto {
            words.push(format!("--calibration-method {}", args.calibration_method));
        }
    }
    if let Some(budget) = args.max_ram.filter(|_| args.fit) {
        words.push(format!("--fit --max-ram {budget}"));
    }
    if args.target != Target::Host {
        words.push(format!("--target {}", target_name(args.target)));
    }
    words
}

fn quantize_name(quantize: Quantize) -> String {
    use clap::ValueEnum;
    quantize
        .to_possible_value()
        .map_or_else(String::new, |v| v.get_name().to_owned())
}

fn target_name(target: Target) -> String {
    use clap::ValueEnum;
    target
        .to_possible_value()
        .map_or_else(String::new, |v| v.get_name().to_owned())
}

/// Targets whose memory is kilobytes.
fn is_microcontroller(target: Target) -> bool {
    !matches!(
        target,
        Target::Host | Target::Android | Target::Ios | Target::Wasm
    )
}

/// Largest arena and program together that a target's addresses reach.
fn address_limit(target: Target) -> Option<u64> {
    match target {
        Target::Host | Target::Android | Target::Ios => None,
        Target::Wasm => Some(u32::MAX as u64),
        _ => Some(i32::MAX as u64),
    }
}

fn check_budgets(
    args: &Compile,
    manifest: &Manifest,
    budgets: &Budgets<'_>,
    footprint: Option<&Footprint>,
) -> Result<()> {
    let memory = &manifest.memory;
    let mut missed = Vec::new();
    let limit = address_limit(args.target);
    if let Some(limit) = limit
        && memory.arena_bytes.saturating_add(memory.program_bytes) > limit
    {
        missed.push(format!(
            "arena and program need {} together, a {} target addresses {}",
            sizes::show(memory.arena_bytes + memory.program_bytes),
            target_name(args.target),
            sizes::show(limit)
        ));
    }
    match footprint {
        Some(footprint) => missed.extend(budgets.on(footprint)),
        None => {
            missed.extend(budgets.ram(memory.arena_bytes, None));
            missed.extend(budgets.flash(
                "the program needs",
                memory.program_bytes,
                memory.constant_bytes,
            ));
        }
    }
    if missed.is_empty() {
        return Ok(());
    }
    Err(anyhow::Error::new(BudgetMissed(format!(
        "{} misses its budget, nothing was written\n  {}",
        args.model.display(),
        missed.join("\n  ")
    ))))
}

/// No program keeps the budgets of `--quantize auto`: the trade-off is told all the same.
fn budgets_missed(args: &Compile, auto: &Auto) -> Result<()> {
    #[derive(Serialize)]
    struct Missed<'a> {
        error: &'a str,
        search: auto::Search,
    }
    let text = auto::missed(args, auto);
    if let Some(path) = &args.json {
        let search = auto::Search::of(args, auto);
        output::json(
            path,
            &Missed {
                error: &text,
                search,
            },
        )?;
    }
    if !output::machine_only(args.json.as_deref()) {
        output::print(&auto::describe(auto))?;
    }
    Err(anyhow::Error::new(BudgetMissed(text)))
}

/// Refuses combinations of flags that make no sense.
fn check_quantization(args: &Compile) -> Result<()> {
    if args.quantize != Quantize::Auto {
        for (given, flag) in [
            (args.max_drop.is_some(), "--max-drop"),
            (args.max_latency.is_some(), "--max-latency"),
            (args.validate.is_some(), "--validate"),
            (args.metric_command.is_some(), "--metric-command"),
        ] {
            if given {
                return Err(usage(format!(
                    "{flag} belongs to --quantize auto: add it, or leave {flag} out"
                )));
            }
        }
    }
    match args.quantize {
        Quantize::None if !args.keep_float.is_empty() => Err(usage(
            "--keep-float belongs to --quantize: add it, or leave --keep-float out",
        )),
        Quantize::Auto if args.fit => Err(usage(
            "--fit works on one arithmetic: give --quantize int8, or leave --fit out",
        )),
        Quantize::None if args.calibrate.is_some() => Err(usage(
            "--calibrate belongs to --quantize int8: add it, or leave --calibrate out",
        )),
        Quantize::Int4 if !args.weight_group.is_multiple_of(16) => Err(usage(format!(
            "--weight-group {}: a group is a multiple of 16, such as 32, 64 or 128",
            args.weight_group
        ))),
        other if args.asymmetric && other != Quantize::Int4 => Err(usage(
            "--asymmetric belongs to --quantize int4: add it, or leave --asymmetric out",
        )),
        Quantize::Int8 | Quantize::Int8x16 if args.calibrate.is_none() => Err(usage(
            "--quantize int8 needs data that look like what the model will see: add --calibrate DIR (pictures, sounds or .npy arrays) or --calibrate FILE.npz (an array with an axis of samples for each input)",
        )),
        Quantize::Auto if args.calibrate.is_none() => Err(usage(
            "--quantize auto needs data that look like what the model will see: add --calibrate DIR (pictures, sounds or .npy arrays) or --calibrate FILE.npz",
        )),
        Quantize::Auto if args.max_drop.is_none() => Err(usage(
            "--quantize auto needs to know what it may cost: add --max-drop P, the points of the score that may be lost, such as 0.5",
        )),
        Quantize::Auto if args.metric.is_some() && args.validate.is_none() => Err(usage(
            "--metric judges labelled data: add --validate, or leave --metric out to compare with the float model",
        )),
        Quantize::Auto if args.target != Target::Host && args.max_latency.is_some() => {
            Err(usage(format!(
                "--max-latency is measured on this machine and says nothing of --target {}: leave one of them out",
                target_name(args.target)
            )))
        }
        _ => Ok(()),
    }
}

/// How weights are stored, where nothing but them is quantised beforehand.
fn weight_format(args: &Compile) -> Option<Format> {
    Some(match args.quantize {
        Quantize::None | Quantize::Int8 | Quantize::Int8x16 | Quantize::Auto => return None,
        Quantize::Dynamic => Format::Dynamic,
        Quantize::Int8Weights => Format::Integers {
            bits: 8,
            group: 0,
            asymmetric: false,
        },
        Quantize::Int4 => Format::Integers {
            bits: 4,
            group: args.weight_group,
            asymmetric: args.asymmetric,
        },
        Quantize::Fp16 => Format::Half,
        Quantize::Palette => Format::Table { bits: 4 },
    })
}

/// Quantises as `--quantize` says, with the samples that `--calibrate` names. Gives the search of `--quantize auto`, too.
fn quantise(
    args: &Compile,
    onnx: &[u8],
    choices: &CompileOptions,
    wish: &Preprocess,
    progress: &ProgressBar,
) -> Result<(Quantised, Option<Auto>)> {
    let shown = args.model.display();
    let graph = cygnet_compiler::import::model(onnx, &choices.import)
        .map_err(|e| refused(&args.model, e.into()))?;
    let mut manifest = Manifest::default();
    manifest.describe(&graph);
    let limit = args.calibration_samples as usize;
    let samples = match &args.calibrate {
        Some(path) => calibration::read(path, &manifest, wish, limit)?,
        None => Vec::new(),
    };
    if let Some(format) = weight_format(args) {
        let done = quantize::compress(graph, choices, format, &samples)
            .with_context(|| format!("cannot compress {shown}"))?;
        return Ok((done, None));
    }
    if args.quantize == Quantize::Auto {
        let found = auto::search(
            args, onnx, graph, choices, &manifest, wish, &samples, progress,
        )?;
        return Ok((found.quantised.clone(), Some(found)));
    }
    let mut options = quantize::Options::default();
    options.precision = match args.quantize {
        Quantize::Int8x16 => Precision::Int8x16,
        _ => Precision::Int8,
    };
    options.method = args.calibration_method;
    let done = quantize::compile(graph, choices, &options, &samples)
        .with_context(|| format!("cannot quantise {shown}"))?;
    Ok((done, None))
}

/// Refuses a program that says something else than the float model.
fn check_agreement(args: &Compile, record: &Record) -> Result<()> {
    let lost = |a: &&Agreement| a.snr_db < LEAST_SNR_DB && a.top1.is_none_or(|t| t < 0.5);
    let Some(worst) = record.agreement.iter().find(lost) else {
        return Ok(());
    };
    let text = format!(
        "{}: --quantize {} loses output `{}`: its error is {} dB below it on the samples",
        args.model.display(),
        quantize_name(args.quantize),
        worst.output,
        worst.snr_db.round()
    );
    if args.allow_mismatch {
        eprintln!("warning: {text}");
        return Ok(());
    }
    if !matches!(args.quantize, Quantize::Int8 | Quantize::Int8x16) {
        bail!(
            "{text}, nothing was written; more bits or smaller groups lose less, --calibrate compares on real inputs, --allow-mismatch writes the bundle all the same"
        );
    }
    bail!(
        "{text}, nothing was written; are the samples prepared as the model was trained (--mean, --std, --scale)? --calibration-method min-max keeps outliers, --allow-mismatch writes the bundle all the same"
    )
}

/// Compiles a model.
pub fn compile(mut args: Box<Compile>, quiet: bool) -> Result<()> {
    pipeline::settle(&mut args)?;
    let args = &*args;
    check_quantization(args)?;
    if args.resources && !is_microcontroller(args.target) {
        return Err(usage(
            "--resources tells what a microcontroller needs: name one with --target, such as cortex-m4",
        ));
    }
    let started = Instant::now();
    let shown = args.model.display();
    let onnx = std::fs::read(&args.model).with_context(|| format!("cannot read {shown}"))?;
    let options = import_options(args, &onnx)?;
    let read = |path: &Option<std::path::PathBuf>| -> Result<Option<String>> {
        path.as_ref()
            .map(|p| {
                std::fs::read_to_string(p).with_context(|| format!("cannot read {}", p.display()))
            })
            .transpose()
    };
    let labels = read(&args.labels)?;
    let vocab = read(&args.vocab)?;

    let progress = output::spinner(quiet, "compiling");
    let constants = options.constants.clone();
    let states = options.states.clone();
    let choices = compiler_options(options, args);
    let wish = feed::wish(&args.media, None);
    let mut quantised = None;
    let mut speed = None;
    let mut found = None;
    let compiled = if args.quantize != Quantize::None {
        progress.set_message("quantising");
        let (done, search) = quantise(args, &onnx, &choices, &wish, &progress)?;
        for warning in &done.warnings {
            if !quiet {
                progress.suspend(|| eprintln!("warning: {warning}"));
            }
        }
        if let Some(auto) = search.as_ref().filter(|a| !a.met) {
            progress.finish_and_clear();
            return budgets_missed(args, auto);
        }
        found = search;
        quantised = Some((done.float.program.bytes, done.record));
        speed = done.speed;
        done.compiled
    } else {
        cygnet_compiler::compile(&onnx, &choices).map_err(|e| refused(&args.model, e))?
    };
    let (compiled, fit) = fitting::fitted(args, compiled, &choices, &progress)?;
    let program = Program::parse(&compiled.program.bytes)
        .map_err(|e| anyhow!("{shown}: the compiled program does not validate ({e}): this is a defect of Cygnet, please report it"))?;
    let map = memory_map(&program);

    progress.set_message("making golden examples");
    let preprocess = wish;
    let preprocess = (preprocess != Preprocess::default()).then_some(preprocess);
    let vocab = vocab.or_else(|| {
        let wanted = args.decode == Some(Decode::Ctc);
        let metadata = &compiled.graph.metadata;
        metadata
            .iter()
            .find(|(k, _)| wanted && k == "character")
            .map(|(_, v)| v.clone())
    });
    let source = args
        .model
        .file_name()
        .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let name = match &args.name {
        Some(name) => name.clone(),
        None => source
            .trim_end_matches(".onnx")
            .trim_end_matches(".tflite")
            .to_owned(),
    };
    let mut extra = Vec::new();
    for c in &constants {
        let array = Array::new(c.dtype, c.shape.clone(), c.bytes.clone())
            .with_context(|| format!("--const {}: the array is damaged", c.name))?;
        extra.push((format!("const/{}.npy", c.name), npy::to_bytes(&array)?));
    }
    let built = build(BundleInput {
        onnx: &onnx,
        source: &source,
        name: &name,
        graph: &compiled.graph,
        program: &compiled.program.bytes,
        trace: trace(&compiled),
        constants: &constants,
        states: &states,
        options: option_words(args),
        preprocess,
        postprocess: pipeline::postprocess(args, &compiled.graph),
        labels,
        vocab,
        extra,
        golden: !args.no_golden,
        quantized: quantised.as_ref().map(|(float, record)| QuantizedInput {
            float_program: float,
            record,
        }),
    })
    .with_context(|| format!("cannot compile {shown}"))?;
    progress.finish_and_clear();

    let footprint = match args.resources {
        true => footprint::of_program(&args.model, args.target, &program)?,
        false => None,
    };
    let budgets = Budgets {
        max_ram: args.max_ram,
        max_flash: args.max_flash,
        before: fit.as_ref().map(|f| f.before),
        program: &program,
        map: &map,
    };
    check_budgets(args, &built.manifest, &budgets, footprint.as_ref())?;
    if !built.mismatches.is_empty() {
        let list = built.mismatches.join("\n  ");
        if !args.allow_mismatch {
            bail!(
                "{shown}: the compiled program disagrees with the oracle, nothing was written (--allow-mismatch writes it anyway, then `cygnet verify` shows the layer):\n  {list}"
            );
        }
        eprintln!("warning: {shown}: the compiled program disagrees with the oracle:\n  {list}");
    }
    if let Some((_, record)) = &quantised
        && args.quantize != Quantize::Auto
    {
        check_agreement(args, record)?;
    }
    write_atomically(&args.output, &built.bytes)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    let search = found.as_ref().map(|a| auto::Search::of(args, a));
    let findings = match &quantised {
        Some((_, record)) => quantize::diagnose(record),
        None => Vec::new(),
    };
    if let Some(path) = &args.report {
        let quantisation = match &quantised {
            Some((bytes, record)) => {
                let float = Program::parse(bytes)
                    .map_err(|e| anyhow!("{shown}: the float program does not validate ({e})"))?;
                let memory = &built.manifest.memory;
                Some(Quantisation {
                    record,
                    speed: speed.as_ref(),
                    float: [bytes.len() as u64, float.arena_bytes()],
                    quantised: [memory.program_bytes, memory.arena_bytes],
                    search: search.as_ref(),
                })
            }
            None => None,
        };
        let bytes = built.bytes.len() as u64;
        let html = report::page(&built.manifest, &map, bytes, quantisation.as_ref())?;
        write_atomically(path, html.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &args.json {
        output::json(
            path,
            &Report {
                bundle: args.output.display().to_string(),
                bundle_bytes: built.bytes.len() as u64,
                compile_ms: elapsed,
                mismatches: &built.mismatches,
                speed: speed.as_ref(),
                search: search.as_ref(),
                findings: findings.clone(),
                resources: footprint.as_ref(),
                fit: fit.as_ref(),
                manifest: &built.manifest,
            },
        )?;
    }
    if !quiet && !output::machine_only(args.json.as_deref()) {
        let mut text = summary(args, &built, map.steps.len(), elapsed);
        text += &fit.as_ref().map_or_else(String::new, fitting::describe);
        if let Some((_, record)) = &quantised {
            text += &quantization::describe(record, speed.as_ref());
        }
        if let Some(auto) = &found {
            text += &auto::describe(auto);
        }
        text += &footprint.map_or_else(String::new, |f| f.describe());
        output::print(&text)?;
    }
    Ok(())
}

fn summary(args: &Compile, built: &BuiltBundle, steps: usize, elapsed: f64) -> String {
    let m = &built.manifest.memory;
    let golden = match &built.manifest.golden {
        None => "no golden examples".to_owned(),
        Some(g) => match &g.fallback_reason {
            // The oracle computes in floats: it judged the program before it was quantised.
            None if args.quantize != Quantize::None => format!(
                "{} golden examples; in floats they agree with {}",
                g.examples, g.oracle
            ),
            None => format!("{} golden examples agree with {}", g.examples, g.oracle),
            Some(_) => format!(
                "{} golden examples from the scalar engine (tract does not run this model)",
                g.examples
            ),
        },
    };
    format!(
        "{}: {} ({} steps, arena {}, program {}; {golden}; {elapsed:.0} ms)\n",
        args.output.display(),
        sizes::show(built.bytes.len() as u64),
        steps,
        sizes::show(m.arena_bytes),
        sizes::show(m.program_bytes)
    )
}

pub(super) fn refused(model: &Path, error: CompileError) -> anyhow::Error {
    anyhow!("cannot compile {}: {error}", model.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_in_words() {
        let spec = input_spec("x=1,3,height,width:f16").unwrap();
        assert_eq!((spec.name.as_str(), spec.dtype), ("x", Some(DType::F16)));
        let shape = spec.shape.unwrap();
        assert_eq!(shape[1], DimSpec::Fixed(3));
        assert_eq!(shape[3], DimSpec::Symbol("width".into()));
        assert_eq!(input_spec("x=1x3x8").unwrap().shape.unwrap().len(), 3);
        assert_eq!(input_spec("scalar=").unwrap().shape.unwrap(), []);
        assert!(input_spec("x").is_err() && input_spec("x=1,-2").is_err());
        assert!(input_spec("x=1:f33").is_err());
    }

    #[test]
    fn dimensions_in_words() {
        assert_eq!(dim_spec("w=32..1280").unwrap(), ("w".into(), 32, 1280));
        assert_eq!(dim_spec("w=32..=64").unwrap(), ("w".into(), 32, 64));
        assert_eq!(dim_spec("w=7").unwrap(), ("w".into(), 7, 7));
        for bad in ["w", "w=9..2", "w=a..b", "w=-3..2"] {
            assert!(dim_spec(bad).is_err(), "{bad}");
        }
        assert!(state_spec("h").is_err());
    }
}
