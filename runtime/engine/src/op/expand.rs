//! `expand`: NumPy broadcast.

use crate::broadcast::copy;
use crate::{Cx, RunError};
use cygnet_format::op::Expand;

pub(crate) fn run(_op: &Expand, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let y = cx.output(0)?;
    if x.dtype != y.dtype {
        return Err(RunError::dtype("expand keeps the element type"));
    }
    copy(&x, &y.shape, y.bytes)
}
