//! One step as statements: the kernel's parameters, its operands, the call.

use super::{At, Operand, Step, Weights, kind, literal};
use cygnet_format::op::SoftmaxKind;
use cygnet_format::program::{Operands, Place, StepInfo, TensorId};
use cygnet_format::{DType, Op, Program};
use cygnet_runtime::{RunError, TensorType, prepare};
use std::fmt::Write;

/// Types of `x, weights`, of the bias and the residual, and of the result.
type FloatOperands = ([TensorType; 2], [Option<TensorType>; 2], TensorType);

const INDENT: &str = "        ";

/// What a step's statements are made from.
struct Writer<'a, 'w> {
    program: &'w Program<'a>,
    info: &'w StepInfo<'a>,
    weights: &'w mut Weights<'a>,
    body: String,
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
        uses: Vec::new(),
        fallible: true,
    };
    match &op {
        Op::Reshape(_) => w.reshape()?,
        Op::Transpose(op) => w.transpose(op)?,
        Op::Slice(op) => w.slice(op)?,
        Op::Concat(op) => w.concat(op)?,
        Op::Pad(op) => w.pad(op)?,
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
        Op::QuantizedAveragePool(op) => w.quantized_average_pool(op)?,
        Op::QuantizeLinear(op) => w.quantize_linear(op)?,
        Op::DequantizeLinear(op) => w.dequantize_linear(op)?,
        Op::Softmax(op) => w.softmax(op)?,
        Op::Lookup(_) => w.lookup()?,
        Op::QuantizedAdd(op) => w.quantized_add(op)?,
        Op::Conv(op) => {
            let (operands, epilogue, y) = w.float_operands()?;
            let p = prepare::conv(op, operands, epilogue, y).map_err(wrong)?;
            w.conv(&p, "conv")?;
        }
        Op::DepthwiseConv(op) => {
            let (operands, epilogue, y) = w.float_operands()?;
            let p = prepare::depthwise_conv(op, operands, epilogue, y).map_err(wrong)?;
            w.conv(&p, "depthwise")?;
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
        uses: w.uses,
        fallible: w.fallible,
        ..Step::default()
    }))
}

fn wrong(error: RunError) -> String {
    error.to_string()
}

/// An element type in Rust; kernels of 8-bit integers take their bytes.
fn rust_type(dtype: DType, bytes: bool) -> Result<&'static str, String> {
    Ok(match dtype {
        DType::I8 if !bytes => "i8",
        DType::I8 | DType::U8 | DType::Bool => "u8",
        DType::I16 => "i16",
        DType::U16 => "u16",
        DType::I32 => "i32",
        DType::U32 => "u32",
        DType::I64 => "i64",
        DType::U64 => "u64",
        DType::F32 => "f32",
        DType::F64 => "f64",
        other => {
            return Err(format!(
                "elements of type {} have no source form",
                other.name()
            ));
        }
    })
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
                shape: cygnet_runtime::Shape::new(&[len as usize]).map_err(wrong)?,
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
                shape: cygnet_runtime::Shape::new(&[len]).map_err(wrong)?,
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

    fn reshape(&mut self) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        if x.at == y.at {
            return Ok(());
        }
        self.write_to(&y, true, Self::beside(&[Some(&x)]))?;
        let x = self.read(&x, true)?;
        self.line(format!("y.copy_from_slice({x});"));
        self.fallible = false;
        Ok(())
    }

    /// `y` and `x` as the bytes of their elements.
    fn bytes(&mut self, x: &Operand, y: &Operand) -> Result<String, String> {
        self.write_to(&y.as_bytes(), true, Self::beside(&[Some(x)]))?;
        self.read(&x.as_bytes(), true)
    }

    fn transpose(&mut self, op: &cygnet_format::op::Transpose) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        self.uses(&["movement"]);
        let from = self.bytes(&x, &y)?;
        self.line(format!("let x = {from};"));
        self.line(format!(
            "movement::transpose({}, &{:?}, &{:?}, x, y)",
            x.kind.dtype.size(),
            &x.kind.shape[..],
            &op.perm[..]
        ));
        Ok(())
    }

    fn slice(&mut self, op: &cygnet_format::op::Slice) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let strides = x.kind.shape.strides();
        let (mut offset, mut from) = (0, Vec::new());
        for (axis, (start, &step)) in op.starts.iter().zip(op.steps.iter()).enumerate() {
            if start.as_expr().is_some() {
                return Err("a slice that starts where the data say has no source form".into());
            }
            offset += start.0 as usize * strides[axis];
            from.push(step as isize * strides[axis] as isize);
        }
        self.uses(&["movement"]);
        let source = self.bytes(&x, &y)?;
        self.line(format!("let x = {source};"));
        self.line(format!(
            "let from = movement::Side {{ offset: {offset}, strides: &{from:?} }};"
        ));
        self.line(format!(
            "movement::dense_copy({}, &{:?}, x, from, y)",
            x.kind.dtype.size(),
            &y.kind.shape[..]
        ));
        Ok(())
    }

    fn concat(&mut self, op: &cygnet_format::op::Concat) -> Result<(), String> {
        let y = self.output()?;
        let (_, total, inner) = y
            .kind
            .shape
            .split(op.axis)
            .ok_or("the axis is out of range")?;
        let size = y.kind.dtype.size();
        let row = total * inner * size;
        self.write_to(&y.as_bytes(), true, true)?;
        let mut at = 0;
        for i in 0..self.info.inputs.len() {
            let x = self.input(i)?;
            let run = x.kind.shape[op.axis as usize] * inner * size;
            let x = self.read(&x.as_bytes(), true)?;
            if run > 0 {
                self.line(format!(
                    "for (y, x) in y.chunks_exact_mut({row}).zip({x}.chunks_exact({run})) {{"
                ));
                self.line(format!("    y[{at}..{}].copy_from_slice(x);", at + run));
                self.line("}");
            }
            at += run;
        }
        self.fallible = false;
        Ok(())
    }

    fn pad(&mut self, op: &cygnet_format::op::Pad) -> Result<(), String> {
        let (x, value, y) = (self.input(0)?, self.opt_input(1)?, self.output()?);
        let mut before = Vec::new();
        for start in op.before.iter() {
            if start.as_expr().is_some() {
                return Err("padding that depends on the data has no source form".into());
            }
            before.push(start.0);
        }
        self.uses(&["movement"]);
        let source = self.bytes(&x, &y)?;
        let fill = match value {
            Some(value) => self.read(&value.as_bytes(), true)?,
            None => "&[0; 8]".into(),
        };
        self.line(format!("let (x, fill) = ({source}, {fill});"));
        self.line(format!(
            "movement::pad({}, &{:?}, &{:?}, &{before:?}, movement::PadSource::{:?}, fill, x, y)",
            x.kind.dtype.size(),
            &x.kind.shape[..],
            &y.kind.shape[..],
            op.mode
        ));
        Ok(())
    }

    fn quantized_operands(
        &mut self,
    ) -> Result<([TensorType; 4], Option<TensorType>, TensorType), String> {
        let kind = |i: usize| {
            let id = self.info.inputs.get(i)?;
            kind(self.program, id)
        };
        let missing = "an operand is missing, or a dimension depends on the data";
        let mut kinds = [self.output()?.kind; 4];
        for (i, k) in kinds.iter_mut().enumerate() {
            *k = kind(i).ok_or(missing)?;
        }
        let residual = self.info.inputs.get(4).and_then(|_| kind(4));
        Ok((kinds, residual, self.output()?.kind))
    }

    fn quantized_conv(
        &mut self,
        p: &cygnet_kernels::quantized::QuantizedConv,
        depthwise: bool,
    ) -> Result<(), String> {
        let x = self.input(0)?;
        let w = if depthwise {
            self.input(1)?
        } else {
            let og = p.conv.out_channels / p.conv.groups;
            self.narrow_input(1, p.conv.groups, og)?
        };
        // Readers of signed bytes take the first row alone.
        let rows = if self.weights.signed { 1 } else { 2 };
        let start = self.first_of(2, rows * p.conv.out_channels)?;
        let multiplier = self.input(3)?;
        let (residual, y) = (self.opt_input(4)?, self.output()?);
        self.uses(&[
            "quantized::{Fixed, Layer, QuantizedConv, Requantize, Sum}",
            "Activation",
            "Conv",
        ]);
        let deep = format!("{INDENT}    ");
        let literal = literal::quantized_conv(p, residual.is_some(), &deep);
        self.line("struct L;");
        self.line("impl Layer for L {");
        self.line(format!("    const DEPTHWISE: bool = {depthwise};"));
        self.line(format!("    const P: QuantizedConv = {literal};"));
        self.line("}");
        self.write_to(&y, true, true)?;
        let (x, residual) = (
            self.read(&x, true)?,
            residual.map(|r| self.read(&r, true)).transpose()?,
        );
        let (weights, start, multiplier) = (
            self.read(&w, false)?,
            self.read(&start, false)?,
            self.read(&multiplier, false)?,
        );
        self.line(format!("let x = {x};"));
        self.line(format!("let weights = {weights};"));
        self.line(format!("let start = {start};"));
        self.line(format!("let multiplier = {multiplier};"));
        self.line(match residual {
            Some(r) => format!("Fixed::<L>::run_add(x, weights, start, multiplier, {r}, y);"),
            None => "Fixed::<L>::run(x, weights, start, multiplier, y);".into(),
        });
        self.fallible = false;
        Ok(())
    }

    fn quantized_average_pool(
        &mut self,
        op: &cygnet_format::op::QuantizedAveragePool,
    ) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let (p, signed, target) =
            prepare::quantized_average_pool(op, x.kind, y.kind).map_err(wrong)?;
        self.uses(&["Pool", "PoolKind", "quantize::Target"]);
        self.line(format!("const P: Pool = {};", literal::pool(&p, INDENT)));
        self.line(format!(
            "const TARGET: Target = {};",
            literal::target(&target)
        ));
        self.write_to(&y, true, true)?;
        let x = self.read(&x, true)?;
        self.line(format!(
            "KERNELS.quantized_average_pool(&P, {signed}, ({}, {}), &TARGET, {x}, y, 0..{})",
            op.x_zero,
            literal::float(op.multiplier),
            p.rows()
        ));
        Ok(())
    }

    fn quantize_linear(&mut self, op: &cygnet_format::op::QuantizeLinear) -> Result<(), String> {
        let (x, scale, zero, y) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.output()?,
        );
        let (signed, low, high) = match y.kind.dtype {
            DType::I8 => (true, -128, 127),
            DType::U8 => (false, 0, 255),
            other => {
                return Err(format!(
                    "quantisation to {} has no source form",
                    other.name()
                ));
            }
        };
        let layout = prepare::scales(x.kind, op.axis, op.block).map_err(wrong)?;
        self.scaled(
            "quantize",
            layout,
            [&x, &scale],
            zero,
            &y,
            signed,
            &format!("({low}, {high}), "),
        )
    }

    fn dequantize_linear(
        &mut self,
        op: &cygnet_format::op::DequantizeLinear,
    ) -> Result<(), String> {
        let (x, scale, zero, y) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.output()?,
        );
        let signed = match x.kind.dtype {
            DType::I8 => true,
            DType::U8 => false,
            other => {
                return Err(format!(
                    "dequantisation of {} has no source form",
                    other.name()
                ));
            }
        };
        let layout = prepare::scales(x.kind, op.axis, op.block).map_err(wrong)?;
        self.scaled("dequantize", layout, [&x, &scale], zero, &y, signed, "")
    }

    fn scaled(
        &mut self,
        kernel: &str,
        layout: cygnet_kernels::quantize::Layout,
        [x, scale]: [&Operand; 2],
        zero: Option<Operand>,
        y: &Operand,
        signed: bool,
        range: &str,
    ) -> Result<(), String> {
        self.uses(&["quantize::Layout"]);
        self.line(format!(
            "const LAYOUT: Layout = {};",
            literal::layout(&layout)
        ));
        self.write_to(y, true, true)?;
        let (x, scale) = (self.read(x, true)?, self.read(scale, false)?);
        let zero = match &zero {
            Some(zero) => self.read(zero, true)?,
            None => "&[]".into(),
        };
        self.line(format!("let (x, scale) = ({x}, {scale});"));
        self.line(format!("let zero = {zero};"));
        self.line(format!(
            "KERNELS.{kernel}(&LAYOUT, x, scale, zero, {signed}, {range}y)"
        ));
        Ok(())
    }

    fn softmax(&mut self, op: &cygnet_format::op::Softmax) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let log = match op.kind {
            SoftmaxKind::Hard => return Err("hardmax has no source form yet".into()),
            kind => kind == SoftmaxKind::Log,
        };
        let (outer, n, inner) = x
            .kind
            .shape
            .split(op.axis)
            .ok_or("the axis is out of range")?;
        if x.at == y.at {
            self.write_to(&y, false, false)?;
            self.line(format!(
                "KERNELS.softmax_inplace({outer}, {n}, {inner}, {log}, y)"
            ));
        } else {
            self.write_to(&y, false, true)?;
            let x = self.read(&x, false)?;
            self.line(format!(
                "KERNELS.softmax({outer}, {n}, {inner}, {log}, {x}, y)"
            ));
        }
        Ok(())
    }

    fn lookup(&mut self) -> Result<(), String> {
        let (x, table, y) = (self.input(0)?, self.input(1)?, self.output()?);
        self.uses(&["quantize::lookup"]);
        let aliased = x.at == y.at;
        self.write_to(&y, true, !aliased)?;
        let table = self.read(&table, true)?;
        let x = match aliased {
            true => "None".into(),
            false => format!("Some({})", self.read(&x, true)?),
        };
        self.line(format!("lookup({table}, {x}, y)"));
        Ok(())
    }

    fn quantized_add(&mut self, op: &cygnet_format::op::QuantizedAdd) -> Result<(), String> {
        let (a, b, y) = (self.input(0)?, self.input(1)?, self.output()?);
        if a.kind.shape != y.kind.shape || b.kind.shape != y.kind.shape {
            return Err("a sum that repeats an operand has no source form".into());
        }
        let (signed, least, greatest) = match y.kind.dtype {
            DType::I8 => (true, -128, 127),
            DType::U8 => (false, 0, 255),
            other => return Err(format!("a sum of {} has no source form", other.name())),
        };
        let (low, high) = if op.low == op.high {
            (least, greatest)
        } else {
            (op.low.max(least), op.high.min(greatest))
        };
        let target = cygnet_kernels::quantize::Target {
            zero: op.zero,
            low,
            high,
        };
        let term = |zero: i32, multiplier: f32| {
            format!(
                "Term {{ zero: {zero}, multiplier: {} }}",
                literal::float(multiplier)
            )
        };
        let (p, q) = (
            term(op.a_zero, op.a_multiplier),
            term(op.b_zero, op.b_multiplier),
        );
        self.uses(&["quantize::{Target, Term}"]);
        self.line(format!(
            "const TARGET: Target = {};",
            literal::target(&target)
        ));
        // What lies on the result comes first; a sum of two floats commutes.
        let (terms, first, second) = if a.at == y.at {
            (format!("[{p}, {q}]"), None, b)
        } else if b.at == y.at {
            (format!("[{q}, {p}]"), None, a)
        } else {
            (format!("[{p}, {q}]"), Some(a), b)
        };
        self.line(format!("const TERMS: [Term; 2] = {terms};"));
        self.write_to(&y, true, Self::beside(&[first.as_ref(), Some(&second)]))?;
        let (first, second) = (
            self.option(first.as_ref(), true)?,
            self.read(&second, true)?,
        );
        self.line(format!(
            "KERNELS.quantized_add(TERMS, &TARGET, {signed}, {first}, {second}, y)"
        ));
        Ok(())
    }

    fn float_operands(&mut self) -> Result<FloatOperands, String> {
        let operands = [self.input(0)?.kind, self.input(1)?.kind];
        let epilogue = [
            self.opt_input(2)?.map(|b| b.kind),
            self.opt_input(3)?.map(|r| r.kind),
        ];
        Ok((operands, epilogue, self.output()?.kind))
    }

    fn conv(&mut self, p: &cygnet_kernels::Conv, kernel: &str) -> Result<(), String> {
        if kernel == "conv" && p.is_pointwise() {
            let g = cygnet_kernels::Gemm {
                activation: p.activation,
                ..cygnet_kernels::Gemm::new(
                    p.batch * p.input.iter().product::<usize>(),
                    p.out_channels,
                    p.in_channels,
                )
            };
            return self.gemm(&g);
        }
        let (x, w, bias, residual) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.opt_input(3)?,
        );
        let y = self.output()?;
        self.uses(&["Activation", "Conv"]);
        self.line(format!("const P: Conv = {};", literal::conv(p, INDENT)));
        self.write_to(&y, false, true)?;
        let (x, w) = (self.read(&x, false)?, self.read(&w, false)?);
        let (bias, residual) = (
            self.option(bias.as_ref(), false)?,
            self.option(residual.as_ref(), false)?,
        );
        self.line(format!("let (x, weights) = ({x}, {w});"));
        self.line(format!(
            "let (bias, residual): (Option<&[f32]>, Option<&[f32]>) = ({bias}, {residual});"
        ));
        self.line(format!(
            "KERNELS.{kernel}(&P, x, weights, bias, residual, y, 0..{})",
            p.rows()
        ));
        Ok(())
    }

    fn mat_mul(&mut self, op: &cygnet_format::op::MatMul) -> Result<(), String> {
        let (a, b, y) = (self.input(0)?, self.input(1)?, self.output()?);
        let g = prepare::mat_mul(op, [a.kind, b.kind], y.kind).map_err(wrong)?;
        self.gemm(&g)
    }

    fn gemm(&mut self, g: &cygnet_kernels::Gemm) -> Result<(), String> {
        let (x, w, bias, residual) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.opt_input(3)?,
        );
        let y = self.output()?;
        let literal = literal::gemm(g);
        self.uses(&["Gemm"]);
        if literal.contains("Activation::") {
            self.uses(&["Activation"]);
        }
        self.line(format!("const P: Gemm = {literal};"));
        self.write_to(&y, false, true)?;
        let (x, w) = (self.read(&x, false)?, self.read(&w, false)?);
        let (bias, residual) = (
            self.option(bias.as_ref(), false)?,
            self.option(residual.as_ref(), false)?,
        );
        self.line(format!("let (a, b) = ({x}, {w});"));
        self.line(format!(
            "let (bias, residual): (Option<&[f32]>, Option<&[f32]>) = ({bias}, {residual});"
        ));
        self.line("KERNELS.gemm(&P, a, b, bias, residual, y)");
        Ok(())
    }

    fn pool(&mut self, op: &cygnet_format::op::Pool) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let (p, global) = prepare::pool(op, x.kind, y.kind).map_err(wrong)?;
        let bytes = matches!(x.kind.dtype, DType::I8 | DType::U8);
        let maximum = p.kind == cygnet_kernels::PoolKind::Max;
        if !(x.kind.dtype == DType::F32 || bytes && maximum) {
            return Err(format!(
                "pooling of {} has no source form",
                x.kind.dtype.name()
            ));
        }
        if global && !maximum {
            self.write_to(&y, false, true)?;
            let x = self.read(&x, false)?;
            let pixels: usize = p.input.iter().product();
            self.line(format!(
                "KERNELS.global_average({}, {pixels}, {}, {x}, y)",
                p.batch, p.channels
            ));
            return Ok(());
        }
        self.uses(&["Pool", "PoolKind"]);
        self.line(format!("const P: Pool = {};", literal::pool(&p, INDENT)));
        self.write_to(&y, true, true)?;
        let rows = p.rows();
        let signed = x.kind.dtype == DType::I8;
        let x = self.read(&x, true)?;
        self.line(if bytes {
            format!("KERNELS.max_pool_bytes(&P, {signed}, {x}, y, 0..{rows})")
        } else {
            format!("KERNELS.pool(&P, {x}, y, 0..{rows})")
        });
        Ok(())
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
