//! `dft`: discrete Fourier transform along an axis.

use crate::{Cx, RunError};
use cygnet_format::op::Dft;
use cygnet_kernels::signal;

pub(crate) fn run(op: &Dft, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, mut y) = (cx.input(0)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let p = signal::Dft {
        axis: op.axis,
        inverse: op.inverse,
        onesided: op.onesided,
    };
    let to = y.shape;
    by_type!(x.dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16], |T| Ok(signal::dft(p, x.as_slice::<T>()?, &x.shape, y.as_mut_slice::<T>()?, &to)?))
}
