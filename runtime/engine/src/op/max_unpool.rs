//! `max_unpool`: writes pooled values back to where they came from.

use crate::{Cx, RunError};
use cygnet_format::op::MaxUnpool;
use cygnet_kernels::index;

pub(crate) fn run(_op: &MaxUnpool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, indices, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    super::types::fits(
        x.shape.count() == indices.shape.count()
            && y.shape.rank() >= 3
            && x.shape.rank() == y.shape.rank(),
    )?;
    let last = y.shape.rank() - 1;
    let (channels, spatial) = (y.shape[last], y.shape[1..last].iter().product());
    super::types::fits(x.shape[last] == channels)?;
    let i = indices.as_slice::<i64>()?;
    by_size!(x.dtype, |N| {
        Ok(index::max_unpool(
            x.bytes.as_chunks::<N>().0,
            i,
            y.bytes.as_chunks_mut::<N>().0,
            channels,
            spatial,
        )?)
    })
}
