//! `cygnet demo`: the whole way on embedded files.

use crate::args::Demo;
use crate::command::compile;
use crate::decode;
use crate::media::picture::{self, Recipe};
use crate::{output, sizes};
use anyhow::{Context, Result};
use cygnet_compiler::bundle::{Array, Preprocess};
use cygnet_compiler::verify::{Runner, RunnerOptions};
use std::fmt::Write;
use std::time::Instant;

const MODEL: &[u8] = include_bytes!("../../../../tests/data/digits.onnx");
const PICTURE: &[u8] = include_bytes!("../../../../tests/data/digit_7.png");
const LABELS: &str = "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

/// Compiles the embedded model and classifies the embedded picture.
pub fn demo(args: &Demo, quiet: bool) -> Result<()> {
    let start = Instant::now();
    let progress = output::spinner(quiet, "compiling digits.onnx");
    let built = compile::digits(MODEL, LABELS)?;
    progress.finish_and_clear();
    let compiled = start.elapsed();
    let mut runner = Runner::from_bytes(&built.bytes, &RunnerOptions::default())?;
    let seen = image::load_from_memory(PICTURE).context("the embedded picture is damaged")?;
    let recipe = Recipe::settle(&Preprocess::default(), &[1, 1, 28, 28])?;
    let mut array: Array = picture::to_tensor(&seen, 28, 28, &recipe);
    array.shape.insert(0, 1);
    runner.set_input(0, &array)?;
    let start = Instant::now();
    runner.run()?;
    let ran = start.elapsed();
    let scores = runner.output(0)?.to_f32();
    let labels: Vec<String> = LABELS.lines().map(str::to_owned).collect();

    let mut text = String::new();
    writeln!(
        text,
        "digits.onnx ({}) -> digits.cygnet ({}), compiled in {:.0} ms, checked against {}",
        sizes::show(MODEL.len() as u64),
        sizes::show(built.bytes.len() as u64),
        compiled.as_secs_f64() * 1e3,
        built
            .manifest
            .golden
            .as_ref()
            .map_or("nothing", |g| g.oracle.as_str()),
    )?;
    writeln!(
        text,
        "needs {} of memory, no heap\n\ndigit_7.png:",
        sizes::show(built.manifest.memory.arena_bytes)
    )?;
    let grey = seen.to_luma8();
    for y in (0..28).step_by(2) {
        let row: String = (0..28)
            .map(|x| {
                // A character covers two pixels: the brighter one shows.
                match grey.get_pixel(x, y).0[0].max(grey.get_pixel(x, y + 1).0[0]) {
                    0..40 => ' ',
                    40..110 => '.',
                    110..180 => '+',
                    _ => '#',
                }
            })
            .collect();
        if !row.trim().is_empty() {
            writeln!(text, "    {}", row.trim_end())?;
        }
    }
    writeln!(
        text,
        "\nran in {:.0} us on {}:",
        ran.as_secs_f64() * 1e6,
        runner.isa()
    )?;
    for class in decode::top(&scores, 3, Some(&labels)) {
        writeln!(
            text,
            "  {:<6} {:>7.3} %",
            class.label.unwrap_or_default(),
            class.score * 100.0
        )?;
    }
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        for (name, bytes) in [
            ("digits.onnx", MODEL),
            ("digits.cygnet", built.bytes.as_slice()),
            ("digit_7.png", PICTURE),
        ] {
            cygnet_compiler::bundle::write_atomically(&folder.join(name), bytes)?;
        }
        let d = folder.display();
        writeln!(
            text,
            "\nNext:\n  cygnet run {d}/digits.cygnet --input {d}/digit_7.png\n  cygnet verify {d}/digits.onnx {d}/digits.cygnet\n  cygnet bench {d}/digits.cygnet --profile\n  cygnet inspect {d}/digits.cygnet"
        )?;
    }
    output::print(&text)
}
