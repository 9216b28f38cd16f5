//! `stft`: Fourier transforms of frames of a signal.

use crate::{Cx, RunError};
use cygnet_format::op::Stft;
use cygnet_kernels::signal;

pub(crate) fn run(op: &Stft, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, window, mut y) = (cx.input(0)?, cx.opt_input(1)?, cx.output(0)?);
    super::types::same_type(&x, &y)?;
    let (batch, length, parts) = match *x.shape {
        [b, l] => (b, l, 1),
        [b, l, p] => (b, l, p),
        _ => {
            return Err(RunError::shape(
                "a signal is [batch, length] or [batch, length, parts]",
            ));
        }
    };
    let [_, frames, bins, 2] = *y.shape else {
        return Err(RunError::shape("spectra are [batch, frames, bins, 2]"));
    };
    by_type!(x.dtype, [F32 f32, F64 f64, F16 half::f16, BF16 half::bf16], |T| {
        let window = window.map(|w| w.as_slice::<T>()).transpose()?;
        let (n, step) = (op.length as usize, op.step as usize);
        let y = y.as_mut_slice::<T>()?;
        Ok(signal::stft(x.as_slice::<T>()?, batch, length, parts, window, n, step, frames, bins, y)?)
    })
}
