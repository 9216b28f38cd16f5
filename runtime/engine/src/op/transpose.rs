//! `transpose`: permuted axes.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::{MAX_RANK, op::Transpose};
use cygnet_kernels::movement;

pub(crate) fn run(op: &Transpose, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    check_axes(x.dtype == y.dtype && op.perm.len() == x.shape.len() && y.shape.len() == x.shape.len())?;
    let mut perm = [0usize; MAX_RANK];
    for (axis, &p) in op.perm.iter().enumerate() {
        perm[axis] = usize::try_from(p).map_err(|_| RunError::shape("operands and result of a movement do not agree"))?;
        check_axes(x.shape.get(perm[axis]) == Some(&y.shape[axis]))?;
    }
    Ok(movement::transpose(x.dtype.size(), &x.shape, &perm[..x.shape.len()], x.bytes, y.bytes)?)
}
