//! `cumulative`: running sum or product.

use crate::{Cx, RunError};
use cygnet_format::op::Cumulative;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &Cumulative, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    super::types::number(x.dtype)?;
    Ok(reduce::cumulative(
        x.dtype,
        x.bytes,
        &x.shape,
        op.axis,
        op.exclusive,
        op.reverse,
        op.product,
        y.bytes,
    )?)
}
