//! Depthwise convolutions: blocks of channels whose sums stay in registers over all taps.
#![allow(clippy::extra_unused_type_parameters)]
use super::{Axis, Task};
use crate::isa::{Isa, kernel_rows};

/// Channels at a time.
const BLOCK: usize = 16;

kernel_rows!(pub(super) ROWS = body(t: &Task));

/// # Safety
/// `t` passed its check for a depthwise convolution; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    let p = &t.p;
    let c = p.out_channels;
    for row in t.rows.0..t.rows.1 {
        let (image, [z, y]) = t.line(row);
        for x in 0..p.output[2] {
            let axes = [z, y, t.axis(2, x)];
            let at = ((row - t.rows.0) * p.output[2] + x) * c;
            // SAFETY: channels, and the taps inside of the input, are those that the check proved.
            unsafe {
                let mut first = 0;
                while first + BLOCK <= c {
                    block(t, image, &axes, at, first, BLOCK);
                    first += BLOCK;
                }
                if first < c {
                    block(t, image, &axes, at, first, c - first);
                }
            }
        }
    }
}

/// The sums of `n` channels from `first` on, at most [`BLOCK`]; a constant `n` makes vectors of them.
///
/// # Safety
/// Channels exist, and the taps lie inside of the input.
#[inline(always)]
unsafe fn block(t: &Task, image: *const i16, axes: &[Axis; 3], at: usize, first: usize, n: usize) {
    let p = &t.p;
    let c = p.out_channels;
    let place = |d: usize, k: usize| (axes[d].first + (k * p.dilation[d]) as isize) as usize;
    let mut sums = [0i32; BLOCK];
    // SAFETY: the caller's contract.
    unsafe {
        core::ptr::copy_nonoverlapping(t.bias.add(first), sums.as_mut_ptr(), n);
        for kz in axes[0].taps.0..axes[0].taps.1 {
            for ky in axes[1].taps.0..axes[1].taps.1 {
                let row = (place(0, kz) * p.input[1] + place(1, ky)) * p.input[2];
                let tap = (kz * p.kernel[1] + ky) * p.kernel[2];
                for kx in axes[2].taps.0..axes[2].taps.1 {
                    let x = image.add((row + place(2, kx)) * c + first);
                    let w = t.w.add((tap + kx) * c + first);
                    for (i, sum) in sums[..n].iter_mut().enumerate() {
                        let product = i32::from(*x.add(i)) * i32::from(*w.add(i));
                        *sum = sum.wrapping_add(product);
                    }
                }
            }
        }
        t.store(at + first, first, &sums[..n]);
    }
}

/// With Arm's DSP extension: four channels at a time.
///
/// # Safety
/// `t` passed its check for a depthwise convolution; the target has the extension.
#[cfg(arm_dsp)]
pub(super) unsafe fn dsp(t: &Task) {
    let p = &t.p;
    let c = p.out_channels;
    let whole = c / 4 * 4;
    for row in t.rows.0..t.rows.1 {
        let (image, [z, y]) = t.line(row);
        for x in 0..p.output[2] {
            let axes = [z, y, t.axis(2, x)];
            let at = ((row - t.rows.0) * p.output[2] + x) * c;
            let place =
                |d: usize, k: usize| (axes[d].first + (k * p.dilation[d]) as isize) as usize;
            let (kx, end) = axes[2].taps;
            // SAFETY: channels, and the taps inside of the input, are those that the check proved.
            unsafe {
                for first in (0..whole).step_by(4) {
                    let mut sums = [0i32; 4];
                    core::ptr::copy_nonoverlapping(t.bias.add(first), sums.as_mut_ptr(), 4);
                    for kz in axes[0].taps.0..axes[0].taps.1 {
                        for ky in axes[1].taps.0..axes[1].taps.1 {
                            if kx == end {
                                continue;
                            }
                            let row = (place(0, kz) * p.input[1] + place(1, ky)) * p.input[2];
                            let tap = (kz * p.kernel[1] + ky) * p.kernel[2] + kx;
                            let x = image.add((row + place(2, kx)) * c + first);
                            let w = t.w.add(tap * c + first);
                            super::dsp::four(&mut sums, x, p.dilation[2] * c, w, c, end - kx);
                        }
                    }
                    t.store(at + first, first, &sums);
                }
                if whole < c {
                    block(t, image, &axes, at, whole, c - whole);
                }
            }
        }
    }
}
