//! `expand`: a broadcast made real.

use crate::Cx;
use super::axes::{broadcast_strides, check_axes};
use crate::RunError;
use cygnet_format::op::Expand;
use cygnet_kernels::movement::{Side, row_major, strided_copy};

pub(crate) fn run(_op: &Expand, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    check_axes(x.dtype == y.dtype)?;
    let from = broadcast_strides(&x.shape, &y.shape)?;
    let to = row_major(&y.shape);
    let (from, to) = (Side { offset: 0, strides: &from }, Side { offset: 0, strides: &to });
    Ok(strided_copy(x.dtype.size(), &y.shape, x.bytes, from, y.bytes, to)?)
}
