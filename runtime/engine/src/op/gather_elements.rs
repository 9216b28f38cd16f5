//! `gather_elements`: elements along an axis by index.

use crate::{Cx, RunError};
use cygnet_format::op::GatherElements;
use cygnet_kernels::index;

pub(crate) fn run(op: &GatherElements, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, indices, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let i = super::types::indices(&indices)?;
    by_size!(x.dtype, |N| {
        let (from, to) = (x.bytes.as_chunks::<N>().0, y.bytes.as_chunks_mut::<N>().0);
        Ok(index::gather_elements(
            from,
            &x.shape,
            op.axis,
            i,
            &indices.shape,
            to,
        )?)
    })
}
