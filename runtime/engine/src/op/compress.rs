//! `compress`: keeps slices whose condition is true.

use crate::{Cx, RunError};
use cygnet_format::op::Compress;
use cygnet_kernels::index;

pub(crate) fn run(op: &Compress, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, condition) = (cx.input(0)?, cx.input(1)?);
    let (outer, n, inner) = if op.axis < 0 {
        (1, x.shape.count(), 1)
    } else {
        x.shape
            .split(op.axis)
            .ok_or(RunError::attribute("the axis does not exist"))?
    };
    let condition = condition.as_slice::<u8>()?;
    cx.set_dim(0, op.axis.max(0) as usize, index::count_true(condition, n))?;
    let y = cx.output(0)?;
    super::types::same_type(&x, &y)?;
    Ok(index::compress(
        x.bytes,
        outer,
        n,
        inner * x.dtype.size(),
        condition,
        y.bytes,
    )?)
}
