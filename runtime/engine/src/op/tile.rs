//! `tile`: each axis repeated a whole number of times.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::{MAX_RANK, op::Tile};
use cygnet_kernels::movement::{Side, row_major, strided_copy};

pub(crate) fn run(_op: &Tile, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let rank = x.shape.len();
    check_axes(x.dtype == y.dtype && y.shape.len() == rank)?;
    if y.bytes.is_empty() {
        return Ok(());
    }
    let mut repeats = [1usize; MAX_RANK];
    for axis in 0..rank {
        check_axes(x.shape[axis] != 0 && y.shape[axis] % x.shape[axis] == 0)?;
        repeats[axis] = y.shape[axis] / x.shape[axis];
    }
    // One strided copy for each repetition: the rank would double if all were one copy.
    let (from, to) = (row_major(&x.shape), row_major(&y.shape));
    let mut at = [0usize; MAX_RANK];
    loop {
        let offset = (0..rank).map(|a| at[a] * x.shape[a] * to[a] as usize).sum();
        let (source, place) = (Side { offset: 0, strides: &from }, Side { offset, strides: &to });
        strided_copy(x.dtype.size(), &x.shape, x.bytes, source, y.bytes, place)?;
        let Some(axis) = (0..rank).rev().find(|&a| at[a] + 1 < repeats[a]) else { return Ok(()) };
        at[axis] += 1;
        at[axis + 1..].fill(0);
    }
}
