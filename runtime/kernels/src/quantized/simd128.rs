//! WebAssembly simd128: `i32x4_dot_i16x8` adds pairs of products of 16-bit lanes, without rounding or saturation.
//!
//! The relaxed dot products of bytes differ from engine to engine where a byte is negative, so they are not used.
use super::blocks::{self, CHANNELS, PIXELS, Products};
use super::scalar::{channels, finish};
use super::{GROUP, Task};
use crate::gemm::PANEL;
use core::arch::wasm32::*;

pub(super) struct Simd128;

/// Eight bytes as 16-bit lanes.
///
/// # Safety
/// They are valid.
#[inline(always)]
unsafe fn wide<const SIGNED: bool>(x: *const u8) -> v128 {
    // SAFETY: the caller's contract.
    unsafe {
        if SIGNED {
            i16x8_load_extend_i8x8(x.cast())
        } else {
            i16x8_load_extend_u8x8(x)
        }
    }
}

/// The 16-bit lanes of a word's bytes, twice.
#[inline(always)]
fn twice<const SIGNED: bool>(word: u32) -> v128 {
    let bytes = u32x4_splat(word);
    if SIGNED {
        i16x8_extend_low_i8x16(bytes)
    } else {
        i16x8_extend_low_u8x16(bytes)
    }
}

/// The sums of neighbouring lanes of both.
#[inline(always)]
fn add_pairs(a: v128, b: v128) -> v128 {
    i32x4_add(
        i32x4_shuffle::<0, 2, 4, 6>(a, b),
        i32x4_shuffle::<1, 3, 5, 7>(a, b),
    )
}

impl Products for Simd128 {
    #[inline(always)]
    unsafe fn dense<const SIGNED: bool>(
        sums: &mut [[i32; PANEL]; PIXELS],
        columns: usize,
        x: [*const u8; PIXELS],
        w: *const i8,
        _pair: usize,
        n: usize,
    ) {
        for column in (0..columns).step_by(8) {
            // SAFETY: the contract of the trait.
            unsafe { eight::<SIGNED>(sums, column, x, w.add(column * GROUP), n) }
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
        let mut i = 0;
        // SAFETY: the contract of the trait.
        unsafe {
            while i + 16 <= n {
                lanes::<SIGNED, 4>(sums[i..].as_mut_ptr().cast(), x, i, w, c);
                i += 16;
            }
            if i + 8 <= n {
                lanes::<SIGNED, 2>(sums[i..].as_mut_ptr().cast(), x, i, w, c);
                i += 8;
            }
            channels::<SIGNED>(&mut sums[..n], x, i, w, c);
        }
    }

    #[inline(always)]
    unsafe fn finish(t: &Task, at: usize, first: usize, sums: &[i32]) {
        let whole = sums.len() / 8 * 8;
        // SAFETY: the contract of the trait.
        unsafe {
            for (i, sums) in sums.chunks_exact(8).enumerate() {
                let (at, first) = (at + i * 8, first + i * 8);
                store(t, at, first, sums.as_ptr().cast());
            }
            if whole < sums.len() {
                finish(t, at + whole, first + whole, &sums[whole..]);
            }
        }
    }
}

/// Adds the products of both pixels and the eight columns from `column`.
///
/// # Safety
/// `x` are valid for `n` bytes, `w` for the columns of their groups.
#[inline(always)]
unsafe fn eight<const SIGNED: bool>(
    sums: &mut [[i32; PANEL]; PIXELS],
    column: usize,
    mut x: [*const u8; PIXELS],
    w: *const i8,
    n: usize,
) {
    // A vector holds two columns, each as the sums of the first two and the last two bytes of a group.
    let mut s = [[i32x4_splat(0); 4]; PIXELS];
    let mut w = w.cast::<u8>();
    // SAFETY: the caller's contract; the last group has less than four bytes of input.
    unsafe {
        let mut step = |x: [v128; PIXELS], w: *const u8| {
            for j in 0..4 {
                let w = wide::<true>(w.add(j * 8));
                for r in 0..PIXELS {
                    s[r][j] = i32x4_add(s[r][j], i32x4_dot_i16x8(x[r], w));
                }
            }
        };
        for _ in 0..n / (2 * GROUP) {
            let v = x.map(|x| wide::<SIGNED>(x));
            step(v.map(|v| i64x2_shuffle::<0, 0>(v, v)), w);
            step(v.map(|v| i64x2_shuffle::<1, 1>(v, v)), w.add(PANEL * GROUP));
            x = x.map(|x| x.add(2 * GROUP));
            w = w.wrapping_add(2 * PANEL * GROUP);
        }
        let mut left = n % (2 * GROUP);
        if left >= GROUP {
            let v = x.map(|x| twice::<SIGNED>(x.cast::<u32>().read_unaligned()));
            step(v, w);
            x = x.map(|x| x.add(GROUP));
            w = w.wrapping_add(PANEL * GROUP);
            left -= GROUP;
        }
        if left > 0 {
            let v = x.map(|x| {
                let mut bytes = [0; GROUP];
                for (i, byte) in bytes[..left].iter_mut().enumerate() {
                    *byte = *x.add(i);
                }
                twice::<SIGNED>(u32::from_le_bytes(bytes))
            });
            step(v, w);
        }
        for (sums, s) in sums.iter_mut().zip(s) {
            for (half, i) in [(0, 0), (4, 2)] {
                let sums = sums[column + half..].as_mut_ptr().cast::<v128>();
                let sum = add_pairs(s[i], s[i + 1]);
                v128_store(sums, i32x4_add(v128_load(sums), sum));
            }
        }
    }
}

/// Adds the products of `4 * N` channels from `i` over all taps `x`, whose weights are `c` bytes apart.
///
/// # Safety
/// The bytes are valid, and so are `N` vectors of sums.
#[inline(always)]
unsafe fn lanes<const SIGNED: bool, const N: usize>(
    sums: *mut v128,
    x: &[*const u8],
    i: usize,
    w: *const i8,
    c: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut s: [v128; N] = core::array::from_fn(|j| v128_load(sums.add(j)));
        let mut w = w.wrapping_add(i).cast::<u8>();
        for &x in x {
            let x = x.add(i);
            for j in (0..N).step_by(2) {
                let (x, w) = (wide::<SIGNED>(x.add(j * 4)), wide::<true>(w.add(j * 4)));
                s[j] = i32x4_add(s[j], i32x4_extmul_low_i16x8(x, w));
                s[j + 1] = i32x4_add(s[j + 1], i32x4_extmul_high_i16x8(x, w));
            }
            w = w.wrapping_add(c);
        }
        for (j, s) in s.into_iter().enumerate() {
            v128_store(sums.add(j), s);
        }
    }
}

/// `clamp(round_half_even(v), low..=high)`; the lower bound of a NaN.
#[inline(always)]
fn bounded(v: v128, low: i32, high: i32) -> v128 {
    /// Rounds to an integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    let v = f32x4_pmax(f32x4_splat(low as f32), v);
    let v = f32x4_pmin(f32x4_splat(high as f32), v);
    let bits = f32x4_add(v, f32x4_splat(SHIFT));
    i32x4_sub(bits, i32x4_splat(SHIFT.to_bits() as i32))
}

/// Requantises and stores eight channels from `first` at the position `at` of the task's outputs.
///
/// # Safety
/// The position and the channels are the task's, which passed its check; the sums are valid.
#[inline(always)]
unsafe fn store(t: &Task, at: usize, first: usize, sums: *const v128) {
    let (q, sum) = (&t.p.requantize, &t.p.requantize.sum);
    // SAFETY: the caller's contract.
    unsafe {
        let multiplier = t.multiplier.add(first).cast::<v128>();
        let mut v: [v128; 2] = core::array::from_fn(|j| {
            let scaled = f32x4_convert_i32x4(v128_load(sums.add(j)));
            let scaled = f32x4_mul(scaled, v128_load(multiplier.add(j)));
            bounded(scaled, q.low - q.zero, q.high - q.zero)
        });
        let mut zero = q.zero;
        if !t.residual.is_null() {
            let r = t.residual.add(at);
            let r = if sum.residual_signed {
                wide::<true>(r)
            } else {
                wide::<false>(r)
            };
            let r = i16x8_sub(r, i16x8_splat(sum.residual_zero as i16));
            let r = [i32x4_extend_low_i16x8(r), i32x4_extend_high_i16x8(r)];
            for (v, r) in v.iter_mut().zip(r) {
                let own = f32x4_mul(f32x4_convert_i32x4(*v), f32x4_splat(sum.own));
                let other = f32x4_mul(f32x4_convert_i32x4(r), f32x4_splat(sum.other));
                *v = bounded(
                    f32x4_add(own, other),
                    sum.low - sum.zero,
                    sum.high - sum.zero,
                );
            }
            zero = sum.zero;
        }
        let [a, b] = v.map(|v| i32x4_add(v, i32x4_splat(zero)));
        let bytes = v128_and(i16x8_narrow_i32x4(a, b), i16x8_splat(0xff));
        v128_store64_lane::<0>(u8x16_narrow_i16x8(bytes, bytes), t.y.add(at).cast());
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`].
#[target_feature(enable = "simd128")]
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.signed {
            blocks::dense::<Simd128, true>(t);
        } else {
            blocks::dense::<Simd128, false>(t);
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution.
#[target_feature(enable = "simd128")]
pub(super) unsafe fn depthwise(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.signed {
            blocks::depthwise::<Simd128, true>(t);
        } else {
            blocks::depthwise::<Simd128, false>(t);
        }
    }
}
