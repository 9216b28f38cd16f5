//! `top_k`: the greatest or least elements along an axis.

use crate::{Cx, RunError};
use cygnet_format::op::TopK;
use cygnet_kernels::sort;

pub(crate) fn run(op: &TopK, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y, mut indices) = (cx.input(0)?, cx.output(0)?, cx.opt_output(1)?);
    super::types::same_type(&x, &y)?;
    let k = *y
        .shape
        .get(op.axis as usize)
        .ok_or(RunError::attribute("the axis does not exist"))?;
    let i = match &mut indices {
        Some(i) => Some(i.as_mut_slice::<i64>()?),
        None => None,
    };
    by_number!(x.dtype, |T| Ok(sort::top_k(
        x.as_slice::<T>()?,
        &x.shape,
        op.axis,
        k,
        op.largest,
        y.as_mut_slice::<T>()?,
        i
    )?))
}
