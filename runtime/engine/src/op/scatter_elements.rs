//! `scatter_elements`: writes elements along an axis at given indices.

use super::types::{fits, indices, number, output_holding_input, same_type};
use crate::{Cx, RunError};
use cygnet_format::op::ScatterElements;
use cygnet_format::op::{BinaryKind, ScatterReduction};
use cygnet_kernels::index::{self, Scatter};

pub(crate) fn run(op: &ScatterElements, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (index_tensor, updates) = (cx.input(1)?, cx.input(2)?);
    let y = output_holding_input(cx)?;
    same_type(&updates, &y)?;
    fits(index_tensor.shape == updates.shape)?;
    let shape = y.shape;
    let scatter = scatter(op.reduction);
    if let Scatter::Combine(_) = scatter {
        number(y.dtype)?;
    }
    Ok(index::scatter_elements(
        y.dtype,
        y.bytes,
        &shape,
        op.axis,
        indices(&index_tensor)?,
        &index_tensor.shape,
        updates.bytes,
        scatter,
    )?)
}

/// The kernel's name for a stored reduction.
pub(super) fn scatter(reduction: ScatterReduction) -> Scatter {
    Scatter::Combine(match reduction {
        ScatterReduction::None => return Scatter::Replace,
        ScatterReduction::Add => BinaryKind::Add,
        ScatterReduction::Mul => BinaryKind::Mul,
        ScatterReduction::Max => BinaryKind::Max,
        ScatterReduction::Min => BinaryKind::Min,
    })
}
