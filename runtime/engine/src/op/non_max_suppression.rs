//! `non_max_suppression`: boxes that do not overlap better ones.

use crate::{Cx, RunError};
use cygnet_format::op::NonMaxSuppression;
use cygnet_kernels::sort::{Boxes, non_max_suppression};

pub(crate) fn run(op: &NonMaxSuppression, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (boxes, scores) = (cx.input(0)?, cx.input(1)?);
    let limit = match cx.opt_input(2)? {
        Some(t) => usize::try_from(t.scalar::<i64>()?).unwrap_or(0),
        None => 0,
    };
    let iou = match cx.opt_input(3)? {
        Some(t) => t.scalar::<f32>()?,
        None => 0.0,
    };
    let threshold = cx.opt_input(4)?.map(|t| t.scalar::<f32>()).transpose()?;
    let (&[batches, count, 4], &[_, classes, _]) = (&*boxes.shape, &*scores.shape) else {
        return Err(RunError::shape("boxes are [B, N, 4] and scores [B, C, N]"));
    };
    let b = Boxes {
        boxes: boxes.as_slice::<f32>()?,
        scores: scores.as_slice::<f32>()?,
        batches,
        classes,
        count,
        center: op.center_point_box,
    };
    // The output is the work space; its dimension is set once the count is known.
    let room = cx.dim_bound(0, 0)?;
    cx.set_dim(0, 0, room)?;
    let mut y = cx.output(0)?;
    super::types::fits(y.shape.get(1) == Some(&3))?;
    let selected = non_max_suppression(&b, limit, iou, threshold, y.as_mut_slice::<i64>()?)?;
    cx.set_dim(0, 0, selected)
}
