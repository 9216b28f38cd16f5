//! `--pipeline`: what is usually said of pictures, sounds and answers, in a word or in a file.

use crate::args::{Compile, Decode};
use crate::failure::usage;
use anyhow::{Context, Result};
use clap::ValueEnum;
use cygnet_compiler::bundle::Postprocess;
use cygnet_compiler::ir::Graph;
use cygnet_format::{Op, OpCode};
use serde::Deserialize;
use std::path::Path;

/// The table `[pipeline]` of a file: every key is a flag of `compile`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Section {
    fit: Option<String>,
    fill: Option<u8>,
    scale: Option<f32>,
    mean: Vec<f32>,
    std: Vec<f32>,
    channel_order: Option<String>,
    layout: Option<String>,
    sample_rate: Option<u32>,
    decode: Option<String>,
    activation: Option<String>,
    threshold: Option<f32>,
    overlap: Option<f32>,
    answers: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pipeline: Section,
}

/// Names of what is built in.
const PRESETS: [&str; 6] = [
    "imagenet",
    "ocr-ctc",
    "ocr-boxes",
    "yolo",
    "kws",
    "embedding",
];

fn preset(name: &str) -> Option<Section> {
    let text = |s: &str| Some(s.to_owned());
    // Mean and standard deviation of the colours of ImageNet, as its models are trained.
    let imagenet = Section {
        fit: text("crop"),
        mean: vec![0.485, 0.456, 0.406],
        std: vec![0.229, 0.224, 0.225],
        ..Section::default()
    };
    Some(match name {
        "imagenet" => Section {
            decode: text("top"),
            activation: text("auto"),
            answers: Some(5),
            ..imagenet
        },
        "embedding" => Section {
            decode: text("embedding"),
            ..imagenet
        },
        "ocr-boxes" => Section {
            fit: text("stretch"),
            channel_order: text("bgr"),
            decode: text("db"),
            ..imagenet
        },
        "ocr-ctc" => Section {
            fit: text("letterbox"),
            channel_order: text("bgr"),
            mean: vec![0.5],
            std: vec![0.5],
            decode: text("ctc"),
            ..Section::default()
        },
        "yolo" => Section {
            fit: text("centre"),
            fill: Some(114),
            decode: text("yolo8"),
            threshold: Some(0.25),
            overlap: Some(0.45),
            ..Section::default()
        },
        "kws" => Section {
            sample_rate: Some(16_000),
            decode: text("top"),
            activation: text("auto"),
            ..Section::default()
        },
        _ => return None,
    })
}

/// Gives the flags that `--pipeline` stands for to those that are not given.
pub fn settle(args: &mut Compile) -> Result<()> {
    let Some(name) = &args.pipeline else {
        return Ok(());
    };
    let section = match preset(name) {
        Some(section) => section,
        None if Path::new(name).extension().is_some_and(|e| e == "toml") => {
            let text =
                std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
            let file: File = toml::from_str(&text).map_err(|e| {
                usage(format!(
                    "{name}: {}",
                    e.to_string().trim_end().replace('\n', "\n  ")
                ))
            })?;
            file.pipeline
        }
        None => {
            return Err(usage(format!(
                "--pipeline {name} is none of {}, nor a .toml file with a table [pipeline]",
                PRESETS.join(", ")
            )));
        }
    };
    let media = &mut args.media;
    if !(media.resize || media.letterbox || media.centre || media.crop) {
        match section.fit.as_deref() {
            None => {}
            Some("stretch") => media.resize = true,
            Some("letterbox") => media.letterbox = true,
            Some("centre") => media.centre = true,
            Some("crop") => media.crop = true,
            Some(other) => {
                return Err(usage(format!(
                    "{name}: fit `{other}` is none of stretch, letterbox, centre, crop"
                )));
            }
        }
    }
    media.fill = media.fill.or(section.fill);
    media.scale = media.scale.or(section.scale);
    if media.mean.is_empty() {
        media.mean = section.mean;
    }
    if media.std.is_empty() {
        media.std = section.std;
    }
    media.channel_order = media.channel_order.take().or(section.channel_order);
    media.layout = media.layout.take().or(section.layout);
    media.sample_rate = media.sample_rate.or(section.sample_rate);
    if let (None, Some(wanted)) = (args.decode, &section.decode) {
        let decode = Decode::from_str(wanted, false)
            .map_err(|why| usage(format!("{name}: decode `{wanted}`: {why}")))?;
        args.decode = Some(decode);
    }
    let answer = &mut args.answer;
    answer.activation = answer.activation.take().or(section.activation);
    answer.threshold = answer.threshold.or(section.threshold);
    answer.overlap = answer.overlap.or(section.overlap);
    answer.answers = answer.answers.or(section.answers);
    Ok(())
}

/// What the manifest says of the first output.
pub fn postprocess(args: &Compile, graph: &Graph) -> Option<Postprocess> {
    let decode = args.decode?;
    let value = decode.to_possible_value()?;
    let answer = &args.answer;
    let activation = match answer.activation.as_deref() {
        Some("auto") => Some(if ends_in_probabilities(graph) {
            "none"
        } else {
            "softmax"
        }),
        other => other,
    };
    let rows_last = |shape: &[cygnet_format::Dim]| match *shape {
        // Channels are fewer than columns.
        [.., c, _, w] => matches!((c.as_const(), w.as_const()), (Some(c), Some(w)) if w < c),
        _ => false,
    };
    let output = graph.outputs.first().map(|o| graph.ty(o.value));
    Some(Postprocess {
        decode: value.get_name().to_owned(),
        activation: activation.map(str::to_owned),
        threshold: answer.threshold,
        overlap: answer.overlap,
        top: answer.answers,
        channels_last: decode == Decode::Mask && output.is_some_and(|ty| rows_last(&ty.shape)),
        vocab: None,
    })
}

/// Whether the first output is made by a softmax or a logistic function, but for changes of shape and type.
fn ends_in_probabilities(graph: &Graph) -> bool {
    let Some(mut value) = graph.outputs.first().map(|o| o.value) else {
        return false;
    };
    let nodes = graph.blocks.first().map_or(&[][..], |b| &b.nodes);
    for node in nodes.iter().rev() {
        if !node.outputs.contains(&Some(value)) {
            continue;
        }
        match &node.op {
            Op::Softmax(_) => return true,
            Op::Unary(u) => return u.kind == cygnet_format::op::UnaryKind::Sigmoid,
            op if matches!(
                op.code(),
                OpCode::Reshape
                    | OpCode::Transpose
                    | OpCode::Cast
                    | OpCode::DequantizeLinear
                    | OpCode::Requantize
            ) =>
            {
                match node.inputs.first().copied().flatten() {
                    Some(input) => value = input,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}
