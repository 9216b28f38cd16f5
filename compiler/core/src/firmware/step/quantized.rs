//! Steps of 8-bit integers.

use super::{INDENT, Operand, Writer, wrong};
use crate::firmware::kind;
use crate::firmware::literal;
use cygnet_format::{DType, op};
use cygnet_kernels::quantize::Layout;
use cygnet_kernels::quantized::QuantizedConv;
use cygnet_runtime::{TensorType, prepare};

impl<'a> Writer<'a, '_> {
    pub(super) fn quantized_operands(
        &mut self,
    ) -> Result<([TensorType; 4], Option<TensorType>, TensorType), String> {
        let kind = |i: usize| {
            let id = self.info.inputs.get(i)?;
            kind(self.program, id)
        };
        let missing = "an operand is missing, or a dimension depends on the data";
        let y = self.output()?.kind;
        let mut kinds = [y; 4];
        for (i, k) in kinds.iter_mut().enumerate() {
            *k = kind(i).ok_or(missing)?;
        }
        let residual = self.info.inputs.get(4).and_then(|_| kind(4));
        Ok((kinds, residual, y))
    }

    pub(super) fn quantized_conv(
        &mut self,
        p: &QuantizedConv,
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
        let literal = literal::quantized_conv(p, residual.is_some(), "    ");
        self.layer = Some(format!(
            "    const DEPTHWISE: bool = {depthwise};\n    const P: QuantizedConv = {literal};\n"
        ));
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

    pub(super) fn quantized_average_pool(
        &mut self,
        op: &op::QuantizedAveragePool,
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

    pub(super) fn quantize_linear(&mut self, op: &op::QuantizeLinear) -> Result<(), String> {
        let (x, scale, zero, y) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.output()?,
        );
        let (signed, low, high) = match y.kind.dtype {
            DType::I8 => (true, -128, 127),
            DType::U8 => (false, 0, 255),
            DType::I16 => return self.scaled_words("quantize_i16"),
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

    pub(super) fn dequantize_linear(&mut self, op: &op::DequantizeLinear) -> Result<(), String> {
        let (x, scale, zero, y) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.output()?,
        );
        let signed = match x.kind.dtype {
            DType::I8 => true,
            DType::U8 => false,
            DType::I16 => return self.scaled_words("dequantize_i16"),
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
        layout: Layout,
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

    pub(super) fn lookup(&mut self) -> Result<(), String> {
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

    pub(super) fn quantized_add(&mut self, op: &op::QuantizedAdd) -> Result<(), String> {
        let (a, b, y) = (self.input(0)?, self.input(1)?, self.output()?);
        let ([first, second], target, signed) =
            prepare::quantized_add(op, [a.kind, b.kind], y.kind).map_err(wrong)?;
        let (p, q) = (literal::term(&first), literal::term(&second));
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
}
