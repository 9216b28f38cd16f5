//! Layer and root-mean-square normalisation of rows (Ba et al. 2016; Zhang and Sennrich 2019).
use crate::error::{KernelError, at_least, exactly, product};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// A validated normalisation of `rows` rows of `n`; `x` may equal `y`.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub x: *const f32,
    pub y: *mut f32,
    pub rows: usize,
    pub n: usize,
    pub gamma: *const f32,
    pub beta: *const f32,
    pub epsilon: f32,
    /// Subtract the mean.
    pub center: bool,
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));

/// # Safety
/// The tensors hold `rows * n` elements, `gamma` and `beta` `n` where given; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: indices stay inside the rows.
    unsafe {
        let n = t.n;
        let full = n / I::LANES * I::LANES;
        for r in 0..t.rows {
            let x = t.x.add(r * n);
            let y = t.y.add(r * n);
            let mut mean = 0.0;
            if t.center {
                let mut s = I::splat(0.0);
                let mut i = 0;
                while i < full {
                    s = I::add(s, I::load(x.add(i)));
                    i += I::LANES;
                }
                if i < n {
                    s = I::add(s, I::load_partial(x.add(i), n - i));
                }
                mean = I::sum(s) / n as f32;
            }
            let mv = I::splat(mean);
            let mut s = I::splat(0.0);
            let mut i = 0;
            while i < full {
                let d = I::sub(I::load(x.add(i)), mv);
                s = I::fma(d, d, s);
                i += I::LANES;
            }
            let mut sq = I::sum(s);
            for i in full..n {
                let d = *x.add(i) - mean;
                sq += d * d;
            }
            let sv = I::splat(1.0 / libm::sqrtf(sq / n as f32 + t.epsilon));
            let mut i = 0;
            while i < n {
                let k = n - i;
                let part = k < I::LANES;
                macro_rules! get {
                    ($p:expr) => {
                        if part {
                            I::load_partial($p.add(i), k)
                        } else {
                            I::load($p.add(i))
                        }
                    };
                }
                let mut v = I::mul(I::sub(get!(x), mv), sv);
                if !t.gamma.is_null() {
                    v = I::mul(v, get!(t.gamma));
                }
                if !t.beta.is_null() {
                    v = I::add(v, get!(t.beta));
                }
                if part {
                    I::store_partial(y.add(i), v, k)
                } else {
                    I::store(y.add(i), v)
                }
                i += I::LANES;
            }
        }
    }
}

fn check(
    rows: usize,
    n: usize,
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    len: usize,
) -> Result<(), KernelError> {
    exactly(len, product(&[rows, n])?)?;
    gamma.map_or(Ok(()), |g| at_least(g.len(), n))?;
    beta.map_or(Ok(()), |b| at_least(b.len(), n))
}

fn ptr(s: Option<&[f32]>) -> *const f32 {
    s.map_or(core::ptr::null(), <[f32]>::as_ptr)
}

impl Kernels {
    /// Layer normalisation of `rows` rows of `n`: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when a slice does not fit.
    pub fn layer_norm(
        &self,
        rows: usize,
        n: usize,
        epsilon: f32,
        gamma: Option<&[f32]>,
        beta: Option<&[f32]>,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        check(rows, n, gamma, beta, x.len())?;
        exactly(y.len(), x.len())?;
        let t = Task {
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            rows,
            n,
            gamma: ptr(gamma),
            beta: ptr(beta),
            epsilon,
            center: true,
        };
        // SAFETY: checked above.
        unsafe { self.row(ROWS)(&t) };
        Ok(())
    }

    /// As [`Kernels::layer_norm`], in place.
    ///
    /// # Errors
    /// [`KernelError::Length`] when a slice does not fit.
    pub fn layer_norm_inplace(
        &self,
        rows: usize,
        n: usize,
        epsilon: f32,
        gamma: Option<&[f32]>,
        beta: Option<&[f32]>,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        check(rows, n, gamma, beta, y.len())?;
        let p = y.as_mut_ptr();
        let t = Task {
            x: p,
            y: p,
            rows,
            n,
            gamma: ptr(gamma),
            beta: ptr(beta),
            epsilon,
            center: true,
        };
        // SAFETY: checked above; every pass reads an element before it writes it.
        unsafe { self.row(ROWS)(&t) };
        Ok(())
    }

    /// Root-mean-square normalisation of `rows` rows of `n`: `x / sqrt(mean(x^2) + epsilon) * gamma`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when a slice does not fit.
    pub fn rms_norm(
        &self,
        rows: usize,
        n: usize,
        epsilon: f32,
        gamma: Option<&[f32]>,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        check(rows, n, gamma, None, x.len())?;
        exactly(y.len(), x.len())?;
        let t = Task {
            x: x.as_ptr(),
            y: y.as_mut_ptr(),
            rows,
            n,
            gamma: ptr(gamma),
            beta: core::ptr::null(),
            epsilon,
            center: false,
        };
        // SAFETY: checked above.
        unsafe { self.row(ROWS)(&t) };
        Ok(())
    }
}
