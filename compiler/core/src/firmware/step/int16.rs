//! Steps of 16-bit activations.

use super::{INDENT, Writer, wrong};
use crate::firmware::literal;
use cygnet_format::{DType, op};
use cygnet_kernels::int16::Int16Conv;
use cygnet_runtime::{TensorType, prepare};

impl Writer<'_, '_> {
    pub(super) fn int16_operands(&mut self) -> Result<([TensorType; 4], TensorType), String> {
        let mut kinds = [self.output()?.kind; 4];
        for (i, kind) in kinds.iter_mut().enumerate() {
            *kind = self.input(i)?.kind;
        }
        Ok((kinds, self.output()?.kind))
    }

    pub(super) fn int16_conv(&mut self, p: &Int16Conv, kernel: &str) -> Result<(), String> {
        let (x, w, bias, multiplier) = (
            self.input(0)?,
            self.input(1)?,
            self.input(2)?,
            self.input(3)?,
        );
        let y = self.output()?;
        self.uses(&["int16::{Int16Conv, Operands}", "Activation", "Conv"]);
        let literal = literal::int16_conv(p, INDENT);
        self.line(format!("const P: Int16Conv = {literal};"));
        self.write_to(&y, false, true)?;
        let fields = [
            ("x", &x),
            ("weights", &w),
            ("bias", &bias),
            ("multiplier", &multiplier),
        ];
        self.line("let operands = Operands {");
        for (name, operand) in fields {
            let operand = self.read(operand, false)?;
            self.line(format!("    {name}: {operand},"));
        }
        self.line("};");
        self.line(format!(
            "KERNELS.{kernel}(&P, &operands, y, 0..{})",
            p.conv.rows()
        ));
        Ok(())
    }

    pub(super) fn int16_add(&mut self, op: &op::Int16Add) -> Result<(), String> {
        let (a, b, y) = (self.input(0)?, self.input(1)?, self.output()?);
        let bounds = prepare::int16_add(op, y.kind).map_err(wrong)?;
        let (p, q) = (
            literal::float(op.a_multiplier),
            literal::float(op.b_multiplier),
        );
        // What lies on the result comes first; a sum of two floats commutes.
        let (multipliers, first, second) = if a.at == y.at {
            (format!("[{p}, {q}]"), None, b)
        } else if b.at == y.at {
            (format!("[{q}, {p}]"), None, a)
        } else {
            (format!("[{p}, {q}]"), Some(a), b)
        };
        self.write_to(&y, false, Self::beside(&[first.as_ref(), Some(&second)]))?;
        let (first, second) = (
            self.option(first.as_ref(), false)?,
            self.read(&second, false)?,
        );
        self.line(format!(
            "KERNELS.int16_add({multipliers}, {bounds:?}, {first}, {second}, y)"
        ));
        Ok(())
    }

    pub(super) fn int16_pool(&mut self, op: &op::Int16Pool) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let (p, bounds) = prepare::int16_pool(op, x.kind, y.kind).map_err(wrong)?;
        self.uses(&["Pool", "PoolKind"]);
        self.line(format!("const P: Pool = {};", literal::pool(&p, INDENT)));
        self.write_to(&y, false, true)?;
        let x = self.read(&x, false)?;
        self.line(format!(
            "KERNELS.int16_pool(&P, {}, {bounds:?}, {x}, y, 0..{})",
            literal::float(op.multiplier),
            p.rows()
        ));
        Ok(())
    }

    /// To or from 16-bit integers of one scale, without a zero point.
    pub(super) fn scaled_words(&mut self, kernel: &str) -> Result<(), String> {
        let (x, scale, zero, y) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.output()?,
        );
        if zero.is_some() || scale.len() != 1 || scale.kind.dtype != DType::F32 {
            return Err(
                "16-bit integers with a zero point or several scales have no source form".into(),
            );
        }
        self.write_to(&y, false, true)?;
        let (x, scale) = (self.read(&x, false)?, self.read(&scale, false)?);
        self.line(format!("let [scale] = *{scale};"));
        self.line(format!("KERNELS.{kernel}({x}, scale, y)"));
        Ok(())
    }
}
