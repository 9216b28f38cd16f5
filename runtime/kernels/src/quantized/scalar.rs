//! Plain Rust: the definition that every other body repeats bit for bit, and what machines without vectors run.
use super::blocks::{self, CHANNELS, PIXELS, Products};
use super::{GROUP, Requantize, Sum, Task, WIDTH, place};
use crate::gemm::PANEL;

/// `clamp(round_half_even(v), low - zero..=high - zero) + zero`; the lower bound of a NaN.
///
/// One float operation, which matters without an FPU: adding 1.5 * 2^23 rounds to an integer in the low bits, and the
/// bits of such sums are ordered as the sums are, out to infinity. A NaN's are above infinity's, or negative.
#[inline(always)]
fn bounded(v: f32, zero: i32, low: i32, high: i32) -> i32 {
    const SHIFT: f32 = 12_582_912.0;
    const BASE: i32 = SHIFT.to_bits() as i32;
    const INFINITY: i32 = f32::INFINITY.to_bits() as i32;
    let bits = (v + SHIFT).to_bits() as i32;
    if bits > BASE + (high - zero) {
        return if bits > INFINITY { low } else { high };
    }
    bits.max(BASE + (low - zero)) - BASE + zero
}

impl Requantize {
    /// The result of a sum, and of the residual's byte when there is one.
    #[inline(always)]
    pub(super) fn apply(&self, sum: i32, multiplier: f32, residual: Option<u8>) -> u8 {
        let q = bounded(sum as f32 * multiplier, self.zero, self.low, self.high);
        match residual {
            None => q as u8,
            Some(r) => self.sum.apply(q - self.zero, r),
        }
    }
}

impl Sum {
    #[inline(always)]
    fn apply(&self, q: i32, residual: u8) -> u8 {
        let r = if self.residual_signed {
            residual as i8 as i32
        } else {
            residual as i32
        };
        let v = q as f32 * self.own + (r - self.residual_zero) as f32 * self.other;
        bounded(v, self.zero, self.low, self.high) as u8
    }
}

/// An output row of a task: its image, its first input coordinates along depth and height, and where it lies.
#[derive(Clone, Copy)]
pub(super) struct Line {
    image: *const u8,
    z: i32,
    y: i32,
    pub(super) at: usize,
}

impl Task {
    pub(super) fn line(&self, row: usize) -> Line {
        let p = &self.p.conv;
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let (y, rest) = (row % p.output[1], row / p.output[1]);
        let (z, n) = (rest % p.output[0], rest / p.output[0]);
        Line {
            image: self.x.wrapping_add(n * image),
            z: (z * p.stride[0]) as i32 - p.pad_begin[0] as i32,
            y: (y * p.stride[1]) as i32 - p.pad_begin[1] as i32,
            at: (row - self.rows.0) * p.output[2] * p.out_channels,
        }
    }

    /// The input column of the first tap of the outputs at `x`.
    #[inline(always)]
    pub(super) fn column(&self, x: usize) -> i32 {
        (x * self.p.conv.stride[2]) as i32 - self.p.conv.pad_begin[2] as i32
    }

    /// The input row of the taps at `kz` and `ky` of a line; `None` in the padding.
    #[inline(always)]
    pub(super) fn input_row(&self, line: &Line, kz: usize, ky: usize) -> Option<*const u8> {
        let p = &self.p.conv;
        let z = line.z + (kz * p.dilation[0]) as i32;
        let y = line.y + (ky * p.dilation[1]) as i32;
        if z as u32 as usize >= p.input[0] || y as u32 as usize >= p.input[1] {
            return None;
        }
        let pixel = (z as usize * p.input[1] + y as usize) * p.input[2];
        Some(line.image.wrapping_add(pixel * p.in_channels))
    }
}

/// Requantises and stores channels from `first` at the position `at` of the task's outputs.
///
/// # Safety
/// The position and the channels are the task's, which passed its check.
#[inline(never)]
pub(super) unsafe fn finish(t: &Task, at: usize, first: usize, sums: &[i32]) {
    // Bytes that are stored may alias what is behind `t`, but not a copy.
    let (requantize, multiplier, residual) = (t.p.requantize, t.multiplier, t.residual);
    // SAFETY: the caller's contract.
    unsafe {
        let (multiplier, y) = (multiplier.add(first), t.y.add(at));
        if residual.is_null() {
            for (i, &sum) in sums.iter().enumerate() {
                *y.add(i) = requantize.apply(sum, *multiplier.add(i), None);
            }
        } else {
            for (i, &sum) in sums.iter().enumerate() {
                let residual = Some(*residual.add(at + i));
                *y.add(i) = requantize.apply(sum, *multiplier.add(i), residual);
            }
        }
    }
}

/// Byte `i` of `x`.
///
/// # Safety
/// It is valid.
#[inline(always)]
unsafe fn value<const SIGNED: bool>(x: *const u8, i: usize) -> i32 {
    // SAFETY: the caller's contract.
    let byte = unsafe { *x.add(i) };
    if SIGNED {
        byte as i8 as i32
    } else {
        byte as i32
    }
}

/// Keeps what is computed before apart from what is computed after. Machines with few registers need it: a compiler that
/// takes an unrolled loop apart into one chain of products for each sum keeps the operands in memory.
#[inline(always)]
fn in_order(s: &mut [i32; 4]) {
    #[cfg(any(target_arch = "arm", target_arch = "riscv32"))]
    // SAFETY: no instruction.
    unsafe {
        let [a, b, c, d] = s;
        core::arch::asm!(
            "/* {0} {1} {2} {3} */",
            inout(reg) * a,
            inout(reg) * b,
            inout(reg) * c,
            inout(reg) * d,
            options(nomem, nostack, preserves_flags)
        );
    }
    let _ = s;
}

pub(super) struct Plain;

impl Products for Plain {
    #[inline(always)]
    unsafe fn dense<const SIGNED: bool>(
        sums: &mut [[i32; PANEL]; PIXELS],
        columns: usize,
        x: [*const u8; PIXELS],
        w: *const i8,
        pair: usize,
        n: usize,
    ) {
        for column in (0..columns).step_by(2) {
            // SAFETY: the contract of the trait.
            unsafe {
                let [a, b] = sums;
                let (a, b) = (&mut a[column..column + 2], &mut b[column..column + 2]);
                products::<SIGNED>(a, b, x[0], x[1], w.add(column / 2 * pair), n);
            }
        }
    }

    #[inline(always)]
    unsafe fn depthwise<const SIGNED: bool>(
        sums: &mut [i32; CHANNELS],
        x: &[*const u8],
        w: *const i8,
        c: usize,
        n: usize,
    ) {
        // SAFETY: the contract of the trait.
        unsafe { channels::<SIGNED>(&mut sums[..n], x, 0, w, c) }
    }
}

/// Two pixels and two columns of a panel, in registers; a function of its own so that its loop has all of them.
///
/// # Safety
/// `x` and `y` are valid for `n` bytes, `w` for their groups.
#[inline(never)]
unsafe fn products<const SIGNED: bool>(
    a: &mut [i32],
    b: &mut [i32],
    mut x: *const u8,
    mut y: *const u8,
    mut w: *const i8,
    n: usize,
) {
    let mut s = [a[0], a[1], b[0], b[1]];
    // SAFETY: the caller's contract.
    unsafe {
        let mut step = |x: *const u8, y: *const u8, w: *const i8, k: usize| {
            let (x, y) = (value::<SIGNED>(x, k), value::<SIGNED>(y, k));
            let (w, v) = (*w.add(place(0, k)) as i32, *w.add(place(1, k)) as i32);
            s[0] = s[0].wrapping_add(x * w);
            s[1] = s[1].wrapping_add(x * v);
            s[2] = s[2].wrapping_add(y * w);
            s[3] = s[3].wrapping_add(y * v);
            in_order(&mut s);
        };
        for _ in 0..n / GROUP {
            step(x, y, w, 0);
            step(x, y, w, 1);
            step(x, y, w, 2);
            step(x, y, w, 3);
            x = x.add(GROUP);
            y = y.add(GROUP);
            w = w.wrapping_add(WIDTH * GROUP);
        }
        for k in 0..n % GROUP {
            step(x, y, w, k);
        }
    }
    a.copy_from_slice(&s[..2]);
    b.copy_from_slice(&s[2..]);
}

/// Adds the products of the channels from `from` over all taps `x`, whose weights are `c` bytes apart.
///
/// # Safety
/// The bytes are valid.
#[inline(never)]
pub(super) unsafe fn channels<const SIGNED: bool>(
    sums: &mut [i32],
    x: &[*const u8],
    from: usize,
    w: *const i8,
    c: usize,
) {
    let mut i = from;
    let mut blocks = sums[from..].chunks_exact_mut(4);
    for sums in &mut blocks {
        let mut s = [sums[0], sums[1], sums[2], sums[3]];
        let mut w = w.wrapping_add(i);
        for &x in x {
            let x = x.wrapping_add(i);
            for (j, s) in s.iter_mut().enumerate() {
                // SAFETY: the caller's contract.
                let product = unsafe { value::<SIGNED>(x, j) * *w.wrapping_add(j) as i32 };
                *s = s.wrapping_add(product);
            }
            w = w.wrapping_add(c);
            in_order(&mut s);
        }
        sums.copy_from_slice(&s);
        i += 4;
    }
    for sum in blocks.into_remainder() {
        for (tap, &x) in x.iter().enumerate() {
            // SAFETY: the caller's contract.
            let product = unsafe { value::<SIGNED>(x, i) * *w.wrapping_add(tap * c + i) as i32 };
            *sum = sum.wrapping_add(product);
        }
        i += 1;
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`].
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            blocks::dense::<Plain, true>(t);
        } else {
            blocks::dense::<Plain, false>(t);
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution.
pub(super) unsafe fn depthwise(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            blocks::depthwise::<Plain, true>(t);
        } else {
            blocks::depthwise::<Plain, false>(t);
        }
    }
}
