//! `resize`: interpolation over any axes.

use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::{Resize, ResizeMode};
use cygnet_kernels::{cast, resize};

pub(crate) fn run(op: &Resize, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let p = resize::Resize {
        mode: op.mode,
        coordinates: op.coordinates,
        nearest: op.nearest,
        cubic_a: op.cubic_a,
        exclude_outside: op.exclude_outside,
        antialias: op.antialias,
        extrapolation: op.extrapolation,
        scales: &op.scales,
        roi: &op.roi,
    };
    let to = y.shape;
    if op.mode == ResizeMode::Nearest {
        let mut outside = [0u8; 8];
        let outside = &mut outside[..x.dtype.size()];
        cast::cast(
            DType::F32,
            &op.extrapolation.to_le_bytes(),
            x.dtype,
            outside,
            true,
        )?;
        return Ok(resize::resize_nearest(
            &p, x.bytes, &x.shape, y.bytes, &to, outside,
        )?);
    }
    macro_rules! smooth {
        ($t:ty, $sum:ty) => {
            Ok(resize::resize_smooth::<$t, $sum>(
                &p,
                x.as_slice()?,
                &x.shape,
                y.as_mut_slice()?,
                &to,
            )?)
        };
    }
    match x.dtype {
        DType::F32 => smooth!(f32, f32),
        DType::F16 => smooth!(half::f16, f32),
        DType::BF16 => smooth!(half::bf16, f32),
        DType::U8 => smooth!(u8, f32),
        DType::I8 => smooth!(i8, f32),
        DType::I16 => smooth!(i16, f32),
        DType::U16 => smooth!(u16, f32),
        DType::F64 => smooth!(f64, f64),
        DType::I32 => smooth!(i32, f64),
        DType::U32 => smooth!(u32, f64),
        DType::I64 => smooth!(i64, f64),
        DType::U64 => smooth!(u64, f64),
        _ => Err(RunError::dtype(
            "this element type is resized by nearest neighbours alone",
        )),
    }
}
