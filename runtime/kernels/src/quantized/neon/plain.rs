//! Arm Advanced SIMD without dot products: two pixels by 16 channels, by products of bytes that pairs of 16 bits take to
//! sums of 32.
//!
//! A vector of weights holds a group of four channels: the products of two channels are added by pairs, and again at the
//! end of the depth.
use super::dense::{self, Pass, mode};
use super::{Finish, Narrow};
use crate::quantized::{GROUP, Task};
use core::arch::aarch64::*;

/// # Safety
/// `t` passed its check.
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    // SAFETY: passed through.
    unsafe { dense::dense::<Plain>(t) }
}

struct Plain;

impl dense::Kernels for Plain {
    const ROWS: usize = 2;

    unsafe fn run(pass: &Pass, rows: usize, narrow: bool) {
        // SAFETY: the contract is the same; NEON is there.
        unsafe {
            match (rows, narrow) {
                (2, false) => tiles::<2, 4>(pass),
                (_, false) => tiles::<1, 4>(pass),
                (2, true) => tiles::<2, 2>(pass),
                (_, true) => tiles::<1, 2>(pass),
            }
        }
    }
}

/// Sums of two channels in a vector, for `R` pixels and `C` groups of four channels.
type Pairs<const R: usize, const C: usize> = [[[int32x4_t; 2]; C]; R];

/// Adds the products of a group of each pixel, four times in its vector.
///
/// # Safety
/// `w` is valid for `C` vectors.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn group<const R: usize, const C: usize>(
    sums: &mut Pairs<R, C>,
    x: [int32x4_t; 2],
    w: *const i8,
) {
    for j in 0..C {
        // SAFETY: the caller's contract.
        let w = unsafe { vld1q_s8(w.add(j * 4 * GROUP)) };
        for r in 0..R {
            let x = vreinterpretq_s8_s32(x[r]);
            let [low, high] = &mut sums[r][j];
            *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(x), vget_low_s8(w)));
            *high = vpadalq_s16(*high, vmull_high_s8(x, w));
        }
    }
}

/// All tiles of a pass, of `R` pixels and `4 * C` channels.
///
/// # Safety
/// The pass is valid, with tiles of this height and width.
#[target_feature(enable = "neon")]
unsafe fn tiles<const R: usize, const C: usize>(pass: &Pass) {
    // SAFETY: reads and writes what the contract allows.
    unsafe {
        let finish = Finish {
            narrow: if pass.mode & mode::BOUNDS != 0 {
                Narrow::Bounds
            } else if pass.mode & mode::UNSIGNED != 0 {
                Narrow::Unsigned
            } else {
                Narrow::Signed
            },
            zero: vdupq_n_s16(pass.zero as i16),
            low: vdupq_n_s16(pass.low as i16),
            high: vdupq_n_s16(pass.high as i16),
        };
        let none = [vdupq_n_s32(0); 4];
        let slots = 2 * pass.pairs + usize::from(pass.mode & mode::SLOT != 0);
        let (mut x, mut y) = (pass.x, pass.y);
        let mut start = pass.start.cast::<u8>();
        for _ in 0..pass.tiles {
            let mut pairs: Pairs<R, C> = [[[none[0]; 2]; C]; R];
            let mut w = pass.w;
            for _ in 0..slots {
                let v = vld1q_s32(x.cast());
                let (first, second) = (vdupq_laneq_s32::<0>(v), vdupq_laneq_s32::<2>(v));
                group(&mut pairs, [first, second], w);
                let (first, second) = (vdupq_laneq_s32::<1>(v), vdupq_laneq_s32::<3>(v));
                group(&mut pairs, [first, second], w.add(16 * GROUP));
                x = x.add(16);
                w = w.add(32 * GROUP);
            }
            if pass.mode & mode::GROUP != 0 {
                let v = vld1q_s32(x.cast());
                let (first, second) = (vdupq_laneq_s32::<0>(v), vdupq_laneq_s32::<2>(v));
                group(&mut pairs, [first, second], w);
                x = x.add(16);
            }
            for pairs in pairs {
                let mut sums = none;
                for (j, [low, high]) in pairs.into_iter().enumerate() {
                    let start = vld1q_s32(start.cast::<i32>().add(j * 4));
                    sums[j] = vaddq_s32(start, vpaddq_s32(low, high));
                }
                if pass.mode & mode::RAW != 0 {
                    for (j, &sum) in sums[..C].iter().enumerate() {
                        vst1q_s32(y.cast::<i32>().add(j * 4), sum);
                    }
                } else {
                    let mut multiplier = [vdupq_n_f32(0.0); 4];
                    for (j, m) in multiplier[..C].iter_mut().enumerate() {
                        *m = vld1q_f32(pass.multiplier.add(j * 4));
                    }
                    let bytes = finish.apply(sums, multiplier);
                    if C == 4 {
                        vst1q_u8(y, bytes);
                    } else {
                        vst1_u8(y, vget_low_u8(bytes));
                    }
                }
                start = start.add(pass.start_step);
                y = y.add(pass.step);
            }
        }
    }
}
