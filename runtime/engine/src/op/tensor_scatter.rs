//! `tensor_scatter`: writes an update into a cache.

use crate::{Cx, RunError};
use cygnet_format::op::TensorScatter;
use cygnet_kernels::index;

pub(crate) fn run(op: &TensorScatter, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let update = cx.input(1)?;
    let starts = cx.opt_input(2)?;
    let y = super::types::output_holding_input(cx)?;
    super::types::same_type(&update, &y)?;
    let starts = starts.map(|s| s.as_slice::<i64>()).transpose()?;
    let length = *update
        .shape
        .get(op.axis as usize)
        .ok_or(RunError::shape("the update lacks the axis"))?;
    let shape = y.shape;
    super::types::fits(
        update.shape.rank() == shape.rank()
            && (0..shape.rank()).all(|i| i == op.axis as usize || shape[i] == update.shape[i]),
    )?;
    Ok(index::tensor_scatter(
        y.bytes,
        &shape,
        op.axis,
        update.bytes,
        length,
        starts,
        op.circular,
        update.dtype.size(),
    )?)
}
