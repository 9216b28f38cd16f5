//! `arg_reduce`: index of the extreme along an axis.

use crate::{Cx, RunError};
use cygnet_format::op::ArgReduce;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &ArgReduce, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    let i = y.as_mut_slice::<i64>()?;
    super::types::number(x.dtype)?;
    Ok(reduce::arg_reduce(
        x.dtype, x.bytes, &x.shape, op.axis, op.max, op.last, i,
    )?)
}
