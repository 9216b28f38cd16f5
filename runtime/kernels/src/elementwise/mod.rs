//! Element-wise f32 operators: unary, broadcast binary, and chains applied block by block.
pub(crate) mod binary;
mod chain;
pub(crate) mod unary;

pub use binary::{Binary, Broadcast};
pub use chain::Step;
pub use unary::Unary;

use crate::error::{KernelError, exactly};
use crate::kernels::Kernels;
use binary::Operands;

impl Kernels {
    /// `y = op(x)`, element by element.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the lengths differ.
    pub fn unary(&self, op: Unary, x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
        exactly(y.len(), x.len())?;
        // SAFETY: both hold the same number of elements.
        unsafe { self.row(unary::ROWS)(op, x.as_ptr(), y.as_mut_ptr(), x.len()) };
        Ok(())
    }

    /// `y = op(y)`, element by element.
    pub fn unary_inplace(&self, op: Unary, y: &mut [f32]) {
        let p = y.as_mut_ptr();
        // SAFETY: the kernel reads an element before it writes it.
        unsafe { self.row(unary::ROWS)(op, p, p, y.len()) };
    }

    /// `out = op(x, y)` with the strides of `b`; `out` is dense and holds exactly `b.len()` elements.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit `b`.
    pub fn binary(
        &self,
        op: Binary,
        b: &Broadcast,
        x: &[f32],
        y: &[f32],
        out: &mut [f32],
    ) -> Result<(), KernelError> {
        b.check(x.len(), y.len(), out.len())?;
        if !b.is_empty() {
            // SAFETY: checked above.
            unsafe {
                self.row(binary::ROWS)(
                    op,
                    b,
                    Operands {
                        x: x.as_ptr(),
                        y: y.as_ptr(),
                        out: out.as_mut_ptr(),
                    },
                )
            };
        }
        Ok(())
    }

    /// `x = op(x, y)`; `x` has the shape of the result.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] when `b` reads `x` with strides other than those of the dense result; otherwise as
    /// [`Kernels::binary`].
    pub fn binary_inplace(
        &self,
        op: Binary,
        b: &Broadcast,
        x: &mut [f32],
        y: &[f32],
    ) -> Result<(), KernelError> {
        b.check(x.len(), y.len(), x.len())?;
        if !b.is_dense(&b.x) {
            return Err(KernelError::Parameter);
        }
        if !b.is_empty() {
            let p = x.as_mut_ptr();
            // SAFETY: checked above; each element is read before it is written, at the same place.
            unsafe {
                self.row(binary::ROWS)(
                    op,
                    b,
                    Operands {
                        x: p,
                        y: y.as_ptr(),
                        out: p,
                    },
                )
            };
        }
        Ok(())
    }

    /// `y = op(x, y)`; `y` has the shape of the result.
    ///
    /// # Errors
    /// [`KernelError::Parameter`] when `b` reads `y` with strides other than those of the dense result; otherwise as
    /// [`Kernels::binary`].
    pub fn binary_inplace_right(
        &self,
        op: Binary,
        b: &Broadcast,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        b.check(x.len(), y.len(), y.len())?;
        if !b.is_dense(&b.y) {
            return Err(KernelError::Parameter);
        }
        if !b.is_empty() {
            let p = y.as_mut_ptr();
            // SAFETY: checked above; each element is read before it is written, at the same place.
            unsafe {
                self.row(binary::ROWS)(
                    op,
                    b,
                    Operands {
                        x: x.as_ptr(),
                        y: p,
                        out: p,
                    },
                )
            };
        }
        Ok(())
    }
}
