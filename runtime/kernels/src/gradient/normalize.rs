//! Batch normalisation (Ioffe and Szegedy, 2015) with the activation that follows it, and its gradient.
use super::depthwise::by_vector;
use crate::activation::Activation;
use crate::activation::hard_swish;
use crate::error::{KernelError, at_least, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// y = act(scale x + shift) by channel, `scale = gamma / deviation`, `shift = beta - mean scale`. Each slice has one
/// element a channel.
#[derive(Clone, Copy, Debug)]
pub struct Normalize<'a> {
    /// Mean of the batch.
    pub mean: &'a [f32],
    /// Reciprocal of the standard deviation of the batch.
    pub inverse_deviation: &'a [f32],
    /// Factor.
    pub scale: &'a [f32],
    /// Summand.
    pub shift: &'a [f32],
    /// `None`, `Relu`, `Clip` or `HardSwish`.
    pub activation: Activation,
}

impl Normalize<'_> {
    fn check(&self, c: usize) -> Result<Slopes, KernelError> {
        for slice in [self.mean, self.inverse_deviation, self.scale, self.shift] {
            exactly(slice.len(), c)?;
        }
        Slopes::of(self.activation)
    }
}

/// The activations that have a gradient here.
#[derive(Clone, Copy)]
enum Slopes {
    /// 1 between the bounds, 0 elsewhere.
    Clamp(f32, f32),
    HardSwish,
}

impl Slopes {
    fn of(activation: Activation) -> Result<Self, KernelError> {
        match (activation.clamp(), activation) {
            (Some((lo, hi)), _) => Ok(Self::Clamp(lo, hi)),
            (None, Activation::HardSwish) => Ok(Self::HardSwish),
            _ => Err(KernelError::Parameter),
        }
    }
}

kernel_rows!(MOMENTS = moments(x: *const f32, n: usize, c: usize, about: *const f32, sums: *mut f32, squares: *mut f32));
kernel_rows!(AFFINE = affine(x: *const f32, n: usize, c: usize, scale: *const f32, shift: *const f32, slopes: Slopes, y: *mut f32));
kernel_rows!(SUMS = batch_sums(t: &Task, sums: *mut f32, products: *mut f32));
kernel_rows!(GRADIENT = gradient(t: &Task, by_x: *const f32, constant: *const f32, dx: *mut f32));

struct Task {
    x: *const f32,
    dy: *const f32,
    n: usize,
    c: usize,
    mean: *const f32,
    inverse: *const f32,
    scale: *const f32,
    shift: *const f32,
    slopes: Slopes,
}

impl Kernels {
    /// Adds, by channel, the elements of `x` `[pixels][C]` less `about` to `sums`, and their squares to `squares`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the slices do not agree.
    pub fn channel_moments(
        &self,
        x: &[f32],
        about: &[f32],
        sums: &mut [f32],
        squares: &mut [f32],
    ) -> Result<(), KernelError> {
        let c = about.len();
        let n = pixels(x.len(), c)?;
        exactly(sums.len(), c)?;
        exactly(squares.len(), c)?;
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe {
            self.row(MOMENTS)(
                x.as_ptr(),
                n,
                c,
                about.as_ptr(),
                sums.as_mut_ptr(),
                squares.as_mut_ptr(),
            )
        };
        Ok(())
    }

    /// `y = act(scale x + shift)` for `x` `[pixels][C]`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the slices do not agree, [`KernelError::Parameter`] for an activation that
    /// [`Normalize`] does not have.
    pub fn channel_affine(
        &self,
        x: &[f32],
        scale: &[f32],
        shift: &[f32],
        activation: Activation,
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        let c = scale.len();
        let n = pixels(x.len(), c)?;
        exactly(shift.len(), c)?;
        exactly(y.len(), x.len())?;
        let slopes = Slopes::of(activation)?;
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe {
            self.row(AFFINE)(
                x.as_ptr(),
                n,
                c,
                scale.as_ptr(),
                shift.as_ptr(),
                slopes,
                y.as_mut_ptr(),
            )
        };
        Ok(())
    }

    /// Adds, by channel, `g = dy act'(z)` to `sums` and `g (x - mean) / deviation` to `products`: the gradients with
    /// respect to beta and gamma.
    ///
    /// # Errors
    /// As [`Kernels::channel_affine`].
    pub fn normalize_sums(
        &self,
        p: &Normalize,
        x: &[f32],
        dy: &[f32],
        sums: &mut [f32],
        products: &mut [f32],
    ) -> Result<(), KernelError> {
        let t = task(p, x, dy)?;
        exactly(sums.len(), t.c)?;
        exactly(products.len(), t.c)?;
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe { self.row(SUMS)(&t, sums.as_mut_ptr(), products.as_mut_ptr()) };
        Ok(())
    }

    /// Turns `x` into `scale g + by_x x + constant`, with `g = dy act'(z)`: the gradient with respect to the input, where
    /// the caller makes the two coefficients by channel from the sums of [`Kernels::normalize_sums`].
    ///
    /// # Errors
    /// As [`Kernels::channel_affine`].
    pub fn normalize_gradient(
        &self,
        p: &Normalize,
        x: &mut [f32],
        dy: &[f32],
        by_x: &[f32],
        constant: &[f32],
    ) -> Result<(), KernelError> {
        let t = task(p, x, dy)?;
        at_least(by_x.len(), t.c)?;
        at_least(constant.len(), t.c)?;
        // SAFETY: checked above; `x` is exclusive; the row was chosen for this machine.
        unsafe {
            self.row(GRADIENT)(&t, by_x.as_ptr(), constant.as_ptr(), x.as_mut_ptr());
        }
        Ok(())
    }
}

fn pixels(elements: usize, c: usize) -> Result<usize, KernelError> {
    match elements.checked_rem(c) {
        Some(0) => Ok(elements / c),
        _ => Err(KernelError::Length),
    }
}

fn task(p: &Normalize, x: &[f32], dy: &[f32]) -> Result<Task, KernelError> {
    let c = p.scale.len();
    let slopes = p.check(c)?;
    let n = pixels(x.len(), c)?;
    exactly(dy.len(), x.len())?;
    Ok(Task {
        x: x.as_ptr(),
        dy: dy.as_ptr(),
        n,
        c,
        mean: p.mean.as_ptr(),
        inverse: p.inverse_deviation.as_ptr(),
        scale: p.scale.as_ptr(),
        shift: p.shift.as_ptr(),
        slopes,
    })
}

/// Pixels whose sums stay in registers; a channel's elements are a pixel apart, so a block should fit the cache.
const BLOCK: usize = 64;

#[inline(always)]
unsafe fn moments<I: Isa>(
    x: *const f32,
    n: usize,
    c: usize,
    about: *const f32,
    sums: *mut f32,
    squares: *mut f32,
) {
    // SAFETY: the caller's slices have n pixels of c channels, or c elements.
    unsafe {
        let mut first = 0;
        while first < n {
            let block = (n - first).min(BLOCK);
            by_vector!(I, c, |at, load, store| {
                let about = load!(about.add(at));
                let (mut s, mut q) = (I::splat(0.0), I::splat(0.0));
                let mut p = x.add(first * c + at);
                for _ in 0..block {
                    let d = I::sub(load!(p), about);
                    s = I::add(s, d);
                    q = I::fma(d, d, q);
                    p = p.wrapping_add(c);
                }
                store!(sums.add(at), I::add(load!(sums.add(at)), s));
                store!(squares.add(at), I::add(load!(squares.add(at)), q));
            });
            first += block;
        }
    }
}

#[inline(always)]
unsafe fn affine<I: Isa>(
    x: *const f32,
    n: usize,
    c: usize,
    scale: *const f32,
    shift: *const f32,
    slopes: Slopes,
    y: *mut f32,
) {
    // SAFETY: the caller's slices have n pixels of c channels, or c elements.
    unsafe {
        macro_rules! all {
            (|$z:ident| $f:expr) => {
                for i in 0..n {
                    let (x, y) = (x.add(i * c), y.add(i * c));
                    by_vector!(I, c, |at, load, store| {
                        let $z =
                            I::fma(load!(x.add(at)), load!(scale.add(at)), load!(shift.add(at)));
                        store!(y.add(at), $f);
                    });
                }
            };
        }
        match slopes {
            Slopes::Clamp(lo, hi) => {
                let (lo, hi) = (I::splat(lo), I::splat(hi));
                all!(|z| I::min(hi, I::max(lo, z)))
            }
            Slopes::HardSwish => all!(|z| hard_swish::<I>(z)),
        }
    }
}

/// `dy act'(z)`.
#[inline(always)]
unsafe fn through<I: Isa>(slopes: Slopes, z: I::V, dy: I::V) -> I::V {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let zero = I::splat(0.0);
        match slopes {
            Slopes::Clamp(lo, hi) => {
                let above = I::select_lt(I::splat(lo), z, dy, zero);
                I::select_lt(z, I::splat(hi), above, zero)
            }
            Slopes::HardSwish => {
                let slope = I::fma(z, I::splat(1.0 / 3.0), I::splat(0.5));
                let slope = I::select_lt(z, I::splat(3.0), slope, I::splat(1.0));
                let slope = I::select_lt(I::splat(-3.0), z, slope, zero);
                I::mul(dy, slope)
            }
        }
    }
}

#[inline(always)]
unsafe fn batch_sums<I: Isa>(t: &Task, sums: *mut f32, products: *mut f32) {
    // SAFETY: as in `moments`.
    unsafe {
        let c = t.c;
        let slopes = t.slopes;
        let mut first = 0;
        while first < t.n {
            let block = (t.n - first).min(BLOCK);
            by_vector!(I, c, |at, load, store| {
                let (mean, inverse) = (load!(t.mean.add(at)), load!(t.inverse.add(at)));
                let (scale, shift) = (load!(t.scale.add(at)), load!(t.shift.add(at)));
                let (mut s, mut q) = (I::splat(0.0), I::splat(0.0));
                let (mut x, mut dy) = (t.x.add(first * c + at), t.dy.add(first * c + at));
                for _ in 0..block {
                    let v = load!(x);
                    let g = through::<I>(slopes, I::fma(v, scale, shift), load!(dy));
                    s = I::add(s, g);
                    q = I::fma(g, I::mul(I::sub(v, mean), inverse), q);
                    x = x.wrapping_add(c);
                    dy = dy.wrapping_add(c);
                }
                store!(sums.add(at), I::add(load!(sums.add(at)), s));
                store!(products.add(at), I::add(load!(products.add(at)), q));
            });
            first += block;
        }
    }
}

/// `dx` holds the input and takes its gradient; `t.x` is not read.
#[inline(always)]
unsafe fn gradient<I: Isa>(t: &Task, by_x: *const f32, constant: *const f32, dx: *mut f32) {
    // SAFETY: as in `affine`.
    unsafe {
        let c = t.c;
        let slopes = t.slopes;
        for i in 0..t.n {
            let (dy, dx) = (t.dy.add(i * c), dx.add(i * c));
            by_vector!(I, c, |at, load, store| {
                let v = load!(dx.add(at));
                let scale = load!(t.scale.add(at));
                let z = I::fma(v, scale, load!(t.shift.add(at)));
                let g = through::<I>(slopes, z, load!(dy.add(at)));
                let rest = I::fma(v, load!(by_x.add(at)), load!(constant.add(at)));
                store!(dx.add(at), I::fma(g, scale, rest));
            });
        }
    }
}
