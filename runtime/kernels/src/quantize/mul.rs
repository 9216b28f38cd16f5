//! Products of 8-bit tensors by vectors: the same bits as the plain function.
#![allow(clippy::extra_unused_type_parameters)]

use super::linear::{Rounding, unsigned};
use super::{Factors, Target};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// Products of `a`, or of what `y` holds when there is no `a`, and of `b`, repeated. The factors are those of unsigned
/// bytes.
pub(crate) struct Mul<'a> {
    a: Option<&'a [u8]>,
    b: &'a [u8],
    flip: u8,
    factors: Factors,
    rounding: Rounding,
    y: &'a mut [u8],
}

kernel_rows!(pub(crate) ROWS = mul(t: Mul<'_>));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn mul<I: Isa>(t: Mul<'_>) {
    let (flip, r, f) = (t.flip, t.rounding, t.factors);
    let one = |a: u8, b: u8| r.apply(f.value((a ^ flip) as i32, (b ^ flip) as i32)) as u8;
    repeating(t.a, t.b, t.y, one);
}

/// `y[i] = one(a[i], b[i % b.len()])`; without `a`, `y` holds the first operand. `b` is not empty.
#[inline(always)]
pub(crate) fn repeating<T: Copy>(
    a: Option<&[T]>,
    b: &[T],
    y: &mut [T],
    one: impl Fn(T, T) -> T + Copy,
) {
    match a {
        Some(a) => {
            for (y, a) in y.chunks_mut(b.len()).zip(a.chunks(b.len())) {
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = one(a, b);
                }
            }
        }
        None => {
            for y in y.chunks_mut(b.len()) {
                for (y, &b) in y.iter_mut().zip(b) {
                    *y = one(*y, b);
                }
            }
        }
    }
}

impl Kernels {
    /// As [`super::mul`] of 8-bit integers, signed or not, of which the slices hold the bytes. Without `a`, `y` holds the
    /// first operand.
    ///
    /// # Errors
    /// [`KernelError::Length`] when `y` is not as long as `a`, or no multiple of `b`; [`KernelError::Parameter`] for zero
    /// points of operands outside -255..=255 and for bounds that hold no value or that are 2^22 or more from the zero
    /// point.
    pub fn quantized_mul(
        &self,
        factors: &Factors,
        target: &Target,
        signed: bool,
        a: Option<&[u8]>,
        b: &[u8],
        y: &mut [u8],
    ) -> Result<(), KernelError> {
        exactly(a.map_or(y.len(), <[u8]>::len), y.len())?;
        if y.is_empty() {
            return Ok(());
        }
        if b.is_empty() || !y.len().is_multiple_of(b.len()) {
            return Err(KernelError::Length);
        }
        let (flip, bias) = unsigned(signed);
        let small = |z: i32| (-255..=255).contains(&z);
        if !small(factors.a_zero) || !small(factors.b_zero) {
            return Err(KernelError::Parameter);
        }
        let t = Mul {
            a,
            b,
            flip,
            factors: Factors {
                a_zero: factors.a_zero + bias,
                b_zero: factors.b_zero + bias,
                ..*factors
            },
            rounding: Rounding::new(target).ok_or(KernelError::Parameter)?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ROWS)(t) };
        Ok(())
    }
}
