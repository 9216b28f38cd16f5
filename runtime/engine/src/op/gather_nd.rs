//! `gather_nd`: slices by index tuples.

use crate::{Cx, RunError};
use cygnet_format::op::GatherNd;
use cygnet_kernels::index;

pub(crate) fn run(op: &GatherNd, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, indices, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let batch = op.batch_dims as usize;
    Ok(index::gather_nd(
        x.bytes,
        &x.shape,
        batch,
        super::types::indices(&indices)?,
        &indices.shape,
        y.bytes,
        x.dtype.size(),
    )?)
}
