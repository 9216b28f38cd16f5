//! What the quantisation operators share.

use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Shape};
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

/// How many of `len` elements with `scales` scales a thread takes at a time, and the layout of so many.
pub(super) fn split(
    cx: &Cx<'_>,
    layout: &Layout,
    scales: usize,
    len: usize,
) -> (impl Fn(usize) -> Layout + Sync, usize) {
    let whole = *layout;
    let [_, n, inner] = whole.shape;
    // Rows with the same scales, of which a part takes several.
    let row = match (whole.block, inner) {
        (0, _) if scales == 1 => Some(1),
        (0, 1) => Some(n),
        _ => None,
    };
    let row = row.filter(|_| len >= PARALLEL_WORK && cx.threads() > 1);
    let part = row.map_or(len, |row| {
        // 64 bytes or more: threads share few lines of the result.
        let rows = (len / row.max(1)).div_ceil(cx.threads() * 2);
        rows.next_multiple_of(64 / row.clamp(1, 64)) * row
    });
    let of = move |len: usize| match row {
        Some(row) => Layout {
            shape: [len / row.max(1), row, 1],
            block: 0,
        },
        None => whole,
    };
    (of, part)
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
