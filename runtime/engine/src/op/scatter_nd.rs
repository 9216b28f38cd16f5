//! `scatter_nd`: writes slices at index tuples.

use super::scatter_elements::scatter;
use super::types::{indices, number, output_holding_input, same_type};
use crate::{Cx, RunError};
use cygnet_format::op::ScatterNd;
use cygnet_kernels::index::{self, Scatter};

pub(crate) fn run(op: &ScatterNd, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (index_tensor, updates) = (cx.input(1)?, cx.input(2)?);
    let y = output_holding_input(cx)?;
    same_type(&updates, &y)?;
    let shape = y.shape;
    let scatter = scatter(op.reduction);
    if let Scatter::Combine(_) = scatter {
        number(y.dtype)?;
    }
    Ok(index::scatter_nd(
        y.dtype,
        y.bytes,
        &shape,
        indices(&index_tensor)?,
        &index_tensor.shape,
        updates.bytes,
        scatter,
    )?)
}
