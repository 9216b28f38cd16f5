//! `reduce`: sums, means, extremes and norms over axes.

use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::Reduce;
use cygnet_format::op::ReduceKind;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &Reduce, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    if x.dtype == DType::F32 {
        let y = y.as_mut_slice()?;
        return Ok(reduce::reduce(
            op.kind,
            x.as_slice()?,
            &x.shape,
            &op.axes,
            y,
        )?);
    }
    let extreme = matches!(op.kind, ReduceKind::Max | ReduceKind::Min);
    let dtype = match x.dtype {
        DType::Bool if extreme => DType::U8,
        other => other,
    };
    super::types::number(dtype)?;
    reduce::reduce_any(op.kind, dtype, x.bytes, &x.shape, &op.axes, y.bytes)?;
    if x.dtype == DType::Bool {
        // The identity of an empty minimum is "true".
        y.bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8);
    }
    Ok(())
}
