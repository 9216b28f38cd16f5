//! Softmax and its logarithm along an axis, with the maximum subtracted.
use crate::error::{KernelError, exactly, product};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;
use crate::math;

/// A validated softmax of `[outer, n, inner]` along the middle axis; `x` may equal `y`.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub x: *const f32,
    pub y: *mut f32,
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
    pub log: bool,
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));

/// # Safety
/// The tensors hold `outer * n * inner` elements; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: indices stay inside the tensor.
    unsafe {
        if t.n == 0 || t.inner == 0 {
            return;
        }
        for o in 0..t.outer {
            let at = o * t.n * t.inner;
            if t.inner == 1 {
                row::<I>(t.x.add(at), t.y.add(at), t.n, t.log);
            } else {
                let mut i = 0;
                while i < t.inner {
                    let lanes = (t.inner - i).min(I::LANES);
                    column::<I>(t.x.add(at + i), t.y.add(at + i), t.n, t.inner, lanes, t.log);
                    i += lanes;
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn row<I: Isa>(x: *const f32, y: *mut f32, n: usize, log: bool) {
    // SAFETY: n elements are valid.
    unsafe {
        let full = n / I::LANES * I::LANES;
        let mut m = f32::NEG_INFINITY;
        if full > 0 {
            let mut v = I::load(x);
            let mut i = I::LANES;
            while i < full {
                v = I::max(I::load(x.add(i)), v);
                i += I::LANES;
            }
            m = I::reduce_max(v);
        }
        for i in full..n {
            let v = *x.add(i);
            if v > m {
                m = v;
            }
        }
        let mv = I::splat(m);
        let mut sv = I::splat(0.0);
        let mut i = 0;
        while i < full {
            let e = math::exp::<I>(I::sub(I::load(x.add(i)), mv));
            sv = I::add(sv, e);
            if !log {
                I::store(y.add(i), e);
            }
            i += I::LANES;
        }
        let mut s = I::sum(sv);
        if i < n {
            let e = math::exp::<I>(I::sub(I::load_partial(x.add(i), n - i), mv));
            let mut t = [0.0f32; 16];
            I::store(t.as_mut_ptr(), e);
            for &v in &t[..n - i] {
                s += v;
            }
            if !log {
                I::store_partial(y.add(i), e, n - i);
            }
        }
        // x - m first: m + log(s) would lose the digits of log(s) beside a large m.
        let (shift, a) = if log {
            (mv, I::splat(libm::logf(s)))
        } else {
            (I::splat(0.0), I::splat(1.0 / s))
        };
        let from = if log { x } else { y.cast_const() };
        let mut i = 0;
        while i < n {
            let k = n - i;
            let v = if k < I::LANES {
                I::load_partial(from.add(i), k)
            } else {
                I::load(from.add(i))
            };
            let r = if log {
                I::sub(I::sub(v, shift), a)
            } else {
                I::mul(v, a)
            };
            if k < I::LANES {
                I::store_partial(y.add(i), r, k)
            } else {
                I::store(y.add(i), r)
            }
            i += I::LANES;
        }
    }
}

/// `lanes` neighbouring columns at once, rows `stride` apart.
#[inline(always)]
unsafe fn column<I: Isa>(
    x: *const f32,
    y: *mut f32,
    n: usize,
    stride: usize,
    lanes: usize,
    log: bool,
) {
    // SAFETY: `lanes` elements of each of the n rows are valid.
    unsafe {
        macro_rules! get {
            ($p:expr) => {
                if lanes == I::LANES {
                    I::load($p)
                } else {
                    I::load_partial($p, lanes)
                }
            };
        }
        macro_rules! put {
            ($p:expr, $v:expr) => {
                if lanes == I::LANES {
                    I::store($p, $v)
                } else {
                    I::store_partial($p, $v, lanes)
                }
            };
        }
        let mut m = get!(x);
        for k in 1..n {
            m = I::max(get!(x.add(k * stride)), m);
        }
        let mut s = I::splat(0.0);
        for k in 0..n {
            let e = math::exp::<I>(I::sub(get!(x.add(k * stride)), m));
            s = I::add(s, e);
            if !log {
                put!(y.add(k * stride), e);
            }
        }
        if log {
            let l = math::log::<I>(s);
            for k in 0..n {
                let v = I::sub(I::sub(get!(x.add(k * stride)), m), l);
                put!(y.add(k * stride), v);
            }
        } else {
            let a = I::div(I::splat(1.0), s);
            for k in 0..n {
                let v = I::mul(get!(y.add(k * stride)), a);
                put!(y.add(k * stride), v);
            }
        }
    }
}

impl Kernels {
    /// Softmax of `[outer, n, inner]` along the middle axis (`inner == 1` is the last axis); its logarithm when `log`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when a slice does not hold exactly `outer * n * inner` elements.
    pub fn softmax(
        &self,
        outer: usize,
        n: usize,
        inner: usize,
        log: bool,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let len = product(&[outer, n, inner])?;
        exactly(x.len(), len)?;
        exactly(y.len(), len)?;
        // SAFETY: checked above.
        unsafe {
            self.row(ROWS)(&Task {
                x: x.as_ptr(),
                y: y.as_mut_ptr(),
                outer,
                n,
                inner,
                log,
            })
        };
        Ok(())
    }

    /// As [`Kernels::softmax`], in place.
    ///
    /// # Errors
    /// [`KernelError::Length`] when `y` does not hold exactly `outer * n * inner` elements.
    pub fn softmax_inplace(
        &self,
        outer: usize,
        n: usize,
        inner: usize,
        log: bool,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        exactly(y.len(), product(&[outer, n, inner])?)?;
        let p = y.as_mut_ptr();
        // SAFETY: checked above; every pass reads an element before it writes it.
        unsafe {
            self.row(ROWS)(&Task {
                x: p,
                y: p,
                outer,
                n,
                inner,
                log,
            })
        };
        Ok(())
    }
}
