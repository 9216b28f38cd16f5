//! `reshape`: the same elements under another shape.

use crate::{Cx, RunError};
use cygnet_format::op::Reshape;

pub(crate) fn run(_op: &Reshape, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let ((xt, xs), (yt, ys)) = (cx.input_type(0)?, cx.output_type(0)?);
    if xt != yt || xs.count() != ys.count() {
        return Err(RunError::shape("reshape keeps the elements"));
    }
    if !cx.in_place(0, 0) {
        let x = cx.input(0)?;
        cx.output(0)?.bytes.copy_from_slice(x.bytes);
    }
    Ok(())
}
