//! 8-bit quantisation by vectors: the same bits as the plain functions of this module.
//!
//! Bytes are treated alike whatever their sign: a quantised integer is stored by its low byte, and a signed byte is an
//! unsigned one with its highest bit flipped and 128 taken away. Bodies are loops that compilers turn into vectors for
//! whichever instruction set they are inlined; the parameter only tells the rows apart.
#![allow(clippy::extra_unused_type_parameters)]

use super::{Layout, Target};
use crate::error::{KernelError, at_least, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// 1.5 * 2^23: a sum of it and a float below 2^22 is rounded to an integer, halves to even, which is in its low bits.
const ROUNDING: f32 = 12_582_912.0;

/// Rounding, zero point and bounds of a [`Target`], for floats that are clamped before they are rounded.
#[derive(Clone, Copy)]
pub(crate) struct Rounding {
    low: f32,
    high: f32,
    shift: i32,
}

impl Rounding {
    /// None where the bounds are too far from the zero point for floats to hold the differences.
    pub fn new(t: &Target) -> Option<Self> {
        let (low, high) = (t.low.checked_sub(t.zero)?, t.high.checked_sub(t.zero)?);
        let exact = |v: i32| v.unsigned_abs() < 1 << 22;
        (exact(low) && exact(high) && low <= high).then_some(Self {
            low: low as f32,
            high: high as f32,
            shift: t.zero.wrapping_sub(ROUNDING.to_bits() as i32),
        })
    }

    /// Of a zero point and bounds that are 8-bit integers.
    #[inline(always)]
    fn of_bytes(zero: i32, low: i32, high: i32) -> Self {
        Self {
            low: (low - zero) as f32,
            high: (high - zero) as f32,
            shift: zero.wrapping_sub(ROUNDING.to_bits() as i32),
        }
    }

    /// As [`Target::round`].
    #[inline(always)]
    pub fn apply(&self, v: f32) -> i32 {
        // Bounds are integers: clamped first or rounded first is the same.
        let v = if v.is_nan() { 0.0 } else { v };
        let v = if v < self.low { self.low } else { v };
        let v = if v > self.high { self.high } else { v };
        ((v + ROUNDING).to_bits() as i32).wrapping_add(self.shift)
    }
}

/// What is XORed to 8-bit integers to make them unsigned, and what that adds to them.
#[inline(always)]
pub(crate) const fn unsigned(signed: bool) -> (u8, i32) {
    if signed { (0x80, 128) } else { (0, 0) }
}

/// Floats to bytes. `scale` and `zero` have one value for all, or one for each column of rows; `zero` may be empty.
pub(crate) struct Quantize<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    zero: &'a [u8],
    signed: bool,
    low: i32,
    high: i32,
    y: &'a mut [u8],
}

/// 8-bit integers to floats; `scale` and `zero` as those of [`Quantize`].
pub(crate) struct Dequantize<'a> {
    x: &'a [u8],
    scale: &'a [f32],
    zero: &'a [u8],
    signed: bool,
    y: &'a mut [f32],
}

/// 32-bit integers without zero points to floats; `scale` as that of [`Quantize`].
pub(crate) struct Widen<'a> {
    x: &'a [i32],
    scale: &'a [f32],
    y: &'a mut [f32],
}

/// Rows of 32-bit sums to rows of bytes; `bias` may be empty, `multiplier` has one value or one for each column.
pub(crate) struct Narrow<'a> {
    x: &'a [i32],
    bias: &'a [i32],
    multiplier: &'a [f32],
    columns: usize,
    rounding: Rounding,
    y: &'a mut [u8],
}

kernel_rows!(pub(crate) QUANTIZE_ROWS = quantize(t: Quantize<'_>));
kernel_rows!(pub(crate) DEQUANTIZE_ROWS = dequantize(t: Dequantize<'_>));
kernel_rows!(pub(crate) WIDEN_ROWS = widen(t: Widen<'_>));
kernel_rows!(pub(crate) NARROW_ROWS = narrow(t: Narrow<'_>));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn quantize<I: Isa>(t: Quantize<'_>) {
    let (flip, bias) = unsigned(t.signed);
    let (low, high) = (t.low, t.high);
    let at = |z: u8| (z ^ flip) as i32 - bias;
    let one = |x: f32, scale: f32, r: &Rounding| r.apply(x / scale) as u8;
    if let [scale] = *t.scale {
        let zero = t.zero.first().map_or(0, |&z| at(z));
        let r = Rounding::of_bytes(zero, low, high);
        for (y, &x) in t.y.iter_mut().zip(t.x) {
            *y = one(x, scale, &r);
        }
        return;
    }
    let columns = t.scale.len();
    for (y, x) in t.y.chunks_mut(columns).zip(t.x.chunks(columns)) {
        let row = y.iter_mut().zip(x).zip(t.scale);
        if t.zero.is_empty() {
            let r = Rounding::of_bytes(0, low, high);
            for ((y, &x), &scale) in row {
                *y = one(x, scale, &r);
            }
        } else {
            for (((y, &x), &scale), &z) in row.zip(t.zero) {
                *y = one(x, scale, &Rounding::of_bytes(at(z), low, high));
            }
        }
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn dequantize<I: Isa>(t: Dequantize<'_>) {
    let (flip, bias) = unsigned(t.signed);
    let one = |x: u8, zero: i32, scale: f32| ((x ^ flip) as i32 - zero) as f32 * scale;
    if let [scale] = *t.scale {
        let zero = t.zero.first().map_or(bias, |&z| (z ^ flip) as i32);
        for (y, &x) in t.y.iter_mut().zip(t.x) {
            *y = one(x, zero, scale);
        }
        return;
    }
    let columns = t.scale.len();
    for (y, x) in t.y.chunks_mut(columns).zip(t.x.chunks(columns)) {
        let row = y.iter_mut().zip(x).zip(t.scale);
        if t.zero.is_empty() {
            for ((y, &x), &scale) in row {
                *y = one(x, bias, scale);
            }
        } else {
            for (((y, &x), &scale), &z) in row.zip(t.zero) {
                *y = one(x, (z ^ flip) as i32, scale);
            }
        }
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn widen<I: Isa>(t: Widen<'_>) {
    if let [scale] = *t.scale {
        for (y, &x) in t.y.iter_mut().zip(t.x) {
            *y = x as f32 * scale;
        }
        return;
    }
    let columns = t.scale.len();
    for (y, x) in t.y.chunks_mut(columns).zip(t.x.chunks(columns)) {
        for ((y, &x), &scale) in y.iter_mut().zip(x).zip(t.scale) {
            *y = x as f32 * scale;
        }
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn narrow<I: Isa>(t: Narrow<'_>) {
    let r = t.rounding;
    let one = |x: i32, multiplier: f32| r.apply(x as f32 * multiplier) as u8;
    for (y, x) in t.y.chunks_mut(t.columns).zip(t.x.chunks(t.columns)) {
        let row = y.iter_mut().zip(x);
        match (t.bias, t.multiplier) {
            ([], &[m]) => row.for_each(|(y, &x)| *y = one(x, m)),
            ([], m) => row.zip(m).for_each(|((y, &x), &m)| *y = one(x, m)),
            (b, &[m]) => row
                .zip(b)
                .for_each(|((y, &x), &b)| *y = one(x.wrapping_add(b), m)),
            (b, m) => row
                .zip(b)
                .zip(m)
                .for_each(|(((y, &x), &b), &m)| *y = one(x.wrapping_add(b), m)),
        }
    }
}

impl Kernels {
    /// As [`super::quantize`] to 8-bit integers, signed or not, of which `zero` and `y` hold the bytes. Bounds lie within
    /// the type.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths do not agree with the layout; [`KernelError::Parameter`] for bounds outside of
    /// the type.
    pub fn quantize(
        &self,
        layout: &Layout,
        x: &[f32],
        scale: &[f32],
        zero: &[u8],
        signed: bool,
        (low, high): (i32, i32),
        y: &mut [u8],
    ) -> Result<(), KernelError> {
        layout.check(x.len(), scale.len(), zero.len())?;
        exactly(y.len(), x.len())?;
        let (_, bias) = unsigned(signed);
        if low > high || low < -bias || high > 255 - bias {
            return Err(KernelError::Parameter);
        }
        layout.parts(x.len(), scale.len(), |at, s| {
            let t = Quantize {
                x: &x[at.clone()],
                scale: &scale[s.clone()],
                zero: if zero.is_empty() { zero } else { &zero[s] },
                signed,
                low,
                high,
                y: &mut y[at],
            };
            // SAFETY: the row was chosen for this machine.
            unsafe { self.row(QUANTIZE_ROWS)(t) }
        });
        Ok(())
    }

    /// As [`super::dequantize`] of 8-bit integers, signed or not, of which `x` and `zero` hold the bytes.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths do not agree with the layout.
    pub fn dequantize(
        &self,
        layout: &Layout,
        x: &[u8],
        scale: &[f32],
        zero: &[u8],
        signed: bool,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        layout.check(x.len(), scale.len(), zero.len())?;
        exactly(y.len(), x.len())?;
        layout.parts(x.len(), scale.len(), |at, s| {
            let t = Dequantize {
                x: &x[at.clone()],
                scale: &scale[s.clone()],
                zero: if zero.is_empty() { zero } else { &zero[s] },
                signed,
                y: &mut y[at],
            };
            // SAFETY: the row was chosen for this machine.
            unsafe { self.row(DEQUANTIZE_ROWS)(t) }
        });
        Ok(())
    }

    /// As [`super::dequantize`] of 32-bit integers without zero points.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths do not agree with the layout.
    pub fn dequantize_i32(
        &self,
        layout: &Layout,
        x: &[i32],
        scale: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        layout.check(x.len(), scale.len(), 0)?;
        exactly(y.len(), x.len())?;
        layout.parts(x.len(), scale.len(), |at, s| {
            let t = Widen {
                x: &x[at.clone()],
                scale: &scale[s],
                y: &mut y[at],
            };
            // SAFETY: the row was chosen for this machine.
            unsafe { self.row(WIDEN_ROWS)(t) }
        });
        Ok(())
    }

    /// As [`super::requantize`] to bytes: the low ones of the results.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths do not agree; [`KernelError::Parameter`] for bounds that hold no value or
    /// that are 2^22 or more from the zero point.
    pub fn requantize(
        &self,
        channels: usize,
        acc: &[i32],
        bias: Option<&[i32]>,
        multiplier: &[f32],
        target: &Target,
        y: &mut [u8],
    ) -> Result<(), KernelError> {
        exactly(acc.len(), y.len())?;
        if acc.is_empty() {
            return Ok(());
        }
        at_least(channels, 1)?;
        let per_channel = |n: usize| exactly(n, channels);
        if multiplier.len() != 1 {
            per_channel(multiplier.len())?;
        }
        bias.map_or(Ok(()), |b| per_channel(b.len()))?;
        let t = Narrow {
            x: acc,
            bias: bias.unwrap_or(&[]),
            multiplier,
            columns: channels,
            rounding: Rounding::new(target).ok_or(KernelError::Parameter)?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(NARROW_ROWS)(t) };
        Ok(())
    }
}
