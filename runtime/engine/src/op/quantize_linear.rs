//! `quantize_linear`.

use super::quantization::{layout, range, split};
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Tensor, TensorMut};
use cygnet_format::{DType, op::QuantizeLinear};
use cygnet_kernels::{cast, quantize};

pub(crate) fn run(op: &QuantizeLinear, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, scale, zero, y) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?, cx.output(0)?);
    if zero.is_some_and(|z| z.dtype != y.dtype) {
        return Err(RunError::dtype("zero point and result differ in type"));
    }
    macro_rules! integer {
        ($t:ty) => {{
            let zero = zero.map_or(Ok(&[][..]), |z| z.as_slice::<$t>())?;
            let layout = layout(&x.shape, op.axis, op.block)?;
            let range = range(y.dtype).ok_or(RunError::dtype("not an integer"))?;
            let (x, scale) = (x.as_slice::<f32>()?, scale.as_slice::<f32>()?);
            let y = y.into_mut_slice::<$t>()?;
            Ok(quantize::quantize(
                &layout,
                x,
                scale,
                zero,
                range,
                0,
                |v| v as $t,
                y,
            )?)
        }};
    }
    match y.dtype {
        DType::U8 | DType::U4 | DType::U2 => bytes(op, cx, x, scale, zero, false, y),
        DType::I8 | DType::I4 | DType::I2 => bytes(op, cx, x, scale, zero, true, y),
        DType::U16 => integer!(u16),
        // Without a zero point, as 16-bit activations are.
        DType::I16 if scale.shape.iter().product::<usize>() == 1 && zero.is_none() => {
            words(cx, x, scale.as_slice::<f32>()?[0], y)
        }
        DType::I16 => integer!(i16),
        dtype if dtype.is_small_float() => small_float(op, x, scale, y),
        _ => Err(RunError::dtype("quantisation to this type is not defined")),
    }
}

/// 8-bit results, on several threads where the tensor is large.
fn bytes(
    op: &QuantizeLinear,
    cx: &Cx<'_>,
    x: Tensor<'_>,
    scale: Tensor<'_>,
    zero: Option<Tensor<'_>>,
    signed: bool,
    y: TensorMut<'_>,
) -> Result<(), RunError> {
    let layout = layout(&x.shape, op.axis, op.block)?;
    let (low, high) = range(y.dtype).ok_or(RunError::dtype("not an integer"))?;
    let range = (low as i32, high as i32);
    let (x, scale) = (x.as_slice::<f32>()?, scale.as_slice::<f32>()?);
    let zero = zero.map_or(&[][..], |z| z.bytes);
    if x.len() != y.bytes.len() {
        return Err(RunError::shape("operand and result differ in size"));
    }
    let kernels = cx.kernels();
    let (layout, part) = split(cx, &layout, scale.len(), x.len());
    cx.parallel_chunks(y.bytes, part, &|i, y| {
        let x = &x[i * part..][..y.len()];
        let layout = layout(y.len());
        Ok(kernels.quantize(&layout, x, scale, zero, signed, range, y)?)
    })
}

/// 16-bit results of one scale.
fn words(cx: &Cx<'_>, x: Tensor<'_>, scale: f32, y: TensorMut<'_>) -> Result<(), RunError> {
    let (x, y, kernels) = (
        x.as_slice::<f32>()?,
        y.into_mut_slice::<i16>()?,
        cx.kernels(),
    );
    if x.len() != y.len() {
        return Err(RunError::shape("operand and result differ in size"));
    }
    let part = match y.len() < PARALLEL_WORK {
        true => y.len(),
        false => y.len().div_ceil(cx.threads() * 2).next_multiple_of(64),
    };
    cx.parallel_chunks(y, part, &|i, y| {
        Ok(kernels.quantize_i16(&x[i * part..][..y.len()], scale, y)?)
    })
}

/// Small floats have no zero point: the scaled values are rounded to the type.
fn small_float(
    op: &QuantizeLinear,
    x: Tensor<'_>,
    scale: Tensor<'_>,
    y: TensorMut<'_>,
) -> Result<(), RunError> {
    let layout = layout(&x.shape, op.axis, op.block)?;
    let (x, dtype, out) = (x.as_slice::<f32>()?, y.dtype, y.bytes);
    if out.len() != x.len() {
        return Err(RunError::shape("operand and result differ in size"));
    }
    let mut failed = Ok(());
    quantize::scale_elements(&layout, x.len(), scale.as_slice()?, |i, s, ()| {
        let done = cast::cast(
            DType::F32,
            &(x[i] / s).to_le_bytes(),
            dtype,
            &mut out[i..i + 1],
            op.saturate,
        );
        if done.is_err() {
            failed = done;
        }
    })?;
    Ok(failed?)
}
