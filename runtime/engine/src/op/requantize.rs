//! `requantize`.

use super::quantization::clamped;
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::{DType, op::Requantize};
use cygnet_kernels::quantize::{Target, requantize};

pub(crate) fn run(op: &Requantize, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (acc, bias, multiplier) = (cx.input(0)?, cx.opt_input(1)?, cx.input(2)?);
    let (zero, y) = (cx.opt_input(3)?, cx.output(0)?);
    if zero.is_some_and(|z| z.dtype != y.dtype) {
        return Err(RunError::dtype("zero point and result differ in type"));
    }
    let channels = acc.shape.last().copied().unwrap_or(1);
    let bias = bias.map(|b| b.as_slice::<i32>()).transpose()?;
    let (acc, multiplier) = (acc.as_slice::<i32>()?, multiplier.as_slice::<f32>()?);
    let range = clamped(y.dtype, op.low, op.high)?;
    let kernels = cx.kernels();
    macro_rules! to {
        ($t:ty) => {{
            let zero = zero.map_or(Ok(0), |z| z.scalar::<$t>())? as i32;
            Ok(requantize(
                channels,
                acc,
                bias,
                multiplier,
                zero,
                range,
                |v| v as $t,
                y.into_mut_slice::<$t>()?,
            )?)
        }};
    }
    macro_rules! bytes {
        ($t:ty) => {{
            let target = Target {
                zero: zero.map_or(Ok(0), |z| z.scalar::<$t>())? as i32,
                low: range.0,
                high: range.1,
            };
            if acc.len() != y.bytes.len() {
                return Err(RunError::shape("operand and result differ in size"));
            }
            let rows = acc.len() / channels.max(1);
            let rows = if acc.len() < PARALLEL_WORK {
                rows
            } else {
                rows.div_ceil(cx.threads() * 2)
            };
            let part = rows * channels;
            cx.parallel_chunks(y.bytes, part, &|i, y| {
                let acc = &acc[i * part..][..y.len()];
                Ok(kernels.requantize(channels, acc, bias, multiplier, &target, y)?)
            })
        }};
    }
    match y.dtype {
        DType::U8 | DType::U4 | DType::U2 => bytes!(u8),
        DType::I8 | DType::I4 | DType::I2 => bytes!(i8),
        DType::U16 => to!(u16),
        DType::I16 => to!(i16),
        _ => Err(RunError::dtype(
            "requantisation to this type is not defined",
        )),
    }
}
