//! What training needs beyond inference: gradients of convolutions and of batch normalisation, and optimiser steps.
//!
//! Tensors are channels-last, as everywhere. The gradient of a dense convolution with respect to its input is a
//! convolution of the output's gradient ([`crate::Kernels::conv`] with flipped weights, or
//! [`crate::Kernels::conv_transpose`]), so only those that are not are here. Sums have one order, which depends on the
//! shape alone: the same numbers give the same gradient however the work is split over threads by the caller's parts.
mod depthwise;
mod normalize;
#[cfg(test)]
mod tests;
mod update;
mod weights;

pub use normalize::Normalize;
pub use update::{AdamW, Momentum};
pub use weights::scratch_len;

use crate::conv::Conv;
use crate::error::{KernelError, at_least, exactly, product};
use crate::kernels::Kernels;
use core::ops::Range;

impl Conv {
    /// Elements of a tensor of this convolution's input and of its output.
    fn elements(&self) -> Result<[usize; 2], KernelError> {
        let [i, o] = [&self.input, &self.output];
        Ok([
            product(&[self.batch, i[0], i[1], i[2], self.in_channels])?,
            product(&[self.batch, o[0], o[1], o[2], self.out_channels])?,
        ])
    }

    /// The checks of the two-dimensional gradients.
    fn check_planar(&self) -> Result<(), KernelError> {
        self.check_shape()?;
        if self.kernel[0] != 1 || self.input[0] != 1 || self.output[0] != 1 {
            return Err(KernelError::Parameter);
        }
        Ok(())
    }

    /// The checks of a depthwise convolution; elements of the input, of the output and of the weights.
    fn check_depthwise(&self) -> Result<[usize; 3], KernelError> {
        self.check_planar()?;
        if self.groups != self.in_channels || self.in_channels != self.out_channels {
            return Err(KernelError::Parameter);
        }
        let [input, output] = self.elements()?;
        Ok([
            input,
            output,
            self.kernel[1] * self.kernel[2] * self.in_channels,
        ])
    }
}

/// Whether rows are some of `all`.
const fn within(rows: &Range<usize>, all: usize) -> Result<(), KernelError> {
    if rows.start > rows.end || rows.end > all {
        return Err(KernelError::Parameter);
    }
    Ok(())
}

impl Kernels {
    /// Adds to `dw` the gradient of a dense convolution with respect to its weights.
    ///
    /// `x` is the input `[batch, 1, h, w, in_channels]`, `dy` the gradient of the output; `dw` holds the rows `rows` of
    /// the weights' gradient `[kh * kw * in_channels][out_channels]`. The activation of `p` is not looked at.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] for groups, three-dimensional kernels and ranges that leave the weights,
    /// [`KernelError::Length`] when a slice does not fit, or `scratch` is shorter than [`scratch_len`].
    pub fn conv_weights_gradient(
        &self,
        p: &Conv,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        rows: Range<usize>,
        scratch: &mut [f32],
    ) -> Result<(), KernelError> {
        p.check_planar()?;
        let all = product(&[p.kernel[1], p.kernel[2], p.in_channels])?;
        if p.groups != 1 {
            return Err(KernelError::Parameter);
        }
        within(&rows, all)?;
        let [input, output] = p.elements()?;
        at_least(x.len(), input)?;
        at_least(dy.len(), output)?;
        exactly(dw.len(), product(&[rows.len(), p.out_channels])?)?;
        at_least(scratch.len(), scratch_len(p))?;
        let t = weights::Task {
            p: *p,
            x: x.as_ptr(),
            dy: dy.as_ptr(),
            dw: dw.as_mut_ptr(),
            rows: (rows.start, rows.end),
            scratch: scratch.as_mut_ptr(),
        };
        // SAFETY: checked above; `dw` and `scratch` are exclusive; the row was chosen for this machine.
        unsafe { self.row(weights::ROWS)(&t) };
        Ok(())
    }

    /// The gradient of a depthwise convolution with respect to its input, for the input rows `rows` (of batch x height):
    /// `dy` is the gradient of the whole output, `weights` are `[taps][C]`, `dx` holds exactly those rows.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape or the kernel has three dimensions.
    pub fn depthwise_input_gradient(
        &self,
        p: &Conv,
        dy: &[f32],
        weights: &[f32],
        dx: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        let [_, output, taps] = p.check_depthwise()?;
        at_least(dy.len(), output)?;
        at_least(weights.len(), taps)?;
        within(&rows, p.batch * p.input[1])?;
        exactly(dx.len(), rows.len() * p.input[2] * p.in_channels)?;
        // SAFETY: checked above; `dx` is exclusive; the row was chosen for this machine.
        unsafe {
            self.row(depthwise::INPUT_ROWS)(
                p,
                dy.as_ptr(),
                weights.as_ptr(),
                dx.as_mut_ptr(),
                rows.start,
                rows.end,
            )
        };
        Ok(())
    }

    /// Adds to `dw` `[taps][C]` the gradient of a depthwise convolution with respect to its weights, as far as the output
    /// rows `rows` (of batch x height) make it. `x` and `dy` are whole tensors.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape or the kernel has three dimensions.
    pub fn depthwise_weights_gradient(
        &self,
        p: &Conv,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        let [input, output, taps] = p.check_depthwise()?;
        at_least(x.len(), input)?;
        at_least(dy.len(), output)?;
        exactly(dw.len(), taps)?;
        within(&rows, p.rows())?;
        // SAFETY: checked above; `dw` is exclusive; the row was chosen for this machine.
        unsafe {
            self.row(depthwise::WEIGHTS_ROWS)(
                p,
                x.as_ptr(),
                dy.as_ptr(),
                dw.as_mut_ptr(),
                rows.start,
                rows.end,
            )
        };
        Ok(())
    }
}
