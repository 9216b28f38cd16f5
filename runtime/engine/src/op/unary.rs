//! `unary`: one-input elementwise functions.

use crate::activation::unary;
use crate::element::arithmetic;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::{Unary, UnaryKind};
use cygnet_kernels::generic;

pub(crate) fn run(op: &Unary, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let in_place = cx.in_place(0, 0);
    let (dtype, shape) = cx.input_type(0)?;
    let kernels = cx.kernels();
    let x = if in_place { None } else { Some(cx.input(0)?) };
    let mut y = cx.output(0)?;
    if shape != y.shape {
        return Err(RunError::shape("an elementwise function keeps the shape"));
    }
    if let UnaryKind::IsNan | UnaryKind::IsInf = op.kind {
        let x = x.ok_or(RunError::dtype("a test of floats gives booleans"))?;
        if y.dtype != DType::Bool {
            return Err(RunError::dtype("a test of floats gives booleans"));
        }
        arithmetic(dtype)?;
        return Ok(generic::classify(
            op.kind, op.a, op.b, dtype, x.bytes, y.bytes,
        )?);
    }
    if dtype != y.dtype {
        return Err(RunError::dtype(
            "an elementwise function keeps the element type",
        ));
    }
    if let (DType::F32, Some(f)) = (dtype, unary(op.kind, op.a, op.b)) {
        let x = x.map(|t| t.as_slice::<f32>()).transpose()?;
        let y = y.as_mut_slice::<f32>()?;
        let part = match y.len().saturating_mul(4) {
            work if work < PARALLEL_WORK => y.len(),
            _ => y.len().div_ceil(cx.threads() * 2).next_multiple_of(16),
        };
        return cx.parallel_chunks(y, part, &|i, y| {
            match x {
                Some(x) => kernels.unary(f, &x[i * part..][..y.len()], y)?,
                None => kernels.unary_inplace(f, y),
            }
            Ok(())
        });
    }
    if let Some(x) = &x {
        y.bytes.copy_from_slice(x.bytes);
    }
    if dtype == DType::Bool {
        if op.kind != UnaryKind::Not {
            return Err(RunError::unsupported("booleans have no such function"));
        }
        y.bytes.iter_mut().for_each(|b| *b = (*b == 0) as u8);
        return Ok(());
    }
    arithmetic(dtype)?;
    Ok(generic::unary(op.kind, op.a, op.b, dtype, y.bytes)?)
}
