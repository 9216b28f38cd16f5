//! Sums of 8-bit tensors by vectors: the same bits as the plain functions.
#![allow(clippy::extra_unused_type_parameters)]

use super::linear::{Rounding, unsigned};
use super::{Target, Term};
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// Sums of `a`, or of what `y` holds when there is no `a`, and of `b`. The terms are those of unsigned bytes.
pub(crate) struct Add<'a> {
    a: Option<&'a [u8]>,
    b: &'a [u8],
    flip: u8,
    terms: [Term; 2],
    rounding: Rounding,
    y: &'a mut [u8],
}

kernel_rows!(pub(crate) ROWS = add(t: Add<'_>));

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn add<I: Isa>(t: Add<'_>) {
    let (flip, r) = (t.flip, t.rounding);
    let [p, q] = t.terms;
    let one = |a: u8, b: u8| r.apply(p.value((a ^ flip) as i32) + q.value((b ^ flip) as i32)) as u8;
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

impl Kernels {
    /// As [`super::add`] of 8-bit integers, signed or not, of which the slices hold the bytes. Without `a`, `y` holds the
    /// first operand.
    ///
    /// # Errors
    /// [`KernelError::Length`] when lengths differ; [`KernelError::Parameter`] for zero points of operands outside
    /// -255..=255 and for bounds that hold no value or that are 2^22 or more from the zero point.
    pub fn quantized_add(
        &self,
        terms: [Term; 2],
        target: &Target,
        signed: bool,
        a: Option<&[u8]>,
        b: &[u8],
        y: &mut [u8],
    ) -> Result<(), KernelError> {
        exactly(a.map_or(y.len(), <[u8]>::len), y.len())?;
        exactly(b.len(), y.len())?;
        let (flip, bias) = unsigned(signed);
        if terms.iter().any(|t| !(-255..=255).contains(&t.zero)) {
            return Err(KernelError::Parameter);
        }
        let t = Add {
            a,
            b,
            flip,
            terms: terms.map(|t| Term {
                zero: t.zero + bias,
                ..t
            }),
            rounding: Rounding::new(target).ok_or(KernelError::Parameter)?,
            y,
        };
        // SAFETY: the row was chosen for this machine.
        unsafe { self.row(ROWS)(t) };
        Ok(())
    }
}
