//! `reverse_sequence`: reverses the first entries of each sequence.

use crate::{Cx, RunError};
use cygnet_format::op::ReverseSequence;
use cygnet_kernels::index;

pub(crate) fn run(op: &ReverseSequence, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, lengths, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let lengths = lengths.as_slice::<i64>()?;
    Ok(index::reverse_sequence(
        x.bytes,
        &x.shape,
        op.batch_axis,
        op.time_axis,
        lengths,
        y.bytes,
        x.dtype.size(),
    )?)
}
