//! Sums, products and conversions of 16-bit tensors.
#![allow(clippy::extra_unused_type_parameters)]
use super::rounding;
use crate::Kernels;
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::quantize::linear::Rounding;
use crate::quantize::mul::repeating;

/// Of `a`, or of what `y` holds when there is no `a`, and of `b`.
pub(super) struct Add<'a> {
    a: Option<&'a [i16]>,
    b: &'a [i16],
    multipliers: [f32; 2],
    rounding: Rounding,
    y: &'a mut [i16],
}

/// Of `a`, or of what `y` holds when there is no `a`, and of `b`, repeated.
pub(super) struct Mul<'a> {
    a: Option<&'a [i16]>,
    b: &'a [i16],
    multiplier: f32,
    rounding: Rounding,
    y: &'a mut [i16],
}

/// Floats to integers.
pub(super) struct Quantize<'a> {
    x: &'a [f32],
    scale: f32,
    rounding: Rounding,
    y: &'a mut [i16],
}

/// Integers to floats.
pub(super) struct Dequantize<'a> {
    x: &'a [i16],
    scale: f32,
    y: &'a mut [f32],
}

kernel_rows!(pub(super) ADD_ROWS = add(t: Add<'_>));
kernel_rows!(pub(super) MUL_ROWS = mul(t: Mul<'_>));
kernel_rows!(pub(super) QUANTIZE_ROWS = quantize(t: Quantize<'_>));
kernel_rows!(pub(super) DEQUANTIZE_ROWS = dequantize(t: Dequantize<'_>));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn add<I: Isa>(t: Add<'_>) {
    let ([p, q], r) = (t.multipliers, t.rounding);
    let one = |a: i16, b: i16| r.apply(f32::from(a) * p + f32::from(b) * q) as i16;
    match t.a {
        Some(a) => {
            for ((y, &a), &b) in t.y.iter_mut().zip(a).zip(t.b) {
                *y = one(a, b);
            }
        }
        None => {
            for (y, &b) in t.y.iter_mut().zip(t.b) {
                *y = one(*y, b);
            }
        }
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn mul<I: Isa>(t: Mul<'_>) {
    let (m, r) = (t.multiplier, t.rounding);
    let one = |a: i16, b: i16| r.apply((i32::from(a) * i32::from(b)) as f32 * m) as i16;
    repeating(t.a, t.b, t.y, one);
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn quantize<I: Isa>(t: Quantize<'_>) {
    let (scale, r) = (t.scale, t.rounding);
    for (y, &x) in t.y.iter_mut().zip(t.x) {
        *y = r.apply(x / scale) as i16;
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn dequantize<I: Isa>(t: Dequantize<'_>) {
    for (y, &x) in t.y.iter_mut().zip(t.x) {
        *y = f32::from(x) * t.scale;
    }
}

impl Kernels {
    /// `y[i] = clamp(round_half_even(f32(a[i]) * multipliers[0] + f32(b[i]) * multipliers[1]))`, where both products and
    /// their sum are rounded to binary32 each. Without `a`, `y` holds the first operand.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths differ; [`KernelError::Parameter`] for bounds that hold no value of 16 bits.
    pub fn int16_add(
        &self,
        multipliers: [f32; 2],
        bounds: (i32, i32),
        a: Option<&[i16]>,
        b: &[i16],
        y: &mut [i16],
    ) -> Result<(), KernelError> {
        exactly(a.map_or(y.len(), <[i16]>::len), y.len())?;
        exactly(b.len(), y.len())?;
        let t = Add {
            a,
            b,
            multipliers,
            rounding: rounding(bounds)?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ADD_ROWS)(t) };
        Ok(())
    }

    /// `y[i] = clamp(round_half_even(f32(a[i] * b[i]) * multiplier))`, where `b` is repeated as often as it fits into `a`.
    /// Without `a`, `y` holds the first operand.
    ///
    /// # Errors
    /// [`KernelError::Length`] when `y` is not as long as `a`, or no multiple of `b`; [`KernelError::Parameter`] for bounds
    /// that hold no value of 16 bits.
    pub fn int16_mul(
        &self,
        multiplier: f32,
        bounds: (i32, i32),
        a: Option<&[i16]>,
        b: &[i16],
        y: &mut [i16],
    ) -> Result<(), KernelError> {
        exactly(a.map_or(y.len(), <[i16]>::len), y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        if b.is_empty() || !y.len().is_multiple_of(b.len()) {
            return Err(KernelError::Length);
        }
        let t = Mul {
            a,
            b,
            multiplier,
            rounding: rounding(bounds)?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(MUL_ROWS)(t) };
        Ok(())
    }

    /// As [`crate::quantize::quantize`] to 16-bit integers of one scale, without a zero point.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths differ.
    pub fn quantize_i16(&self, x: &[f32], scale: f32, y: &mut [i16]) -> Result<(), KernelError> {
        exactly(y.len(), x.len())?;
        let t = Quantize {
            x,
            scale,
            rounding: rounding((i16::MIN.into(), i16::MAX.into()))?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(QUANTIZE_ROWS)(t) };
        Ok(())
    }

    /// As [`crate::quantize::dequantize`] of 16-bit integers of one scale, without a zero point.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths differ.
    pub fn dequantize_i16(&self, x: &[i16], scale: f32, y: &mut [f32]) -> Result<(), KernelError> {
        exactly(y.len(), x.len())?;
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(DEQUANTIZE_ROWS)(Dequantize { x, scale, y }) };
        Ok(())
    }
}
