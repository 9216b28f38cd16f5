//! A list of micro-steps applied block by block, so that intermediate results never leave the first-level cache.
use super::binary::{Broadcast, Operands};
use super::{Binary, Unary};
use crate::error::{KernelError, exactly};
use crate::kernels::Kernels;

/// One step of a chain; the running value is `v`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step<'a> {
    /// v = op(v)
    Unary(Unary),
    /// v = op(v, s)
    Scalar(Binary, f32),
    /// v = op(s, v)
    ScalarLeft(Binary, f32),
    /// v = op(v, t\[i\]); `t` is as long as the tensor.
    Tensor(Binary, &'a [f32]),
    /// v = op(t\[i\], v)
    TensorLeft(Binary, &'a [f32]),
    /// v = op(v, t\[i mod len\]): one value per channel of a channels-last tensor.
    Channel(Binary, &'a [f32]),
}

/// Elements of a block.
const BLOCK: usize = 512;

impl Kernels {
    /// `y = steps(x)`, block by block.
    ///
    /// # Errors
    /// [`KernelError::Length`] when `y` or an operand does not fit `x`.
    pub fn chain(&self, steps: &[Step<'_>], x: &[f32], y: &mut [f32]) -> Result<(), KernelError> {
        exactly(y.len(), x.len())?;
        check(steps, x.len())?;
        for (i, (from, to)) in x.chunks(BLOCK).zip(y.chunks_mut(BLOCK)).enumerate() {
            to.copy_from_slice(from);
            self.chain_block(steps, to, i * BLOCK);
        }
        Ok(())
    }

    /// `y = steps(y)`, block by block.
    ///
    /// # Errors
    /// [`KernelError::Length`] when an operand does not fit `y`.
    pub fn chain_inplace(&self, steps: &[Step<'_>], y: &mut [f32]) -> Result<(), KernelError> {
        check(steps, y.len())?;
        for (i, to) in y.chunks_mut(BLOCK).enumerate() {
            self.chain_block(steps, to, i * BLOCK);
        }
        Ok(())
    }

    fn chain_block(&self, steps: &[Step<'_>], v: &mut [f32], at: usize) {
        let n = v.len();
        for step in steps {
            match *step {
                Step::Unary(op) => self.unary_inplace(op, v),
                Step::Scalar(op, s) => self.combine(op, v, &[s], false),
                Step::ScalarLeft(op, s) => self.combine(op, v, &[s], true),
                Step::Tensor(op, t) => self.combine(op, v, &t[at..at + n], false),
                Step::TensorLeft(op, t) => self.combine(op, v, &t[at..at + n], true),
                Step::Channel(op, t) => {
                    let mut i = 0;
                    while i < n {
                        let c = (at + i) % t.len();
                        let run = (t.len() - c).min(n - i);
                        self.combine(op, &mut v[i..i + run], &t[c..c + run], false);
                        i += run;
                    }
                }
            }
        }
    }

    /// `v = op(v, s)`, or `op(s, v)` when `left`; `s` is as long as `v` or a single value.
    fn combine(&self, op: Binary, v: &mut [f32], s: &[f32], left: bool) {
        let n = v.len();
        let stride = usize::from(s.len() == n);
        assert!(
            n > 0 && !s.is_empty() && (s.len() == 1 || stride == 1),
            "operand of a chain step"
        );
        let mut b = Broadcast {
            shape: [1; 8],
            x: [0; 8],
            y: [0; 8],
            rank: 1,
        };
        b.shape[0] = n;
        (b.x[0], b.y[0]) = if left { (stride, 1) } else { (1, stride) };
        let out = v.as_mut_ptr();
        let (x, y) = if left {
            (s.as_ptr(), out.cast_const())
        } else {
            (out.cast_const(), s.as_ptr())
        };
        // SAFETY: the operand covers the run as asserted; the output aliases `v` element for element.
        unsafe { self.row(super::binary::ROWS)(op, &b, Operands { x, y, out }) }
    }
}

fn check(steps: &[Step<'_>], n: usize) -> Result<(), KernelError> {
    for step in steps {
        match *step {
            Step::Tensor(_, t) | Step::TensorLeft(_, t) => exactly(t.len(), n)?,
            Step::Channel(_, []) => return Err(KernelError::Length),
            _ => {}
        }
    }
    Ok(())
}
