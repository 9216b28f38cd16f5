//! One step as statements: the kernel's parameters, its operands, the call.

mod float;
mod int16;
mod movement;
mod quantized;

use super::{At, Operand, Step, Weights, kind, rust_type};
use cygnet_format::program::{Operands, Place, StepInfo, TensorId};
use cygnet_format::{Op, Program};
use cygnet_runtime::{RunError, Shape, TensorType, prepare};
use std::fmt::Write;

const INDENT: &str = "        ";

/// What a step's statements are made from.
struct Writer<'a, 'w> {
    program: &'w Program<'a>,
    info: &'w StepInfo<'a>,
    weights: &'w mut Weights<'a>,
    body: String,
    layer: Option<String>,
    uses: Vec<&'static str>,
    fallible: bool,
}

/// Writes a step; `None` when it does nothing.
///
/// # Errors
/// Why the step has no source form.
pub(super) fn step<'a>(
    program: &Program<'a>,
    info: &StepInfo<'a>,
    weights: &mut Weights<'a>,
) -> Result<Option<Step>, String> {
    let op = info.op().ok_or("the step is damaged")?;
    let mut w = Writer {
        program,
        info,
        weights,
        body: String::new(),
        layer: None,
        uses: Vec::new(),
        fallible: true,
    };
    match &op {
        Op::Reshape(_) => w.reshape()?,
        Op::Transpose(op) => w.transpose(op)?,
        Op::Slice(op) => w.slice(op)?,
        Op::Concat(op) => w.concat(op)?,
        Op::Pad(op) => w.pad(op)?,
        Op::TensorScatter(op) => w.tensor_scatter(op)?,
        Op::QuantizedConv(op) => {
            let (operands, residual, y) = w.quantized_operands()?;
            let p = prepare::quantized_conv(op, operands, residual, y).map_err(wrong)?;
            w.quantized_conv(&p, false)?;
        }
        Op::QuantizedDepthwise(op) => {
            let (operands, residual, y) = w.quantized_operands()?;
            let p = prepare::quantized_depthwise(op, operands, residual, y).map_err(wrong)?;
            w.quantized_conv(&p, true)?;
        }
        Op::Int16Conv(op) => {
            let (operands, y) = w.int16_operands()?;
            let p = prepare::int16_conv(op, operands, y).map_err(wrong)?;
            w.int16_conv(&p, "int16_conv")?;
        }
        Op::Int16Depthwise(op) => {
            let (operands, y) = w.int16_operands()?;
            let p = prepare::int16_depthwise(op, operands, y).map_err(wrong)?;
            w.int16_conv(&p, "int16_depthwise")?;
        }
        Op::Int16Add(op) => w.int16_add(op)?,
        Op::Int16Pool(op) => w.int16_pool(op)?,
        Op::QuantizedAveragePool(op) => w.quantized_average_pool(op)?,
        Op::QuantizeLinear(op) => w.quantize_linear(op)?,
        Op::DequantizeLinear(op) => w.dequantize_linear(op)?,
        Op::Softmax(op) => w.softmax(op)?,
        Op::Lookup(_) => w.lookup()?,
        Op::QuantizedAdd(op) => w.quantized_add(op)?,
        Op::Conv(op) => {
            let (operands, epilogue, y) = w.float_operands()?;
            let p = prepare::conv(op, operands, epilogue, y).map_err(wrong)?;
            w.conv(&p, p.product(p.rows()), "conv_windows")?;
        }
        Op::DepthwiseConv(op) => {
            let (operands, epilogue, y) = w.float_operands()?;
            let p = prepare::depthwise_conv(op, operands, epilogue, y).map_err(wrong)?;
            w.conv(&p, None, "depthwise")?;
        }
        Op::MatMul(op) => w.mat_mul(op)?,
        Op::Pool(op) => w.pool(op)?,
        Op::WinogradConv(_) => {
            return Err(
                "Winograd's algorithm takes scratch memory that microcontrollers do not have; compile the model with --target cortex-m4"
                    .into(),
            );
        }
        _ => {
            return Err(
                "the operator has no source form yet; package the interpreter (--interpreter)"
                    .into(),
            );
        }
    }
    if w.body.is_empty() {
        return Ok(None);
    }
    let shapes = w.shapes()?;
    Ok(Some(Step {
        shapes,
        body: w.body,
        layer: w.layer,
        uses: w.uses,
        fallible: w.fallible,
        ..Step::default()
    }))
}

fn wrong(error: RunError) -> String {
    error.to_string()
}

impl<'a> Writer<'a, '_> {
    fn operand_of(&mut self, list: Operands<'a>, i: usize) -> Result<Option<Operand>, String> {
        let Some(id) = list.get(i) else {
            return Ok(None);
        };
        let kind = kind(self.program, id).ok_or("a dimension depends on the data")?;
        let bytes = (kind.shape.count() * kind.dtype.size()) as u64;
        let at = match self.program.tensor(id).place {
            Place::Const(offset) => At::Weights(self.weights.place(offset, bytes)),
            Place::Arena(offset) | Place::State(offset) => At::Arena(offset),
        };
        Ok(Some(Operand { kind, at }))
    }

    fn input(&mut self, i: usize) -> Result<Operand, String> {
        self.opt_input(i)?
            .ok_or_else(|| "an operand is missing".into())
    }

    fn opt_input(&mut self, i: usize) -> Result<Option<Operand>, String> {
        self.operand_of(self.info.inputs, i)
    }

    /// Packed 8-bit weights in panels of two columns, as bytes of a length of their own.
    fn narrow_input(&mut self, i: usize, groups: usize, columns: usize) -> Result<Operand, String> {
        let id = self.info.inputs.get(i).ok_or("the weights are missing")?;
        let (Some(kind), Place::Const(offset)) =
            (kind(self.program, id), self.program.tensor(id).place)
        else {
            return Err("weights that are computed have no source form".into());
        };
        let [_, _, rows, blocks, ..] = kind.shape[..] else {
            return Err("the weights are not packed".into());
        };
        let (at, len) = self.weights.narrow(offset, groups, columns, rows * blocks);
        Ok(Operand {
            kind: TensorType {
                dtype: kind.dtype,
                shape: Shape::new(&[len as usize]).map_err(wrong)?,
            },
            at: At::Weights(at),
        })
    }

    /// The first elements of a constant.
    fn first_of(&mut self, i: usize, len: usize) -> Result<Operand, String> {
        let id = self.info.inputs.get(i).ok_or("an operand is missing")?;
        let t = self.program.tensor(id);
        let Place::Const(offset) = t.place else {
            return Err("a bias that is computed has no source form".into());
        };
        let bytes = (len * t.dtype.size()) as u64;
        Ok(Operand {
            kind: TensorType {
                dtype: t.dtype,
                shape: Shape::new(&[len]).map_err(wrong)?,
            },
            at: At::Weights(self.weights.place(offset, bytes)),
        })
    }

    fn output(&mut self) -> Result<Operand, String> {
        if self.info.outputs.iter().skip(1).any(|o| o.is_some()) {
            return Err("a second result has no source form".into());
        }
        self.operand_of(self.info.outputs, 0)?
            .ok_or_else(|| "the result is missing".into())
    }

    /// `i8 1x49x10x1 -> i8 1x25x5x64`: the operands in the arena, and the results.
    fn shapes(&self) -> Result<String, String> {
        let text = |list: Operands<'_>| -> Vec<String> {
            let live = |id: &TensorId| self.program.tensor(*id).arena_offset().is_some();
            list.iter()
                .flatten()
                .filter(live)
                .filter_map(|id| kind(self.program, id))
                .map(|k| format!("{} {}", k.dtype.name(), dims(&k)))
                .collect()
        };
        let (from, to) = (text(self.info.inputs), text(self.info.outputs));
        Ok(format!("{} -> {}", from.join(", "), to.join(", ")))
    }

    fn line(&mut self, text: impl AsRef<str>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{INDENT}{}", text.as_ref());
    }

    fn uses(&mut self, names: &[&'static str]) {
        self.uses.extend_from_slice(names);
    }

    /// Takes the part of the arena that the step writes, as `y`, and what lies beside it.
    fn write_to(&mut self, y: &Operand, bytes: bool, others: bool) -> Result<(), String> {
        let At::Arena(at) = y.at else {
            return Err("the result is a constant".into());
        };
        let t = rust_type(y.kind.dtype, bytes)?;
        let name = if others { "others" } else { "_" };
        self.line(format!(
            "let (y, {name}) = self.arena.0.step::<{t}, {at}, {}, {}>();",
            y.len(),
            at + y.bytes()
        ));
        Ok(())
    }

    /// An operand as an expression.
    fn read(&mut self, x: &Operand, bytes: bool) -> Result<String, String> {
        let (t, len) = (rust_type(x.kind.dtype, bytes)?, x.len());
        Ok(match x.at {
            At::Arena(at) => format!("others.view::<{t}, {at}, {len}>()"),
            At::Weights(at) => format!("WEIGHTS.view::<{t}, {at}, {len}>()"),
        })
    }

    fn option(&mut self, x: Option<&Operand>, bytes: bool) -> Result<String, String> {
        Ok(match x {
            Some(x) => format!("Some({})", self.read(x, bytes)?),
            None => "None".into(),
        })
    }

    /// Whether any of the operands lies in the arena, beside the result.
    fn beside(operands: &[Option<&Operand>]) -> bool {
        operands
            .iter()
            .flatten()
            .any(|o| matches!(o.at, At::Arena(_)))
    }
}

fn dims(k: &TensorType) -> String {
    let dims: Vec<String> = k.shape.iter().map(usize::to_string).collect();
    if dims.is_empty() {
        "scalar".into()
    } else {
        dims.join("x")
    }
}
