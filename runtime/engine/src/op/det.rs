//! `det`: determinants.

use crate::{Cx, RunError};
use cygnet_format::op::Det;
use cygnet_kernels::signal;

pub(crate) fn run(_op: &Det, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let [.., rows, n] = *x.shape else {
        return Err(RunError::shape("a determinant needs a matrix"));
    };
    super::types::fits(rows == n)?;
    by_type!(x.dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16], |T| Ok(signal::determinant(x.as_slice::<T>()?, n, y.as_mut_slice::<T>()?)?))
}
