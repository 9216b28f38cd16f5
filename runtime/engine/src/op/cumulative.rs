//! `cumulative`: running sum or product.

use crate::{Cx, RunError};
use cygnet_format::op::Cumulative;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &Cumulative, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    by_number!(x.dtype, |T| {
        let y = y.as_mut_slice::<T>()?;
        Ok(reduce::cumulative(
            x.as_slice::<T>()?,
            &x.shape,
            op.axis,
            op.exclusive,
            op.reverse,
            op.product,
            y,
        )?)
    })
}
