//! `cast`: another element type.

use crate::{Cx, RunError};
use cygnet_format::op::Cast;

pub(crate) fn run(op: &Cast, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    super::types::fits(x.shape.count() == y.shape.count())?;
    Ok(cygnet_kernels::cast::cast(
        x.dtype,
        x.bytes,
        y.dtype,
        y.bytes,
        op.saturate,
    )?)
}
