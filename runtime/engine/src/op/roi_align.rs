//! `roi_align`.

use super::axes::check_axes;
use crate::{Cx, RunError, Tensor, TensorMut};
use cygnet_format::op::RoiAlign;
use cygnet_kernels::sample::{RoiGeometry, roi_align};

/// Sizes of a pooling of `x[N,H,W,C]` over regions into `y[R,oh,ow,C]`.
pub(super) fn geometry(
    x: &Tensor<'_>,
    y: &TensorMut<'_>,
    spatial_scale: f32,
) -> Result<RoiGeometry, RunError> {
    check_axes(x.shape.len() == 4 && y.shape.len() == 4 && x.shape[3] == y.shape[3])?;
    Ok(RoiGeometry {
        batch: x.shape[0],
        height: x.shape[1],
        width: x.shape[2],
        channels: x.shape[3],
        rois: y.shape[0],
        out_height: y.shape[1],
        out_width: y.shape[2],
        spatial_scale,
    })
}

pub(crate) fn run(op: &RoiAlign, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, rois, batch, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.output(0)?);
    let g = geometry(&x, &y, op.spatial_scale)?;
    let (x, rois, batch, y) = (
        x.as_slice()?,
        rois.as_slice()?,
        batch.as_slice::<i64>()?,
        y.into_mut_slice()?,
    );
    Ok(roi_align(
        &g,
        op.mode,
        op.sampling_ratio as usize,
        op.half_pixel,
        x,
        rois,
        batch,
        y,
    )?)
}
