//! Compiles an ONNX model and prints what became of it: `dump MODEL [--text] [--raw] [--check] [NAME=LO..HI]…`.
//! `--check` runs the program and the one without passes on the same made-up input and prints the largest difference.

use cygnet_compiler::import::ImportOptions;
use cygnet_compiler::passes::Level;
use cygnet_compiler::{CompileOptions, compile};
use cygnet_runtime::{Config, Features, Program, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut import = ImportOptions::default();
    for a in &arguments {
        if let Some((name, range)) = a.split_once('=')
            && let Some((lo, hi)) = range.split_once("..")
        {
            import
                .dims
                .push((name.to_owned(), lo.parse()?, hi.parse()?));
        }
    }
    let model = arguments
        .first()
        .ok_or("usage: dump MODEL [--text] [--raw] [--check] [NAME=LO..HI]…")?;
    let mut options = CompileOptions::default();
    options.import = import;
    if arguments.iter().any(|a| a == "--raw") {
        options.level = Level::None;
    }
    let start = std::time::Instant::now();
    let compiled = compile(&std::fs::read(model)?, &options)?;
    if arguments.iter().any(|a| a == "--text") {
        print!("{}", compiled.graph);
    }
    let p = &compiled.program;
    println!(
        "{model}: {} steps in {:.1} s",
        compiled
            .graph
            .blocks
            .iter()
            .map(|b| b.nodes.len())
            .sum::<usize>(),
        start.elapsed().as_secs_f64()
    );
    println!(
        "  operators {:?}",
        cygnet_compiler::ir::text::histogram(&compiled.graph)
    );
    println!(
        "  passes {:?} in {} rounds",
        compiled.report.changes, compiled.report.rounds
    );
    println!(
        "  arena {} bytes, lower bound {} ({:+.2} %), states {}, constants {}, program {}, in place {}, peak at {:?}",
        p.arena_bytes,
        p.lower_bound_bytes,
        (p.arena_bytes as f64 / p.lower_bound_bytes.max(1) as f64 - 1.0) * 100.0,
        p.state_bytes,
        p.const_bytes,
        p.bytes.len(),
        p.in_place_steps,
        p.peak_node,
    );
    if arguments.iter().any(|a| a == "--check") {
        let mut plain = options.clone();
        plain.level = Level::None;
        let before = run(&compile(&std::fs::read(model)?, &plain)?.program.bytes)?;
        let after = run(&p.bytes)?;
        for (i, (a, b)) in before.iter().zip(&after).enumerate() {
            let largest = a.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let difference = a
                .iter()
                .zip(b)
                .fold(0.0f32, |m, (x, y)| m.max((x - y).abs()));
            println!(
                "  output {i}: {} numbers, largest {largest}, difference {difference}",
                a.len()
            );
        }
    }
    Ok(())
}

/// The f32 outputs for seeded inputs, symbols at their lower bounds.
fn run(bytes: &[u8]) -> Result<Vec<Vec<f32>>, Box<dyn std::error::Error>> {
    let mut space = vec![0u8; bytes.len() + 64];
    let at = space.as_ptr().align_offset(64);
    space[at..at + bytes.len()].copy_from_slice(bytes);
    let program = Program::parse(&space[at..at + bytes.len()])?;
    let size = program.arena_bytes() as usize;
    let mut arena = vec![0u8; size + 64];
    let at = arena.as_ptr().align_offset(64);
    let config = Config {
        features: Features::ALL,
        ..Config::default()
    };
    let mut session =
        Session::new(&program, &mut arena[at..at + size], config).map_err(|e| e.to_string())?;
    let mut random = 1u64;
    for (i, id) in program.inputs().iter().enumerate() {
        let tensor = program.tensor(id.ok_or("an input")?);
        let low = |e: u32| program.evaluate(e, |s| program.symbol(s).lo).unwrap_or(1) as usize;
        let shape: Vec<usize> = tensor
            .dims
            .iter()
            .map(|d| {
                d.as_const()
                    .unwrap_or_else(|| low(d.as_expr().unwrap_or(0)))
            })
            .collect();
        session
            .set_input_shape(i, &shape)
            .map_err(|e| e.to_string())?;
        let mut input = session.input_mut(i).map_err(|e| e.to_string())?;
        if let Ok(data) = input.as_mut_slice::<f32>() {
            for v in data {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *v = (random >> 40) as f32 / (1 << 23) as f32 - 1.0;
            }
        } else {
            input.bytes.fill(0);
            if let Ok(data) = input.as_mut_slice::<i64>() {
                data.fill(1);
            }
        }
    }
    session.run().map_err(|e| {
        format!(
            "{e} in step {}",
            program.step(e.step).map_or("", |s| s.name)
        )
    })?;
    let mut outputs = Vec::new();
    for i in 0..program.outputs().len() {
        let y = session.output(i).map_err(|e| e.to_string())?;
        outputs.push(y.as_slice::<f32>().map(<[f32]>::to_vec).unwrap_or_default());
    }
    Ok(outputs)
}
