//! `one_hot`: classes as vectors.

use crate::{Cx, RunError};
use cygnet_format::op::OneHot;
use cygnet_kernels::{element_at, index};

pub(crate) fn run(op: &OneHot, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (indices, values, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&values, &y)?;
    super::types::fits(values.shape.count() == 2)?;
    let shape = y.shape;
    let n = indices.shape.count();
    super::types::number(indices.dtype)?;
    let index = |at: usize| element_at(indices.dtype, indices.bytes, at) as i64;
    by_size!(y.dtype, |N| {
        let v = values.bytes.as_chunks::<N>().0;
        let y = y.bytes.as_chunks_mut::<N>().0;
        Ok(index::one_hot(&index, n, v[0], v[1], &shape, op.axis, y)?)
    })
}
