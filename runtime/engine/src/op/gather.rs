//! `gather`: slices of an axis by index.

use crate::{Cx, RunError};
use cygnet_format::op::Gather;
use cygnet_kernels::index;

pub(crate) fn run(op: &Gather, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, indices, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    Ok(index::gather(
        x.bytes,
        &x.shape,
        op.axis,
        super::types::indices(&indices)?,
        y.bytes,
        x.dtype.size(),
    )?)
}
