//! `trilu`: upper or lower triangle.

use crate::{Cx, RunError};
use cygnet_format::op::Trilu;
use cygnet_kernels::index;

pub(crate) fn run(op: &Trilu, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, k, y) = (cx.input(0)?, cx.opt_input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let k = match k {
        Some(k) => k.scalar::<i64>()?,
        None => 0,
    };
    by_size!(x.dtype, |N| {
        Ok(index::trilu(
            x.bytes.as_chunks::<N>().0,
            &x.shape,
            k,
            op.upper,
            y.bytes.as_chunks_mut::<N>().0,
        )?)
    })
}
