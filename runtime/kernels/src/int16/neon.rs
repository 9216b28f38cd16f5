//! Arm Advanced SIMD: SMLAL by lane, a group of four weights of eight columns at a time.
use super::dense::{PIXELS, Sums};
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::aarch64::*;

/// Columns that two vectors of sums hold.
const LANES: usize = 8;

/// As [`super::dense`] asks: adds `n` products of each pixel's run and each column.
///
/// # Safety
/// NEON exists; `x` are valid for `n` values, `w` for their groups.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn multiply(
    sums: &mut Sums,
    columns: usize,
    x: [*const i16; PIXELS],
    w: *const i8,
    n: usize,
) {
    for half in 0..columns.div_ceil(LANES) {
        let mut acc = [[vdupq_n_s32(0); 2]; PIXELS];
        let mut w = w.wrapping_add(half * LANES * GROUP);
        let mut step = |x: [int16x4_t; PIXELS]| {
            // SAFETY: the caller's contract: a group of weights has all columns. The vectors are the four values of a
            // group, of eight columns each.
            let b = unsafe { vld4_s8(w) };
            macro_rules! value {
                ($lane:literal, $b:expr) => {{
                    let b = vmovl_s8($b);
                    let low = vget_low_s16(b);
                    for (acc, x) in acc.iter_mut().zip(x) {
                        acc[0] = vmlal_lane_s16::<$lane>(acc[0], low, x);
                        acc[1] = vmlal_high_lane_s16::<$lane>(acc[1], b, x);
                    }
                }};
            }
            value!(0, b.0);
            value!(1, b.1);
            value!(2, b.2);
            value!(3, b.3);
            w = w.wrapping_add(PANEL * GROUP);
        };
        let whole = n / GROUP * GROUP;
        for k in (0..whole).step_by(GROUP) {
            // SAFETY: the caller's contract.
            step(x.map(|x| unsafe { vld1_s16(x.add(k)) }));
        }
        if whole < n {
            step(x.map(|x| {
                let mut four = [0i16; GROUP];
                for (i, v) in four[..n - whole].iter_mut().enumerate() {
                    // SAFETY: the caller's contract.
                    *v = unsafe { *x.add(whole + i) };
                }
                // SAFETY: four values.
                unsafe { vld1_s16(four.as_ptr()) }
            }));
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            for (j, acc) in acc.into_iter().enumerate() {
                // SAFETY: a panel has the columns.
                unsafe {
                    let to = sums.as_mut_ptr().add(half * LANES + j * 4);
                    vst1q_s32(to, vaddq_s32(vld1q_s32(to), acc));
                }
            }
        }
    }
}
