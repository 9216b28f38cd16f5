//! Compiles an ONNX model and prints what became of it: `dump MODEL [--text] [--raw] [NAME=LO..HI]…`.

use cygnet_compiler::import::ImportOptions;
use cygnet_compiler::passes::Level;
use cygnet_compiler::{CompileOptions, compile};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut import = ImportOptions::default();
    for a in &arguments {
        if let Some((name, range)) = a.split_once('=')
            && let Some((lo, hi)) = range.split_once("..")
        {
            import.dims.push((name.to_owned(), lo.parse()?, hi.parse()?));
        }
    }
    let model = arguments.first().ok_or("usage: dump MODEL [--text] [--raw] [NAME=LO..HI]…")?;
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
    println!("{model}: {} steps in {:.1} s", compiled.graph.blocks.iter().map(|b| b.nodes.len()).sum::<usize>(), start.elapsed().as_secs_f64());
    println!("  operators {:?}", cygnet_compiler::ir::text::histogram(&compiled.graph));
    println!("  passes {:?} in {} rounds", compiled.report.changes, compiled.report.rounds);
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
    Ok(())
}
