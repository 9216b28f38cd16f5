//! Optimiser steps of the training domain, as elementwise arithmetic.

use super::super::{NodeCx, Refusal};
use super::lower::{narrow, with_scalar, zero};
use crate::ir::{Type, ValueId};
use cygnet_format::DType;
use cygnet_format::op::{BinaryKind, UnaryKind, Where};

/// `a*x + b*y`.
fn mix(cx: &mut NodeCx<'_>, a: f32, x: ValueId, b: f32, y: ValueId) -> Result<ValueId, Refusal> {
    let x = with_scalar(cx, BinaryKind::Mul, x, a)?;
    let y = if b == 1.0 {
        y
    } else {
        with_scalar(cx, BinaryKind::Mul, y, b)?
    };
    cx.binary(BinaryKind::Add, x, y)
}

/// The gradient with the L2 term of attribute `norm_coefficient`.
fn regularised(cx: &mut NodeCx<'_>, x: ValueId, g: ValueId) -> Result<ValueId, Refusal> {
    let norm = cx.float_or("norm_coefficient", 0.0)?;
    mix(cx, norm, x, 1.0, g)
}

/// Learning rate, update count and the number of optimised tensors, `per` inputs each.
fn head(cx: &mut NodeCx<'_>, per: usize) -> Result<(ValueId, ValueId, usize), Refusal> {
    let n = cx.n_inputs();
    if n < 2 + per || !(n - 2).is_multiple_of(per) {
        return Err(Refusal::invalid(format!("{n} inputs")));
    }
    Ok((cx.input(0)?, cx.input(1)?, (n - 2) / per))
}

/// `Adagrad`.
pub(super) fn adagrad(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (r, t, n) = head(cx, 3)?;
    let dtype = cx.dtype(r);
    let (decay, epsilon) = (
        cx.float_or("decay_factor", 0.0)?,
        cx.float_or("epsilon", 1e-6)?,
    );
    let t = narrow(cx, t, dtype);
    let slow = with_scalar(cx, BinaryKind::Mul, t, decay)?;
    let slow = with_scalar(cx, BinaryKind::Add, slow, 1.0)?;
    let rate = cx.binary(BinaryKind::Div, r, slow)?;
    for i in 0..n {
        let (x, g, h) = (
            cx.input(2 + i)?,
            cx.input(2 + n + i)?,
            cx.input(2 + 2 * n + i)?,
        );
        let g = regularised(cx, x, g)?;
        let square = cx.binary(BinaryKind::Mul, g, g)?;
        let h = cx.binary(BinaryKind::Add, h, square)?;
        let root = cx.unary(UnaryKind::Sqrt, h);
        let root = with_scalar(cx, BinaryKind::Add, root, epsilon)?;
        let step = cx.binary(BinaryKind::Mul, rate, g)?;
        let step = cx.binary(BinaryKind::Div, step, root)?;
        let x = cx.binary(BinaryKind::Sub, x, step)?;
        cx.set_output(i, x);
        cx.set_output(n + i, h);
    }
    Ok(())
}

/// `T > 0 ? a : b` on scalars.
fn after_first(
    cx: &mut NodeCx<'_>,
    t: ValueId,
    a: ValueId,
    b: ValueId,
) -> Result<ValueId, Refusal> {
    let none = cx.dtype(t);
    let none = zero(cx, none);
    let later = cx.binary(BinaryKind::Greater, t, none)?;
    let shape = cx.shape(later);
    let ra = cx.shape(a);
    let shape = cx.broadcast(&shape, &ra)?;
    let ty = Type::new(cx.dtype(a), &shape);
    Ok(cx.emit(Where {}, &[later, a, b], ty))
}

/// `Adam`.
pub(super) fn adam(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (r, t, n) = head(cx, 4)?;
    let dtype: DType = cx.dtype(r);
    let (alpha, beta) = (cx.float_or("alpha", 0.9)?, cx.float_or("beta", 0.999)?);
    let epsilon = cx.float_or("epsilon", 1e-6)?;
    let post = cx.float_or("norm_coefficient_post", 0.0)?;
    let count = narrow(cx, t, dtype);
    let rest = |cx: &mut NodeCx<'_>, base: f32| -> Result<ValueId, Refusal> {
        let base = cx.scalar(base, dtype);
        let power = cx.binary(BinaryKind::Pow, base, count)?;
        let one = cx.scalar(1.0, dtype);
        cx.binary(BinaryKind::Sub, one, power)
    };
    let second = rest(cx, beta)?;
    let second = cx.unary(UnaryKind::Sqrt, second);
    let first = rest(cx, alpha)?;
    let scaled = cx.binary(BinaryKind::Mul, r, second)?;
    let scaled = cx.binary(BinaryKind::Div, scaled, first)?;
    let rate = after_first(cx, t, scaled, r)?;
    for i in 0..n {
        let (x, g) = (cx.input(2 + i)?, cx.input(2 + n + i)?);
        let (v, h) = (cx.input(2 + 2 * n + i)?, cx.input(2 + 3 * n + i)?);
        let g = regularised(cx, x, g)?;
        let v = mix(cx, alpha, v, 1.0 - alpha, g)?;
        let square = cx.binary(BinaryKind::Mul, g, g)?;
        let h = mix(cx, beta, h, 1.0 - beta, square)?;
        let root = cx.unary(UnaryKind::Sqrt, h);
        let root = with_scalar(cx, BinaryKind::Add, root, epsilon)?;
        let step = cx.binary(BinaryKind::Div, v, root)?;
        let step = cx.binary(BinaryKind::Mul, rate, step)?;
        let x = cx.binary(BinaryKind::Sub, x, step)?;
        let x = if post == 0.0 {
            x
        } else {
            with_scalar(cx, BinaryKind::Mul, x, 1.0 - post)?
        };
        cx.set_output(i, x);
        cx.set_output(n + i, v);
        cx.set_output(2 * n + i, h);
    }
    Ok(())
}

/// `Momentum`, standard or Nesterov.
pub(super) fn momentum(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (r, t, n) = head(cx, 3)?;
    let dtype = cx.dtype(r);
    let (alpha, beta) = (cx.float_or("alpha", 0.0)?, cx.float_or("beta", 0.0)?);
    let nesterov = match cx.str_or("mode", "standard")?.as_str() {
        "nesterov" => true,
        "standard" => false,
        other => {
            return Err(Refusal::invalid(format!(
                "mode {other:?} is neither standard nor nesterov"
            )));
        }
    };
    let (later, first) = (cx.scalar(beta, dtype), cx.scalar(1.0, dtype));
    let beta = after_first(cx, t, later, first)?;
    for i in 0..n {
        let (x, g, v) = (
            cx.input(2 + i)?,
            cx.input(2 + n + i)?,
            cx.input(2 + 2 * n + i)?,
        );
        let g = regularised(cx, x, g)?;
        let fresh = cx.binary(BinaryKind::Mul, beta, g)?;
        let v = mix(cx, alpha, v, 1.0, fresh)?;
        let step = if nesterov {
            mix(cx, alpha, v, 1.0, g)?
        } else {
            v
        };
        let step = cx.binary(BinaryKind::Mul, r, step)?;
        let x = cx.binary(BinaryKind::Sub, x, step)?;
        cx.set_output(i, x);
        cx.set_output(n + i, v);
    }
    Ok(())
}
