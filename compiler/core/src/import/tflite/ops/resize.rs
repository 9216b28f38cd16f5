//! Resizing of images.

use super::super::cx::OpCx;
use crate::import::error::Refusal;
use cygnet_format::op::{CoordinateMode, NearestMode, Resize, ResizeMode};
use cygnet_format::{DType, Dim, List};

/// `RESIZE_BILINEAR` and `RESIZE_NEAREST_NEIGHBOR`: `[N, H, W, C]`, new height and width.
pub(super) fn resize(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let linear = cx.op_type() == "RESIZE_BILINEAR";
    let q = cx.quantised(0)?;
    let x = if linear { cx.float(0)? } else { cx.input(0)? };
    let dtype = cx.dtype(x);
    let shape = cx.shape(x);
    let size = cx.dims(1)?;
    if shape.len() != 4 || size.len() != 2 {
        return Err(Refusal::invalid(
            "its input is not [N, H, W, C] or its size is not two numbers",
        ));
    }
    let flags = if linear { (2, 3) } else { (0, 1) };
    let (corners, centres) = (cx.flag(flags.0)?, cx.flag(flags.1)?);
    let coordinates = match (corners, centres) {
        (true, true) => {
            return Err(Refusal::invalid(
                "it aligns corners and the centres of pixels at once",
            ));
        }
        (true, false) => CoordinateMode::AlignCorners,
        (false, false) => CoordinateMode::Asymmetric,
        (false, true) if linear => CoordinateMode::HalfPixel,
        (false, true) => CoordinateMode::TfHalfPixelForNn,
    };
    let kept = |from: Dim, to: Dim| if from == to { 1.0 } else { 0.0 };
    let scales = [1.0, kept(shape[1], size[0]), kept(shape[2], size[1]), 1.0];
    let op = Resize {
        mode: if linear {
            ResizeMode::Linear
        } else {
            ResizeMode::Nearest
        },
        coordinates,
        nearest: if corners {
            NearestMode::RoundPreferCeil
        } else {
            NearestMode::Floor
        },
        scales: List::new(&scales).expect("four fit"),
        ..Resize::default()
    };
    // Small integers are exact as floats, which is what the operator takes.
    if !matches!(
        dtype,
        DType::F32 | DType::F16 | DType::BF16 | DType::I8 | DType::U8 | DType::I16
    ) {
        return Err(Refusal::unsupported(format!("images of {dtype}"))
            .remedy("cast the input to float before the operator"));
    }
    let x = cx.cast(x, DType::F32);
    let result = [shape[0], size[0], size[1], shape[3]];
    if result.iter().any(|d| d.as_const() == Some(0)) {
        return Err(Refusal::unsupported("the output is empty"));
    }
    let ty = cx.typed(DType::F32, &result)?;
    let y = cx.emit(op, &[x], ty);
    if linear {
        return cx.put(0, y);
    }
    let y = cx.cast(y, dtype);
    cx.put_moved(0, y, &q)
}
