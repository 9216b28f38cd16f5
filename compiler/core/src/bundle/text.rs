//! A program as text, for people.

use cygnet_format::program::{Place, Program, TensorId};
use cygnet_format::{BlockId, Dim, expr::ExprOp};
use std::fmt::Write;

/// An expression in words of the symbols.
fn expression(program: &Program<'_>, index: u32) -> String {
    let mut stack: Vec<String> = Vec::new();
    for op in program.expr(index) {
        let mut binary = |name: &str| {
            let b = stack.pop().unwrap_or_default();
            let a = stack.pop().unwrap_or_default();
            match name {
                "min" | "max" | "ceil_div" => format!("{name}({a}, {b})"),
                _ => format!("({a} {name} {b})"),
            }
        };
        let text = match op {
            ExprOp::Const(v) => v.to_string(),
            ExprOp::Symbol(s) => program.symbol(s).name.to_owned(),
            ExprOp::Add => binary("+"),
            ExprOp::Sub => binary("-"),
            ExprOp::Mul => binary("*"),
            ExprOp::FloorDiv => binary("/"),
            ExprOp::CeilDiv => binary("ceil_div"),
            ExprOp::Mod => binary("%"),
            ExprOp::Min => binary("min"),
            ExprOp::Max => binary("max"),
        };
        stack.push(text);
    }
    stack.pop().unwrap_or_default()
}

/// Element type and shape, such as `f32[1,48,width,3]`.
pub fn tensor_type(program: &Program<'_>, id: TensorId) -> String {
    let info = program.tensor(id);
    let dims: Vec<String> = info
        .dims
        .iter()
        .map(|d: Dim| match d.as_expr() {
            Some(e) => expression(program, e),
            None => d.0.to_string(),
        })
        .collect();
    format!("{}[{}]", info.dtype.name(), dims.join(","))
}

fn operand(program: &Program<'_>, id: Option<TensorId>) -> String {
    match id {
        None => "none".into(),
        Some(id) => match program.tensor(id).place {
            Place::Const(_) => format!("c{}", id.0),
            Place::Arena(_) => format!("t{}", id.0),
            Place::State(_) => format!("s{}", id.0),
        },
    }
}

/// The whole program, one step a line: results with type and place, operator, operands, attributes, the model's node.
pub fn program_text(program: &Program<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = dump(program, &mut out);
    out
}

fn dump(program: &Program<'_>, out: &mut String) -> std::fmt::Result {
    for i in 0..program.symbols() as u32 {
        let s = program.symbol(i);
        writeln!(out, "symbol {} in {}..{}", s.name, s.lo, s.hi)?;
    }
    for (word, ids) in [("input", program.inputs()), ("output", program.outputs())] {
        for id in ids.iter().flatten() {
            let info = program.tensor(id);
            writeln!(
                out,
                "{word} {} {}: {}",
                operand(program, Some(id)),
                info.name,
                tensor_type(program, id)
            )?;
        }
    }
    for s in (0..program.states()).filter_map(|i| program.state(i)) {
        writeln!(
            out,
            "state {}: {} becomes {}",
            operand(program, Some(s.tensor)),
            tensor_type(program, s.tensor),
            operand(program, Some(s.next))
        )?;
    }
    for b in 0..program.blocks() as u32 {
        let block = program.block(BlockId(b));
        let list = |ids: cygnet_format::program::Operands<'_>| -> String {
            ids.iter()
                .map(|id| operand(program, id))
                .collect::<Vec<_>>()
                .join(", ")
        };
        writeln!(
            out,
            "\nblock {b} ({}) -> ({})",
            list(block.inputs),
            list(block.outputs)
        )?;
        for i in block.first_step..block.first_step + block.steps {
            let Some(step) = program.step(i) else {
                continue;
            };
            let results: Vec<String> = step
                .outputs
                .iter()
                .map(|id| match id {
                    None => "none".into(),
                    Some(t) => {
                        let at = program.tensor(t).arena_offset().unwrap_or(0);
                        format!(
                            "{}: {} @{at}",
                            operand(program, id),
                            tensor_type(program, t)
                        )
                    }
                })
                .collect();
            write!(
                out,
                "  {} = {}({})",
                results.join(", "),
                step.code.name(),
                list(step.inputs)
            )?;
            let mut attributes = String::new();
            if let Some(op) = step.op() {
                op.write_attributes(&mut attributes)?;
            }
            if !attributes.is_empty() {
                write!(out, " {{{attributes}}}")?;
            }
            if !step.name.is_empty() {
                write!(out, "  # {}", step.name)?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
