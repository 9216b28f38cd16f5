//! Optimiser steps in one pass over the parameters.
use crate::error::{KernelError, exactly};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;

/// Adam with decoupled weight decay (Loshchilov and Hutter, 2019), one step.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub rate: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root, against division by zero.
    pub epsilon: f32,
    /// Weight decay, times the learning rate.
    pub decay: f32,
    /// The number of this step, from 1 on: corrects the bias of the means.
    pub step: u32,
    /// Factor of the gradients (clipping, accumulation).
    pub gradient_scale: f32,
}

/// Stochastic gradient descent with momentum, as most frameworks write it: `v = momentum v + g`, `w -= rate v`.
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    /// Learning rate of this step.
    pub rate: f32,
    /// Decay of the velocity; 0 is plain gradient descent.
    pub momentum: f32,
    /// Whether to step along `g + momentum v` (Nesterov).
    pub nesterov: bool,
    /// Weight decay, added to the gradient.
    pub decay: f32,
    /// Factor of the gradients (clipping, accumulation).
    pub gradient_scale: f32,
}

kernel_rows!(ADAMW = adamw(p: &AdamW, n: usize, w: *mut f32, g: *const f32, mean: *mut f32, square: *mut f32));
kernel_rows!(MOMENTUM = momentum(p: &Momentum, n: usize, w: *mut f32, g: *const f32, velocity: *mut f32));

impl Kernels {
    /// One step of [`AdamW`] on `weights`; `mean` and `square` carry its state and begin as zeros.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the slices differ in length, [`KernelError::Parameter`] for step 0.
    pub fn adamw(
        &self,
        p: &AdamW,
        weights: &mut [f32],
        gradient: &[f32],
        mean: &mut [f32],
        square: &mut [f32],
    ) -> Result<(), KernelError> {
        let n = weights.len();
        exactly(gradient.len(), n)?;
        exactly(mean.len(), n)?;
        exactly(square.len(), n)?;
        if p.step == 0 {
            return Err(KernelError::Parameter);
        }
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe {
            self.row(ADAMW)(
                p,
                n,
                weights.as_mut_ptr(),
                gradient.as_ptr(),
                mean.as_mut_ptr(),
                square.as_mut_ptr(),
            )
        };
        Ok(())
    }

    /// One step of [`Momentum`] on `weights`; `velocity` carries its state and begins as zeros.
    ///
    /// # Errors
    /// [`KernelError::Length`] when the slices differ in length.
    pub fn momentum(
        &self,
        p: &Momentum,
        weights: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
    ) -> Result<(), KernelError> {
        let n = weights.len();
        exactly(gradient.len(), n)?;
        exactly(velocity.len(), n)?;
        // SAFETY: checked above; the row was chosen for this machine.
        unsafe {
            self.row(MOMENTUM)(
                p,
                n,
                weights.as_mut_ptr(),
                gradient.as_ptr(),
                velocity.as_mut_ptr(),
            )
        };
        Ok(())
    }
}

#[inline(always)]
unsafe fn adamw<I: Isa>(
    p: &AdamW,
    n: usize,
    w: *mut f32,
    g: *const f32,
    mean: *mut f32,
    square: *mut f32,
) {
    // SAFETY: the caller's slices have n elements.
    unsafe {
        let step = p.step as f32;
        let correct1 = 1.0 - libm::powf(p.beta1, step);
        let correct2 = libm::sqrtf(1.0 - libm::powf(p.beta2, step));
        let keep = I::splat(1.0 - p.rate * p.decay);
        // rate m / c1 / (sqrt(v) / c2 + epsilon)
        let rate = I::splat(p.rate / correct1 * correct2);
        let epsilon = I::splat(p.epsilon * correct2);
        let (b1, b2) = (I::splat(p.beta1), I::splat(p.beta2));
        let (o1, o2) = (I::splat(1.0 - p.beta1), I::splat(1.0 - p.beta2));
        let factor = I::splat(p.gradient_scale);
        super::depthwise::by_vector!(I, n, |at, load, store| {
            let g = I::mul(load!(g.add(at)), factor);
            let m = I::fma(b1, load!(mean.add(at)), I::mul(o1, g));
            let v = I::fma(b2, load!(square.add(at)), I::mul(I::mul(o2, g), g));
            store!(mean.add(at), m);
            store!(square.add(at), v);
            let change = I::div(I::mul(rate, m), I::add(I::sqrt(v), epsilon));
            store!(w.add(at), I::sub(I::mul(load!(w.add(at)), keep), change));
        });
    }
}

#[inline(always)]
unsafe fn momentum<I: Isa>(p: &Momentum, n: usize, w: *mut f32, g: *const f32, velocity: *mut f32) {
    // SAFETY: the caller's slices have n elements.
    unsafe {
        let (decay, factor) = (I::splat(p.decay), I::splat(p.gradient_scale));
        let (keep, rate) = (I::splat(p.momentum), I::splat(p.rate));
        super::depthwise::by_vector!(I, n, |at, load, store| {
            let w0 = load!(w.add(at));
            let g = I::fma(w0, decay, I::mul(load!(g.add(at)), factor));
            let v = I::fma(keep, load!(velocity.add(at)), g);
            store!(velocity.add(at), v);
            let along = if p.nesterov { I::fma(keep, v, g) } else { v };
            store!(w.add(at), I::sub(w0, I::mul(rate, along)));
        });
    }
}
