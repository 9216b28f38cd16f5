//! Steps of single-precision numbers, and pools.

use super::{INDENT, Writer, wrong};
use crate::firmware::literal;
use cygnet_format::DType;
use cygnet_format::op::{self, SoftmaxKind};
use cygnet_kernels::{Conv, Gemm, PoolKind};
use cygnet_runtime::{TensorType, prepare};

/// Types of `x, weights`, of the bias and the residual, and of the result.
type FloatOperands = ([TensorType; 2], [Option<TensorType>; 2], TensorType);

impl<'a> Writer<'a, '_> {
    pub(super) fn softmax(&mut self, op: &op::Softmax) -> Result<(), String> {
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

    pub(super) fn float_operands(&mut self) -> Result<FloatOperands, String> {
        let operands = [self.input(0)?.kind, self.input(1)?.kind];
        let epilogue = [
            self.opt_input(2)?.map(|b| b.kind),
            self.opt_input(3)?.map(|r| r.kind),
        ];
        Ok((operands, epilogue, self.output()?.kind))
    }

    /// A convolution by the kernel of a name; `product` is the matrix product that it may be instead.
    pub(super) fn conv(
        &mut self,
        p: &Conv,
        product: Option<Gemm>,
        kernel: &str,
    ) -> Result<(), String> {
        if let Some(g) = product {
            return self.gemm(&g);
        }
        self.uses(&["Activation", "Conv"]);
        self.line(format!("const P: Conv = {};", literal::conv(p, INDENT)));
        self.operands()?;
        self.line(format!(
            "KERNELS.{kernel}(&P, x, weights, bias, residual, y, 0..{})",
            p.rows()
        ));
        Ok(())
    }

    pub(super) fn mat_mul(&mut self, op: &op::MatMul) -> Result<(), String> {
        let (a, b, y) = (self.input(0)?, self.input(1)?, self.output()?);
        let g = prepare::mat_mul(op, [a.kind, b.kind], y.kind).map_err(wrong)?;
        self.gemm(&g)
    }

    fn gemm(&mut self, g: &Gemm) -> Result<(), String> {
        let literal = literal::gemm(g);
        self.uses(&["Gemm"]);
        if literal.contains("Activation::") {
            self.uses(&["Activation"]);
        }
        self.line(format!("const P: Gemm = {literal};"));
        self.operands()?;
        self.line("KERNELS.gemm(&P, x, weights, bias, residual, y)");
        Ok(())
    }

    /// Takes `x`, `weights`, `bias` and `residual`, and `y` to write.
    fn operands(&mut self) -> Result<(), String> {
        let (x, w, bias, residual) = (
            self.input(0)?,
            self.input(1)?,
            self.opt_input(2)?,
            self.opt_input(3)?,
        );
        let y = self.output()?;
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
        Ok(())
    }

    pub(super) fn pool(&mut self, op: &op::Pool) -> Result<(), String> {
        let (x, y) = (self.input(0)?, self.output()?);
        let (p, global) = prepare::pool(op, x.kind, y.kind).map_err(wrong)?;
        let bytes = matches!(x.kind.dtype, DType::I8 | DType::U8);
        let maximum = p.kind == PoolKind::Max;
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
