//! `col2im`.

use super::axes::check_axes;
use super::geometry::sizes;
use crate::{Cx, RunError};
use cygnet_format::op::Col2Im;
use cygnet_kernels::sample::{Col2ImGeometry, col2im};

pub(crate) fn run(op: &Col2Im, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let rank = op.kernel.len();
    check_axes(y.shape.len() == rank + 2 && op.pads.len() == 2 * rank && op.strides.len() == rank)?;
    check_axes(op.dilations.len() == rank)?;
    let (kernel, strides, dilations) = (
        sizes(&op.kernel)?,
        sizes(&op.strides)?,
        sizes(&op.dilations)?,
    );
    let (before, after) = (sizes(&op.pads[..rank])?, sizes(&op.pads[rank..])?);
    let shape = y.shape;
    let g = Col2ImGeometry {
        batch: shape[0],
        channels: shape[1],
        image: &shape[2..],
        kernel: &kernel[..rank],
        strides: &strides[..rank],
        dilations: &dilations[..rank],
        pads_before: &before[..rank],
        pads_after: &after[..rank],
    };
    Ok(col2im(&g, x.as_slice()?, y.into_mut_slice()?)?)
}
