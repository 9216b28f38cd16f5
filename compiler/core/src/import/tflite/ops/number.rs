//! Conversions between element types and quantisations.

use super::super::cx::OpCx;
use crate::import::error::Refusal;
use crate::import::ops::lower::with_scalar;
use cygnet_format::op::{BinaryKind, UnaryKind};

/// `QUANTIZE` and `DEQUANTIZE`: the same numbers in the output's type and parameters.
pub(super) fn convert(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    if cx.op_type() == "QUANTIZE" && cx.quantised_output(0)?.is_none() {
        return Err(Refusal::invalid("its output has no scale"));
    }
    let q = cx.quantised(0)?;
    if q.is_some() && q == cx.quantised_output(0)? {
        let v = cx.input(0)?;
        if cx.dtype(v) == cx.output_type(0)? {
            cx.set_output(0, v);
            return Ok(());
        }
    }
    let x = cx.float(0)?;
    cx.put(0, x)
}

/// `CAST`: elements as they are, without regard to scales.
pub(super) fn cast(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let to = cx.output_type(0)?;
    let y = cx.cast(x, to);
    cx.set_output(0, y);
    Ok(())
}

/// `FAKE_QUANT`: rounds to `bits` between `min` and `max`, which are moved so that zero is met.
pub(super) fn fake_quantise(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let x = cx.float(0)?;
    let (min, max) = (cx.option::<f32>(0, 0.0)?, cx.option::<f32>(1, 0.0)?);
    let bits = cx.option::<i32>(2, 0)?;
    if !((2..=16).contains(&bits) && min <= 0.0 && max >= 0.0 && max > min) {
        return Err(Refusal::invalid(format!(
            "{bits} bits between {min} and {max}"
        )));
    }
    let low = if cx.flag(3)? { 1.0 } else { 0.0 };
    let high = ((1u32 << bits) - 1) as f32;
    let scale = (max - min) / (high - low);
    let zero = (low - min / scale).round().clamp(low, high);
    let y = cx.clip(x, (low - zero) * scale, (high - zero) * scale);
    let y = with_scalar(cx, BinaryKind::Div, y, scale)?;
    let y = cx.unary(UnaryKind::Round, y);
    let y = with_scalar(cx, BinaryKind::Mul, y, scale)?;
    cx.put(0, y)
}
