//! `scatter_elements`: writes elements along an axis at given indices.

use super::types::{fits, output_holding_input, same_type};
use crate::{Cx, RunError};
use cygnet_format::op::ScatterElements;
use cygnet_format::op::{BinaryKind, ScatterReduction};
use cygnet_kernels::{element::Element, index};

pub(crate) fn run(op: &ScatterElements, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (indices, updates) = (cx.input(1)?, cx.input(2)?);
    let mut y = output_holding_input(cx)?;
    same_type(&updates, &y)?;
    fits(indices.shape == updates.shape)?;
    let shape = y.shape;
    if op.reduction == ScatterReduction::None {
        return with_indices!(indices, |i| by_size!(y.dtype, |N| {
            let (u, y) = (
                updates.bytes.as_chunks::<N>().0,
                y.bytes.as_chunks_mut::<N>().0,
            );
            Ok(index::scatter_elements(
                y,
                &shape,
                op.axis,
                i,
                &indices.shape,
                u,
                |_, u| u,
            )?)
        }));
    }
    let kind = match op.reduction {
        ScatterReduction::Add => BinaryKind::Add,
        ScatterReduction::Mul => BinaryKind::Mul,
        ScatterReduction::Max => BinaryKind::Max,
        _ => BinaryKind::Min,
    };
    with_indices!(indices, |i| by_number!(y.dtype, |T| {
        let u = updates.as_slice::<T>()?;
        let combine = |a, b| <T as Element>::binary(kind, a, b);
        Ok(index::scatter_elements(
            y.as_mut_slice::<T>()?,
            &shape,
            op.axis,
            i,
            &indices.shape,
            u,
            combine,
        )?)
    }))
}
