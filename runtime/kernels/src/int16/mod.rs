//! 16-bit activations with 8-bit weights: convolutions, matrix products, sums, products and pools.
//!
//! Everything is symmetric: the integer 0 is the value 0. Sums of products are 32 bits wide and wrap around, so whoever
//! makes a layer sees to it that they fit. A result is `clamp(round_half_even(f32(sum) * multiplier), low..=high)`, where
//! the product is one binary32 multiplication: every instruction set gives the same bits.
#[cfg(target_arch = "x86_64")]
mod avx2;
mod dense;
mod depthwise;
#[cfg(arm_dsp)]
mod dsp;
mod elementwise;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pool;
#[cfg(test)]
mod tests;

use crate::Kernels;
use crate::conv::{Conv, Weights};
use crate::error::{KernelError, at_least};
use crate::quantize::Target;
use crate::quantize::linear::Rounding;
use core::ops::Range;

/// A convolution of 16-bit activations. Taps in the padding read 0.
#[derive(Clone, Copy, Debug)]
pub struct Int16Conv {
    /// Shapes; its activation is not applied: clamps are in the bounds.
    pub conv: Conv,
    /// Least and greatest result, within 16 bits.
    pub bounds: (i32, i32),
}

/// The operands of a convolution of 16-bit activations.
#[derive(Clone, Copy, Debug)]
pub struct Operands<'a> {
    /// `[batch, d, h, w, in_channels]`.
    pub x: &'a [i16],
    /// Packed by [`crate::quantized::pack_weights`], or `[taps, channels]` of a depthwise convolution.
    pub weights: &'a [i8],
    /// `[out_channels]`, in units of the sums.
    pub bias: &'a [i32],
    /// `[out_channels]`: scale of the sums over that of the result.
    pub multiplier: &'a [f32],
}

/// A validated piece of a convolution; `y` starts at the first row of the range.
#[derive(Clone, Copy)]
struct Task {
    p: Conv,
    rounding: Rounding,
    x: *const i16,
    w: *const i8,
    bias: *const i32,
    multiplier: *const f32,
    y: *mut i16,
    rows: (usize, usize),
}

/// How results within these bounds are rounded.
fn rounding((low, high): (i32, i32)) -> Result<Rounding, KernelError> {
    if low < i16::MIN.into() || high > i16::MAX.into() {
        return Err(KernelError::Parameter);
    }
    let target = Target { zero: 0, low, high };
    Rounding::new(&target).ok_or(KernelError::Parameter)
}

/// The taps of a window that lie inside of an axis, and where the first tap of all is.
#[derive(Clone, Copy)]
struct Axis {
    taps: (usize, usize),
    first: isize,
}

impl Task {
    /// The window of output `at` along axis `d`.
    #[inline(always)]
    fn axis(&self, d: usize, at: usize) -> Axis {
        let p = &self.p;
        let (step, n) = (p.dilation[d], p.input[d] as isize);
        let first = (at * p.stride[d]) as isize - p.pad_begin[d] as isize;
        let before = (-first).max(0) as usize;
        let behind = (n - first).max(0) as usize;
        let end = behind.div_ceil(step).min(p.kernel[d]);
        Axis {
            taps: (before.div_ceil(step).min(end), end),
            first,
        }
    }

    /// The image of an output row, with its windows along depth and height.
    #[inline(always)]
    fn line(&self, row: usize) -> (*const i16, [Axis; 2]) {
        let p = &self.p;
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let (y, rest) = (row % p.output[1], row / p.output[1]);
        let (z, n) = (rest % p.output[0], rest / p.output[0]);
        let axes = [self.axis(0, z), self.axis(1, y)];
        (self.x.wrapping_add(n * image), axes)
    }

    /// Requantises and stores channels from `first` at the position `at` of the outputs.
    ///
    /// # Safety
    /// The position and the channels are the task's.
    #[inline(always)]
    unsafe fn store(&self, at: usize, first: usize, sums: &[i32]) {
        let r = self.rounding;
        // SAFETY: the caller's contract.
        unsafe {
            let y = core::slice::from_raw_parts_mut(self.y.add(at), sums.len());
            let multiplier = core::slice::from_raw_parts(self.multiplier.add(first), sums.len());
            for ((y, &sum), &m) in y.iter_mut().zip(sums).zip(multiplier) {
                *y = r.apply(sum as f32 * m) as i16;
            }
        }
    }
}

impl Int16Conv {
    fn task(
        &self,
        o: &Operands<'_>,
        weights: Weights,
        y: &mut [i16],
        rows: Range<usize>,
    ) -> Result<Task, KernelError> {
        let p = &self.conv;
        let (x, w) = (o.x.len(), o.weights.len());
        p.check(x, (w, weights), Some(o.bias.len()), None, y.len(), &rows)?;
        at_least(o.multiplier.len(), p.out_channels)?;
        Ok(Task {
            p: *p,
            rounding: rounding(self.bounds)?,
            x: o.x.as_ptr(),
            w: o.weights.as_ptr(),
            bias: o.bias.as_ptr(),
            multiplier: o.multiplier.as_ptr(),
            y: y.as_mut_ptr(),
            rows: (rows.start, rows.end),
        })
    }
}

impl Kernels {
    /// Convolution of 16-bit activations with weights packed by [`crate::quantized::pack_weights`], for the output rows
    /// `rows` (of [`Conv::rows`]), of which `y` holds `rows.len() * output[2] * out_channels` elements.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, or a bound is outside of 16 bits.
    pub fn int16_conv(
        &self,
        p: &Int16Conv,
        o: &Operands<'_>,
        y: &mut [i16],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        let t = p.task(o, Weights::Quantized, y, rows)?;
        #[cfg(arm_dsp)]
        if self.features().contains(crate::Features::DSP) {
            // SAFETY: checked above; `y` is exclusive; the target has the extension.
            unsafe { dsp::dense(&t) };
            return Ok(());
        }
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(dense::ROWS)(&t) };
        Ok(())
    }

    /// Depthwise convolution of 16-bit activations (`groups == in_channels == out_channels`) with weights `[taps][C]`;
    /// otherwise as [`Kernels::int16_conv`].
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape, or a bound is outside of 16 bits.
    pub fn int16_depthwise(
        &self,
        p: &Int16Conv,
        o: &Operands<'_>,
        y: &mut [i16],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        let t = p.task(o, Weights::Depthwise, y, rows)?;
        #[cfg(arm_dsp)]
        if self.features().contains(crate::Features::DSP) {
            // SAFETY: checked above; `y` is exclusive; the target has the extension.
            unsafe { depthwise::dsp(&t) };
            return Ok(());
        }
        // SAFETY: checked above; `y` is exclusive.
        unsafe { self.row(depthwise::ROWS)(&t) };
        Ok(())
    }
}
