//! Arm Advanced SIMD, with dot products and without.
use super::{ROWS, Tile};
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::aarch64::*;
use core::arch::asm;

/// Four rows by a panel, by SDOT.
pub(super) struct Dot;

impl Tile for Dot {
    const HEIGHT: usize = 4;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn sums(
        x: &[*const u8; ROWS],
        _rows: usize,
        w: *const i8,
        k: usize,
        sums: &mut [[i32; PANEL]; ROWS],
    ) {
        // SAFETY: rows hold whole groups of four bytes, the panel as many groups of weights; the machine has SDOT.
        unsafe {
            let mut acc = [[vdupq_n_s32(0); 4]; 4];
            let mut w = w;
            for group in 0..k.div_ceil(GROUP) {
                let mut b = [vdupq_n_s8(0); 4];
                for (j, b) in b.iter_mut().enumerate() {
                    *b = vld1q_s8(w.add(j * 16));
                }
                for r in 0..4 {
                    let four = x[r].add(group * GROUP).cast::<i32>().read_unaligned();
                    let a = vreinterpretq_s8_s32(vdupq_n_s32(four));
                    for j in 0..4 {
                        asm!("sdot {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) acc[r][j], in(vreg) b[j], in(vreg) a,
                            options(pure, nomem, nostack, preserves_flags));
                    }
                }
                w = w.add(PANEL * GROUP);
            }
            for r in 0..4 {
                for j in 0..4 {
                    vst1q_s32(sums[r].as_mut_ptr().add(j * 4), acc[r][j]);
                }
            }
        }
    }
}

/// Two rows by a panel, by long products of bytes.
pub(super) struct Long;

impl Tile for Long {
    const HEIGHT: usize = 2;
    const WIDE: bool = false;

    #[inline(always)]
    unsafe fn sums(
        x: &[*const u8; ROWS],
        _rows: usize,
        w: *const i8,
        k: usize,
        sums: &mut [[i32; PANEL]; ROWS],
    ) {
        // SAFETY: rows hold whole groups of four bytes, the panel as many groups of weights.
        unsafe {
            let mut acc = [[[vdupq_n_s32(0); 2]; 4]; 2];
            let mut w = w;
            for group in 0..k.div_ceil(GROUP) {
                let mut a = [vdupq_n_s8(0); 2];
                for r in 0..2 {
                    let four = x[r].add(group * GROUP).cast::<i32>().read_unaligned();
                    a[r] = vreinterpretq_s8_s32(vdupq_n_s32(four));
                }
                for j in 0..4 {
                    let b = vld1q_s8(w.add(j * 16));
                    for r in 0..2 {
                        let [low, high] = &mut acc[r][j];
                        *low = vpadalq_s16(*low, vmull_s8(vget_low_s8(a[r]), vget_low_s8(b)));
                        *high = vpadalq_s16(*high, vmull_high_s8(a[r], b));
                    }
                }
                w = w.add(PANEL * GROUP);
            }
            for r in 0..2 {
                for j in 0..4 {
                    let sum = vpaddq_s32(acc[r][j][0], acc[r][j][1]);
                    vst1q_s32(sums[r].as_mut_ptr().add(j * 4), sum);
                }
            }
        }
    }
}
