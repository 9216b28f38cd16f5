//! `lp_norm`: division by the norm along an axis.

use crate::{Cx, RunError};
use cygnet_format::op::LpNorm;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &LpNorm, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    by_type!(x.dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16], |T| Ok(reduce::lp_norm(x.as_slice::<T>()?, &x.shape, op.axis, op.p, y.as_mut_slice::<T>()?)?))
}
