//! `lrn`: local response normalisation across channels.

use crate::{Cx, RunError};
use cygnet_format::op::Lrn;
use cygnet_kernels::reduce;

pub(crate) fn run(op: &Lrn, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let channels = *x
        .shape
        .last()
        .ok_or(RunError::shape("a scalar has no channels"))?;
    by_type!(x.dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16], |T| {
        let y = y.as_mut_slice::<T>()?;
        Ok(reduce::lrn(x.as_slice::<T>()?, channels, op.size as usize, op.alpha, op.beta, op.bias, y)?)
    })
}
