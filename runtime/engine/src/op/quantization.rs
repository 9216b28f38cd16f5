//! What the quantisation operators share.

use crate::{RunError, Shape};
use cygnet_format::DType;
use cygnet_kernels::quantize::Layout;

/// The scale layout of a tensor of `shape` with scales on `axis`.
pub(super) fn layout(shape: &Shape, axis: i32, block: u32) -> Result<Layout, RunError> {
    let axis = usize::try_from(axis).map_err(|_| RunError::attribute("negative axis"))?;
    if axis > shape.len() {
        return Err(RunError::attribute("axis beyond the rank"));
    }
    let (n, after) = match shape.get(axis) {
        Some(&n) => (n, shape[axis + 1..].iter().product()),
        None => (1, 1),
    };
    Ok(Layout {
        shape: [shape[..axis].iter().product(), n, after],
        block: block as usize,
    })
}

/// Least and greatest value of an integer type.
pub(super) const fn range(dtype: DType) -> Option<(i64, i64)> {
    Some(match dtype {
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        DType::I16 => (-32768, 32767),
        DType::U16 => (0, 65535),
        DType::I4 => (-8, 7),
        DType::U4 => (0, 15),
        DType::I2 => (-2, 1),
        DType::U2 => (0, 3),
        DType::I32 => (i32::MIN as i64, i32::MAX as i64),
        _ => return None,
    })
}

/// The bounds `low..=high` cut to the range of a type; the range itself when they are equal.
pub(super) fn clamped(dtype: DType, low: i32, high: i32) -> Result<(i32, i32), RunError> {
    let (least, greatest) =
        range(dtype).ok_or(RunError::dtype("a quantised result is an integer"))?;
    let (least, greatest) = (least as i32, greatest as i32);
    if low == high {
        return Ok((least, greatest));
    }
    let (low, high) = (low.max(least), high.min(greatest));
    if low > high {
        return Err(RunError::attribute("the bounds hold no value of the type"));
    }
    Ok((low, high))
}
