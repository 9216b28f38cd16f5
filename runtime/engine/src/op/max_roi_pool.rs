//! `max_roi_pool`.

use super::roi_align::geometry;
use crate::{Cx, RunError};
use cygnet_format::op::MaxRoiPool;
use cygnet_kernels::sample::max_roi_pool;

pub(crate) fn run(op: &MaxRoiPool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, rois, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    let g = geometry(&x, &y, op.spatial_scale)?;
    Ok(max_roi_pool(
        &g,
        x.as_slice()?,
        rois.as_slice()?,
        y.into_mut_slice()?,
    )?)
}
