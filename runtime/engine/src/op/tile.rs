//! `tile`: each axis repeated.

use crate::{Cx, RunError};
use cygnet_format::MAX_RANK;
use cygnet_format::op::Tile;

pub(crate) fn run(_op: &Tile, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let y = cx.output(0)?;
    let rank = x.shape.rank();
    let divides = |axis: usize| match (x.shape[axis], y.shape[axis]) {
        (_, 0) => true,
        (0, _) => false,
        (n, m) => m % n == 0,
    };
    if x.dtype != y.dtype || y.shape.rank() != rank || !(0..rank).all(divides) {
        return Err(RunError::shape("tile repeats whole axes"));
    }
    if y.bytes.is_empty() {
        return Ok(());
    }
    if rank == 0 {
        y.bytes.copy_from_slice(x.bytes);
        return Ok(());
    }
    let last = rank - 1;
    let strides = x.shape.strides();
    let size = x.dtype.size();
    let (from_row, to_row) = (x.shape[last] * size, y.shape[last] * size);
    let mut index = [0usize; MAX_RANK];
    for row in y.bytes.chunks_exact_mut(to_row) {
        let at: usize = (0..last)
            .map(|axis| index[axis] % x.shape[axis] * strides[axis])
            .sum();
        let from = &x.bytes[at * size..][..from_row];
        for part in row.chunks_exact_mut(from_row) {
            part.copy_from_slice(from);
        }
        for axis in (0..last).rev() {
            index[axis] += 1;
            if index[axis] < y.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(())
}
