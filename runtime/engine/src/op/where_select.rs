//! `where_select`: elements of one tensor or the other.

use crate::Cx;
use super::axes::{broadcast_strides, check_axes};
use crate::RunError;
use cygnet_format::{DType, MAX_RANK, op::Where};

pub(crate) fn run(_op: &Where, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (condition, a, b, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.output(0)?);
    check_axes(condition.dtype == DType::Bool && a.dtype == y.dtype && b.dtype == y.dtype)?;
    if y.bytes.is_empty() {
        return Ok(());
    }
    let strides = [
        broadcast_strides(&condition.shape, &y.shape)?,
        broadcast_strides(&a.shape, &y.shape)?,
        broadcast_strides(&b.shape, &y.shape)?,
    ];
    match y.dtype.size() {
        1 => select::<1>(&y.shape, strides, condition.bytes, a.bytes, b.bytes, y.bytes),
        2 => select::<2>(&y.shape, strides, condition.bytes, a.bytes, b.bytes, y.bytes),
        4 => select::<4>(&y.shape, strides, condition.bytes, a.bytes, b.bytes, y.bytes),
        _ => select::<8>(&y.shape, strides, condition.bytes, a.bytes, b.bytes, y.bytes),
    }
    Ok(())
}

fn select<const N: usize>(
    shape: &[usize],
    strides: [[isize; MAX_RANK]; 3],
    condition: &[u8],
    a: &[u8],
    b: &[u8],
    y: &mut [u8],
) {
    let (a, b, y) = (a.as_chunks::<N>().0, b.as_chunks::<N>().0, y.as_chunks_mut::<N>().0);
    let rank = shape.len();
    let (width, steps) = match rank {
        0 => (1, [0; 3]),
        _ => (shape[rank - 1], strides.map(|s| s[rank - 1] as usize)),
    };
    let mut index = [0usize; MAX_RANK];
    let mut at = [0usize; 3];
    for row in y.chunks_exact_mut(width) {
        for (i, out) in row.iter_mut().enumerate() {
            let take = condition[at[0] + i * steps[0]] != 0;
            *out = if take { a[at[1] + i * steps[1]] } else { b[at[2] + i * steps[2]] };
        }
        for axis in (0..rank.saturating_sub(1)).rev() {
            index[axis] += 1;
            let wraps = index[axis] == shape[axis];
            for (at, strides) in at.iter_mut().zip(&strides) {
                *at += strides[axis] as usize;
                if wraps {
                    *at -= strides[axis] as usize * shape[axis];
                }
            }
            if !wraps {
                break;
            }
            index[axis] = 0;
        }
    }
}
