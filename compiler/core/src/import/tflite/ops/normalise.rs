//! Softmax and normalisation over the last axis.

use super::super::cx::OpCx;
use crate::import::error::Refusal;
use crate::import::ops::lower::with_scalar;
use cygnet_format::op::{BinaryKind, LpNorm, Lrn, Softmax, SoftmaxKind};

/// The last axis of an input that has one.
fn last(cx: &OpCx<'_, '_>, rank: usize) -> Result<i32, Refusal> {
    match rank {
        0 => Err(Refusal::invalid(format!(
            "{} of a single number",
            cx.op_type()
        ))),
        n => Ok(n as i32 - 1),
    }
}

/// `SOFTMAX` with its factor `beta`, and `LOG_SOFTMAX`.
pub(super) fn softmax(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let mut x = cx.float(0)?;
    let axis = last(cx, cx.rank(x))?;
    let kind = if cx.op_type() == "SOFTMAX" {
        let beta = cx.option(0, 0.0)?;
        if beta != 1.0 {
            x = with_scalar(cx, BinaryKind::Mul, x, beta)?;
        }
        SoftmaxKind::Softmax
    } else {
        SoftmaxKind::Log
    };
    let ty = cx.ty(x);
    let y = cx.emit(Softmax { axis, kind }, &[x], ty);
    cx.put(0, y)
}

/// `L2_NORMALIZATION`.
pub(super) fn l2(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.float(0)?;
    let axis = last(cx, cx.rank(x))?;
    let ty = cx.ty(x);
    let y = cx.emit(LpNorm { axis, p: 2 }, &[x], ty);
    let y = cx.activate(y, cx.option(0, 0)?)?;
    cx.put(0, y)
}

/// `LOCAL_RESPONSE_NORMALIZATION`: `x * (bias + alpha * sum of squares)^-beta` over `2*radius + 1` channels.
pub(super) fn local_response(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.float(0)?;
    if cx.rank(x) != 4 {
        return Err(Refusal::invalid("the input is not [N, H, W, C]"));
    }
    let radius = cx.option::<i32>(0, 0)?;
    if !(0..=1 << 16).contains(&radius) {
        return Err(Refusal::invalid(format!("a radius of {radius}")));
    }
    let size = 2 * radius as u32 + 1;
    let op = Lrn {
        size,
        // The operator divides by the size, as in ONNX.
        alpha: cx.option::<f32>(2, 0.0)? * size as f32,
        beta: cx.option(3, 0.0)?,
        bias: cx.option(1, 0.0)?,
    };
    let ty = cx.ty(x);
    let y = cx.emit(op, &[x], ty);
    cx.put(0, y)
}
