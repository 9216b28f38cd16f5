//! `reduce`: sums, means, extremes and norms over axes.

use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::Reduce;
use cygnet_format::op::ReduceKind;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &Reduce, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    if x.dtype == DType::Bool && matches!(op.kind, ReduceKind::Max | ReduceKind::Min) {
        let x_values = x.as_slice::<u8>()?;
        reduce::reduce(
            op.kind,
            x_values,
            &x.shape,
            &op.axes,
            y.as_mut_slice::<u8>()?,
        )?;
        // The identity of an empty minimum is "true".
        y.bytes.iter_mut().for_each(|b| *b = (*b != 0) as u8);
        return Ok(());
    }
    by_number!(x.dtype, |T| Ok(reduce::reduce(
        op.kind,
        x.as_slice::<T>()?,
        &x.shape,
        &op.axes,
        y.as_mut_slice::<T>()?
    )?))
}
