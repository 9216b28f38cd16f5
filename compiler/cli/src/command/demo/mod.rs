//! `cygnet demo`: the whole way on embedded digits, from data to a bundle that runs.

use crate::args::Demo;
use crate::command::project::{self, Say};
use crate::media::picture;
use crate::{decode, output};
use anyhow::{Context, Result};
use cygnet_compiler::bundle::write_atomically;
use cygnet_compiler::verify::{Runner, RunnerOptions};
use std::fmt::Write;
use std::time::Instant;

/// What the project's folder holds before anything is built.
const FILES: [(&str, &[u8]); 4] = [
    ("cygnet.toml", include_bytes!("cygnet.toml")),
    (
        "data/digits-images.idx",
        include_bytes!("../../../data/digits-images.idx"),
    ),
    (
        "data/digits-labels.idx",
        include_bytes!("../../../data/digits-labels.idx"),
    ),
    ("data/README.md", include_bytes!("../../../data/README.md")),
];

/// Trains, compiles and runs the embedded project, in a folder of its own or in one that stays.
pub fn demo(args: &Demo, quiet: bool) -> Result<()> {
    let begin = Instant::now();
    let passing;
    let folder = match &args.output {
        Some(folder) => folder.as_path(),
        None => {
            passing = tempfile::tempdir().context("cannot make a temporary folder")?;
            passing.path()
        }
    };
    for (name, bytes) in FILES {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create {}", parent.display()))?;
        // A folder of an earlier demonstration may have been changed since, on purpose.
        if !path.exists() {
            write_atomically(&path, bytes)?;
        }
    }
    if !quiet {
        eprintln!(
            "training a teacher, then a small model that learns from it, then in 8-bit integers"
        );
    }
    let built = project::make(folder, Say::Stages.unless(quiet), true)?;

    let mut text = built.table()?;
    if let [teacher, .., bundle] = &built.measured[..] {
        writeln!(
            text,
            "\nthe bundle's program is {:.0} times smaller than the teacher's; it was trained, compiled and judged in {:.0} s",
            teacher.program_bytes as f64 / bundle.program_bytes.max(1) as f64,
            begin.elapsed().as_secs_f64()
        )?;
    }
    let mut runner = Runner::open(&built.bundle, &RunnerOptions::default())?;
    let picture = example(&built, &mut runner, &mut text)?;
    if let Some(folder) = &args.output {
        write_atomically(&folder.join("digit.png"), &picture)?;
        let d = folder.display();
        writeln!(
            text,
            "\nLook at {}\n\nNext:\n  cygnet run {d}/build/digits.cygnet --input {d}/digit.png\n  cygnet bench {d}/build/digits.cygnet --profile\n  cygnet inspect {d}/build/digits.cygnet\n  edit {d}/cygnet.toml, then: cygnet build --project {d}",
            built.report.display(),
        )?;
    } else {
        writeln!(
            text,
            "\nNext: cygnet demo --output tour    # leaves the project, the bundle and a page of the build in the folder tour"
        )?;
    }
    output::print(&text)
}

/// Runs the bundle on a digit that was kept back, and draws it; the digit as a PNG picture.
fn example(built: &project::Built, runner: &mut Runner, text: &mut String) -> Result<Vec<u8>> {
    let ready = built.ready();
    let samples = &ready.samples;
    let width = samples.shape[1];
    let mut run = |i: usize| -> Result<Vec<f32>> {
        runner.set_input(0, &project::array(&ready.samples, i))?;
        runner.run()?;
        Ok(runner.output(0)?.to_f32())
    };
    // Of the sevens, which are easy to tell from the others, the clearest.
    let mut clearest = (
        0.0,
        *ready.split.test.first().context("no digit was kept back")?,
    );
    for &i in ready.split.test.iter().filter(|i| samples.labels[**i] == 7) {
        let score = run(i)?.get(7).copied().unwrap_or_default();
        if score > clearest.0 {
            clearest = (score, i);
        }
    }
    let sample = samples.bytes(clearest.1);
    let begin = Instant::now();
    let scores = run(clearest.1)?;
    let ran = begin.elapsed();
    writeln!(text, "\na digit that was kept back:")?;
    for row in sample.chunks(width) {
        // Two characters are about as wide as one is high.
        let row: String = row
            .iter()
            .map(|v| match v {
                0..40 => "  ",
                40..110 => "..",
                110..180 => "++",
                _ => "##",
            })
            .collect();
        writeln!(text, "    {}", row.trim_end())?;
    }
    writeln!(
        text,
        "read in {:.0} us on {}:",
        ran.as_secs_f64() * 1e6,
        runner.isa()
    )?;
    for class in decode::top(&scores, 3, Some(&samples.classes)) {
        writeln!(
            text,
            "  {:<3} {:>7.3} %",
            class.label.unwrap_or_default(),
            class.score * 100.0
        )?;
    }
    picture::png(&sample, samples.shape)?.context("the digits are no grey pictures")
}
