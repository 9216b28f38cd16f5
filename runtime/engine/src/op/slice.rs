//! `slice`: every `step`-th element from `start` along each axis.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::{MAX_RANK, op::Slice};
use cygnet_kernels::movement::{Side, row_major, strided_copy};

pub(crate) fn run(op: &Slice, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut starts = [0usize; MAX_RANK];
    for (axis, &d) in op.starts.iter().enumerate() {
        starts[axis] = cx.dim(d)?;
    }
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let rank = x.shape.len();
    check_axes(x.dtype == y.dtype && op.starts.len() == rank && op.steps.len() == rank && y.shape.len() == rank)?;
    if y.bytes.is_empty() {
        return Ok(());
    }
    let dense = row_major(&x.shape);
    let (mut offset, mut strides) = (0usize, [0isize; MAX_RANK]);
    for axis in 0..rank {
        let (n, start, step) = (y.shape[axis] as i64, starts[axis] as i64, op.steps[axis] as i64);
        let end = (n - 1).checked_mul(step).and_then(|reach| reach.checked_add(start)).ok_or(RunError::shape("operands and result of a movement do not agree"))?;
        let inside = 0..x.shape[axis] as i64;
        check_axes(inside.contains(&start) && inside.contains(&end))?;
        offset += starts[axis] * dense[axis] as usize;
        strides[axis] = if n > 1 { dense[axis] * step as isize } else { 0 };
    }
    let to = row_major(&y.shape);
    let from = Side { offset, strides: &strides };
    Ok(strided_copy(x.dtype.size(), &y.shape, x.bytes, from, y.bytes, Side { offset: 0, strides: &to })?)
}
