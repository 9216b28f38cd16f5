//! `dequantize_linear`.

use super::quantization::{layout, split};
use crate::{Cx, RunError};
use cygnet_format::{DType, op::DequantizeLinear};
use cygnet_kernels::{cast, quantize};

pub(crate) fn run(op: &DequantizeLinear, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, scale, zero, y) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?, cx.output(0)?);
    if zero.is_some_and(|z| z.dtype != x.dtype) {
        return Err(RunError::dtype("zero point and operand differ in type"));
    }
    let layout = layout(&x.shape, op.axis, op.block)?;
    let (scale, y) = (scale.as_slice::<f32>()?, y.into_mut_slice::<f32>()?);
    macro_rules! integer {
        ($t:ty) => {{
            let zero = zero.map_or(Ok(&[][..]), |z| z.as_slice::<$t>())?;
            Ok(quantize::dequantize(
                &layout,
                x.as_slice::<$t>()?,
                scale,
                zero,
                0,
                y,
            )?)
        }};
    }
    if y.len() != x.shape.count() {
        return Err(RunError::shape("operand and result differ in size"));
    }
    let kernels = cx.kernels();
    let (layout_of, part) = split(cx, &layout, scale.len(), y.len());
    let bytes = |signed: bool, y: &mut [f32]| {
        let zero = zero.map_or(&[][..], |z| z.bytes);
        cx.parallel_chunks(y, part, &|i, y| {
            let x = &x.bytes[i * part..][..y.len()];
            Ok(kernels.dequantize(&layout_of(y.len()), x, scale, zero, signed, y)?)
        })
    };
    match x.dtype {
        DType::U8 | DType::U4 | DType::U2 => bytes(false, y),
        DType::I8 | DType::I4 | DType::I2 => bytes(true, y),
        DType::U16 => integer!(u16),
        DType::I16 if scale.len() == 1 && zero.is_none() => {
            let x = x.as_slice::<i16>()?;
            cx.parallel_chunks(y, part, &|i, y| {
                Ok(kernels.dequantize_i16(&x[i * part..][..y.len()], scale[0], y)?)
            })
        }
        DType::I16 => integer!(i16),
        DType::I32 => {
            let zeros = zero.map_or(Ok(&[][..]), |z| z.as_slice::<i32>())?;
            if zeros.iter().any(|&z| z != 0) {
                return integer!(i32);
            }
            let x = x.as_slice::<i32>()?;
            cx.parallel_chunks(y, part, &|i, y| {
                let x = &x[i * part..][..y.len()];
                Ok(kernels.dequantize_i32(&layout_of(y.len()), x, scale, y)?)
            })
        }
        dtype if dtype.is_small_float() => {
            if y.len() != x.bytes.len() {
                return Err(RunError::shape("operand and result differ in size"));
            }
            let mut failed = Ok(());
            quantize::scale_elements(&layout, y.len(), scale, |i, s, ()| {
                let mut value = [0; 4];
                let done = cast::cast(dtype, &x.bytes[i..i + 1], DType::F32, &mut value, true);
                if done.is_err() {
                    failed = done;
                }
                y[i] = f32::from_le_bytes(value) * s;
            })?;
            Ok(failed?)
        }
        _ => Err(RunError::dtype(
            "dequantisation of this type is not defined",
        )),
    }
}
