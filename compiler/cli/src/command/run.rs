//! `cygnet run`.

use crate::args::{Decode, Machine, Run};
use crate::decode::{self, Class, Region, Text, Thing};
use crate::failure::usage;
use crate::feed::{self, Feed};
use crate::media::npy;
use crate::output;
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use cygnet_compiler::bundle::{
    Array, BundleReader, Manifest, Postprocess, Preprocess, picture_input,
};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use cygnet_format::pipeline::{Activation, BoxForm};
use cygnet_sdk::Placement;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::time::Instant;

/// Outputs with at most this many elements are printed and put into JSON whole.
const SMALL: usize = 64;

/// What an output says, for machines.
#[derive(Serialize)]
struct OutputReport {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    top: Vec<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boxes: Option<Vec<Region>>,
}

#[derive(Serialize)]
struct Report {
    bundle: String,
    run_ms: f64,
    isa: String,
    threads: u16,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<OutputReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<Frame>,
}

/// One frame of a stream.
#[derive(Serialize)]
struct Frame {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    outputs: Vec<OutputReport>,
}

/// What decoding needs beyond the outputs.
struct Reading {
    decode: Option<Decode>,
    labels: Option<Vec<String>>,
    vocabulary: Option<Vec<String>>,
    top: usize,
    post: Postprocess,
    shown: Option<Placement>,
}

/// Where a picture of this width and height lies in an input.
fn shown(wish: &Preprocess, array: &Array, (width, height): (u32, u32)) -> Option<Placement> {
    let input = picture_input(wish, &array.shape, false).ok()?;
    let size = match array.shape[..] {
        [.., h, w, _] if input.channels_last => (h, w),
        [.., h, w] => (h, w),
        _ => return None,
    };
    let picture = (width as usize, height as usize);
    Some(Placement::new(input.fit, picture, size))
}

/// Opens a bundle with these machine flags.
pub fn open(path: &Path, machine: &Machine) -> Result<(BundleReader, Runner)> {
    let reader =
        BundleReader::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let runner = Runner::open(path, &options(machine)?)
        .with_context(|| format!("cannot load {}", path.display()))?;
    Ok((reader, runner))
}

/// Machine flags as runner options.
pub fn options(machine: &Machine) -> Result<RunnerOptions> {
    let isa = match machine.isa.as_str() {
        "auto" => None,
        name if Runner::isa_names().contains(&name) => Some(name.to_owned()),
        name => {
            return Err(usage(format!(
                "instruction set `{name}` is not one of this machine's: auto, {}",
                Runner::isa_names().join(", ")
            )));
        }
    };
    Ok(RunnerOptions {
        threads: machine.threads as usize,
        scalar: isa.as_deref() == Some("scalar"),
        isa,
    })
}

fn lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|l| l.trim_end_matches('\r').to_owned())
        .collect()
}

fn file_lines(path: &Path) -> Result<Vec<String>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(lines(&text))
}

impl Reading {
    fn new(args: &Run, reader: &mut BundleReader) -> Result<Reading> {
        let post = reader.manifest.postprocess.clone().unwrap_or_default();
        let recorded = Decode::from_str(&post.decode, false).ok();
        let decode = args.decode.or(recorded);
        let labels = match &args.labels {
            Some(path) => Some(file_lines(path)?),
            None => reader.text("labels.txt")?.map(|t| lines(&t)),
        };
        let vocabulary = match &args.vocab {
            Some(path) => Some(file_lines(path)?),
            None => match reader.text("vocab.txt")? {
                Some(text) => Some(lines(&text)),
                None => reader
                    .manifest
                    .provenance
                    .metadata
                    .get("character")
                    .map(|t| lines(t)),
            },
        };
        Ok(Reading {
            decode,
            labels,
            vocabulary,
            top: args.top,
            post,
            shown: None,
        })
    }

    fn report(&self, name: &str, array: &Array, first: bool) -> Result<OutputReport> {
        let mut report = OutputReport {
            name: name.to_owned(),
            dtype: array.dtype.name().to_owned(),
            shape: array.shape.clone(),
            values: (array.len() <= SMALL).then(|| array.to_f64()),
            top: Vec::new(),
            text: None,
            boxes: None,
        };
        let shape = &array.shape;
        let vector = shape.iter().filter(|&&d| d > 1).count() == 1
            && shape.last().is_some_and(|&d| d > 1)
            && array.dtype.is_float();
        match self.decode {
            Some(Decode::Ctc) if first => {
                let Some(vocabulary) = &self.vocabulary else {
                    bail!(
                        "--decode ctc needs a vocabulary: give --vocab FILE (the model's metadata has no `character`)"
                    );
                };
                let classes = shape.last().copied().unwrap_or(0);
                report.text = Some(decode::ctc(&array.to_f32(), classes, vocabulary)?);
            }
            Some(Decode::Db) if first => {
                let [.., height, width] = shape[..] else {
                    bail!("--decode db needs a map, output `{name}` has shape {shape:?}");
                };
                if array.len() != height * width {
                    bail!("--decode db needs one map, output `{name}` has shape {shape:?}");
                }
                let size = (width as f32, height as f32);
                let boxes =
                    cygnet_sdk::decode::db(&array.to_f32(), height, width, (1.0, 1.0), size);
                let found = boxes
                    .iter()
                    .map(|b| (None, b.score, [b.x0, b.y0, b.x1, b.y1]));
                report.boxes = Some(self.regions(found, (height, width)));
            }
            Some(Decode::Yolo8 | Decode::Yolo5) if first => {
                let [.., rows, columns] = shape[..] else {
                    bail!("boxes lie in rows, output `{name}` has shape {shape:?}");
                };
                let form = match self.decode {
                    Some(Decode::Yolo5) => BoxForm::Yolo5,
                    _ => BoxForm::Yolo8,
                };
                let threshold = self.post.threshold.unwrap_or(0.25);
                let overlap = self.post.overlap.unwrap_or(0.45);
                let values = array.to_f32();
                let axes = (rows, columns);
                let Some(found) =
                    cygnet_sdk::decode::boxes(form, &values, axes, threshold, overlap)
                else {
                    bail!(
                        "output `{name}` of shape {shape:?} is not [1, 4 + classes, boxes] (yolo8) nor [1, boxes, 5 + classes] (yolo5)"
                    );
                };
                let found = found.iter().map(|f| (Some(f.class), f.score, f.edges));
                let size = self.shown.as_ref().map_or((1, 1), |s| s.size);
                report.boxes = Some(self.regions(found, size));
            }
            Some(Decode::Top) if first => {
                let mut values = array.to_f32();
                let activation = self.post.activation.as_deref();
                if let Some(activation) = activation.and_then(Activation::from_name) {
                    cygnet_sdk::decode::activate(&mut values, activation);
                }
                report.top = decode::top(&values, self.top, self.labels.as_deref());
            }
            None if vector && (first || self.labels.is_none()) => {
                report.top = decode::top(&array.to_f32(), self.top, self.labels.as_deref());
            }
            _ => {}
        }
        Ok(report)
    }

    /// Boxes in a map of this size (height, width), in pixels of the picture.
    fn regions(
        &self,
        found: impl Iterator<Item = (Option<usize>, f32, [f32; 4])>,
        map: (usize, usize),
    ) -> Vec<Region> {
        let region = |(class, score, edges): (Option<usize>, f32, [f32; 4])| {
            let [x0, y0, x1, y1] = match &self.shown {
                Some(shown) => shown.edges_in_picture(edges, map),
                None => edges,
            };
            Region {
                class: class.map(|class| Thing {
                    class,
                    label: self.labels.as_ref().and_then(|l| l.get(class)).cloned(),
                }),
                x0,
                y0,
                x1,
                y1,
                score,
            }
        };
        found.map(region).collect()
    }

    fn all(&self, manifest: &Manifest, outputs: &[Array]) -> Result<Vec<OutputReport>> {
        manifest
            .outputs
            .iter()
            .zip(outputs)
            .enumerate()
            .map(|(i, (t, a))| self.report(&t.name, a, i == 0))
            .collect()
    }
}

fn number(v: f64) -> String {
    if v == v.trunc() && v.abs() < 1e15 {
        format!("{v}")
    } else if (1e-4..1e6).contains(&v.abs()) {
        format!("{v:.6}")
    } else {
        format!("{v:.4e}")
    }
}

/// An output for people.
fn describe(report: &OutputReport, array: &Array, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = (|| -> std::fmt::Result {
        writeln!(out, "{} {}{:?}", report.name, report.dtype, report.shape)?;
        if let Some(text) = &report.text {
            return writeln!(out, "  \"{}\" ({:.3})", text.text, text.confidence);
        }
        if let Some(boxes) = &report.boxes {
            writeln!(out, "  {} boxes", boxes.len())?;
            for b in boxes {
                writeln!(
                    out,
                    "  ({:.0}, {:.0}) to ({:.0}, {:.0})  {:.3}{}",
                    b.x0,
                    b.y0,
                    b.x1,
                    b.y1,
                    b.score,
                    match &b.class {
                        Some(Thing { label: Some(l), .. }) => format!("  {l}"),
                        Some(Thing { class, .. }) => format!("  class {class}"),
                        None => String::new(),
                    }
                )?;
            }
            return Ok(());
        }
        if !report.top.is_empty() {
            for class in &report.top {
                let label = class.label.as_deref().unwrap_or("");
                writeln!(
                    out,
                    "  {:>5}  {:>12}  {label}",
                    class.index,
                    number(class.score as f64)
                )?;
            }
            return Ok(());
        }
        let values = array.to_f64();
        if values.len() <= 16 {
            let text: Vec<String> = values.iter().map(|&v| number(v)).collect();
            return writeln!(out, "  {}", text.join(" "));
        }
        let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let (mut lo, mut hi, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for &v in &finite {
            lo = lo.min(v);
            hi = hi.max(v);
            sum += v;
        }
        writeln!(
            out,
            "  min {}  max {}  mean {}{}",
            number(lo),
            number(hi),
            number(sum / finite.len().max(1) as f64),
            match values.len() - finite.len() {
                0 => String::new(),
                n => format!("  {n} values are not finite"),
            }
        )
    })();
}

/// Runs a bundle.
pub fn run(args: &Run, quiet: bool) -> Result<()> {
    let (mut reader, mut runner) = open(&args.bundle, &args.machine)?;
    let manifest = reader.manifest.clone();
    let wish = feed::wish(&args.media, manifest.preprocess.as_ref());
    let feeds = feed::read(&args.input, &manifest, &wish, args.multiple)?;
    let mut reading = Reading::new(args, &mut reader)?;
    reading.shown = feeds.iter().find_map(|f| match f {
        Feed::Picture(array, size) => shown(&wish, array, *size),
        _ => None,
    });
    let mut report = Report {
        bundle: args.bundle.display().to_string(),
        run_ms: 0.0,
        isa: runner.isa().to_owned(),
        threads: args.machine.threads,
        outputs: Vec::new(),
        frames: Vec::new(),
    };
    let silent = output::machine_only(args.json.as_deref());
    if args.stream {
        stream(
            args,
            quiet,
            silent,
            &manifest,
            feeds,
            &mut runner,
            &reading,
            &mut report,
        )?;
    } else {
        let arrays: Vec<Array> = feeds
            .into_iter()
            .enumerate()
            .map(|(i, feed)| whole(feed, &manifest, i))
            .collect::<Result<_>>()?;
        runner.set_inputs(&arrays.iter().collect::<Vec<_>>())?;
        let start = Instant::now();
        runner.run()?;
        report.run_ms = start.elapsed().as_secs_f64() * 1e3;
        let outputs = outputs(&runner, &manifest)?;
        report.outputs = reading.all(&manifest, &outputs)?;
        if !silent {
            let mut text = String::new();
            for (r, a) in report.outputs.iter().zip(&outputs) {
                describe(r, a, &mut text);
            }
            output::print(&text)?;
        }
        if let Some(folder) = &args.output {
            write_arrays(folder, &manifest, &outputs)?;
        }
    }
    if let Some(path) = &args.json {
        output::json(path, &report)?;
    }
    Ok(())
}

fn outputs(runner: &Runner, manifest: &Manifest) -> Result<Vec<Array>> {
    (0..manifest.outputs.len())
        .map(|i| Ok(runner.output(i)?))
        .collect()
}

/// A feed as one array; a sound fills the input's last axis, cut or padded with silence.
pub fn whole(feed: Feed, manifest: &Manifest, index: usize) -> Result<Array> {
    let tensor = &manifest.inputs[index];
    match feed {
        Feed::Array(a) | Feed::Picture(a, _) => Ok(a),
        Feed::Frames(frames) => bail!(
            "the array holds {} frames for input `{}`: add --stream, or give one",
            frames.len(),
            tensor.name
        ),
        Feed::Sound(samples, _) => {
            let limits = feed::bounds(tensor, manifest);
            let Some(&(lo, hi)) = limits.last() else {
                bail!("input `{}` is a number, not a sound", tensor.name);
            };
            let mut samples = samples;
            if samples.len() > hi {
                bail!(
                    "the sound has {} samples, input `{}` takes at most {hi}: add --stream, or cut it",
                    samples.len(),
                    tensor.name
                );
            }
            samples.resize(samples.len().clamp(lo, hi), 0.0);
            let array = Array::from_f32(&[samples.len()], &samples);
            feed::check(array, tensor, manifest, "the sound")
        }
    }
}

fn write_arrays(folder: &Path, manifest: &Manifest, outputs: &[Array]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    for (tensor, array) in manifest.outputs.iter().zip(outputs) {
        let path = folder.join(format!("{}.npy", file_name(&tensor.name)));
        cygnet_compiler::bundle::write_atomically(&path, &npy::to_bytes(array)?)?;
    }
    Ok(())
}

/// A tensor's name as a file name.
fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    match safe.trim_start_matches('.') {
        "" => "output".into(),
        s => s.into(),
    }
}

/// Runs frame after frame; states carry over.
#[allow(clippy::too_many_arguments)]
fn stream(
    args: &Run,
    quiet: bool,
    silent: bool,
    manifest: &Manifest,
    feeds: Vec<Feed>,
    runner: &mut Runner,
    reading: &Reading,
    report: &mut Report,
) -> Result<()> {
    let mut source = None;
    for (i, feed) in feeds.into_iter().enumerate() {
        match feed {
            Feed::Sound(samples, rate) if source.is_none() => {
                let (frames, hop) = cut(args, manifest, i, &samples)?;
                source = Some((i, frames, Some(hop as f64 / f64::from(rate.max(1)))));
            }
            Feed::Frames(frames) if source.is_none() => source = Some((i, frames, None)),
            other => runner.set_input(i, &whole(other, manifest, i)?)?,
        }
    }
    let Some((index, frames, step)) = source else {
        return Err(usage(
            "--stream needs a .wav file for one of the inputs, or an .npy file with an axis of frames",
        ));
    };
    let progress = output::bar(quiet || !silent, frames.len() as u64, "frames");
    let mut per_output: Vec<Vec<Array>> = vec![Vec::new(); manifest.outputs.len()];
    runner.reset();
    let start = Instant::now();
    for (at, frame) in frames.into_iter().enumerate() {
        runner.set_input(index, &frame)?;
        runner.run()?;
        let outputs = outputs(runner, manifest)?;
        let reports = reading.all(manifest, &outputs)?;
        let seconds = step.map(|s| at as f64 * s);
        if !silent {
            output::print(&frame_line(at, seconds, &reports))?;
        }
        if args.output.is_some() {
            for (list, array) in per_output.iter_mut().zip(outputs) {
                list.push(array);
            }
        }
        report.frames.push(Frame {
            index: at,
            seconds,
            outputs: reports,
        });
        progress.inc(1);
    }
    report.run_ms = start.elapsed().as_secs_f64() * 1e3;
    progress.finish_and_clear();
    if let Some(folder) = &args.output {
        let stacked: Result<Vec<Array>> = per_output.into_iter().map(stack).collect();
        write_arrays(folder, manifest, &stacked?)?;
    }
    Ok(())
}

/// A sound as frames of an input's length, and the new samples in each.
fn cut(
    args: &Run,
    manifest: &Manifest,
    index: usize,
    samples: &[f32],
) -> Result<(Vec<Array>, usize)> {
    let tensor = &manifest.inputs[index];
    let limits = feed::bounds(tensor, manifest);
    let length = match (args.frame, limits.last()) {
        (Some(n), Some(&(lo, hi))) if (lo..=hi).contains(&n) => n,
        (None, Some(&(lo, hi))) if lo == hi => hi,
        (_, Some(&(lo, hi))) => {
            return Err(usage(format!(
                "give --frame N between {lo} and {hi}: the length of input `{}` is free",
                tensor.name
            )));
        }
        (_, None) => bail!("input `{}` is a number, not a sound", tensor.name),
    };
    let hop = args.hop.unwrap_or(length);
    if hop == 0 || hop > length {
        return Err(usage(format!("--hop must be between 1 and {length}")));
    }
    // What precedes the first sample is silence.
    let mut padded = vec![0f32; length - hop];
    padded.extend(samples);
    let frame = |at: usize| {
        let from = at * hop;
        let mut frame = padded[from..padded.len().min(from + length)].to_vec();
        frame.resize(length, 0.0);
        let array = Array::from_f32(&[length], &frame);
        feed::check(array, tensor, manifest, "the frame")
    };
    let frames = (0..samples.len().div_ceil(hop)).map(frame);
    Ok((frames.collect::<Result<_>>()?, hop))
}

/// A line of a stream: the time or the frame, then each output in short.
fn frame_line(index: usize, seconds: Option<f64>, reports: &[OutputReport]) -> String {
    let mut line = match seconds {
        Some(seconds) => format!("{seconds:9.3} s"),
        None => format!("frame {index:5}"),
    };
    for r in reports {
        let text = if let Some(text) = &r.text {
            format!("\"{}\"", text.text)
        } else if let Some(best) = r.top.first() {
            let label = best.label.clone().unwrap_or_else(|| best.index.to_string());
            format!("{label} {}", number(best.score as f64))
        } else if let Some(values) = r.values.as_ref().filter(|v| v.len() <= 8) {
            values
                .iter()
                .map(|&v| number(v))
                .collect::<Vec<_>>()
                .join(" ")
        } else {
            format!("{:?}", r.shape)
        };
        let _ = write!(line, "  {} {text}", r.name);
    }
    line.push('\n');
    line
}

/// Frames as one array with a new first axis.
fn stack(frames: Vec<Array>) -> Result<Array> {
    let first = frames.first().context("the sound has no frames")?;
    let mut shape = vec![frames.len()];
    shape.extend(&first.shape);
    let dtype = first.dtype;
    if frames.iter().any(|f| f.shape != shape[1..]) {
        bail!("the outputs of the frames have different shapes: they cannot be one array");
    }
    let data = frames.into_iter().flat_map(|f| f.data).collect();
    Array::new(dtype, shape, data).context("the outputs do not fit their shape")
}
