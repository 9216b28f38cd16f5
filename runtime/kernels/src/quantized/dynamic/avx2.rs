//! x86-64 AVX2: values are held in 16 bits and multiplied in pairs.
use super::{ROWS, Tile};
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::x86_64::*;

/// Three rows by a panel: twelve accumulators of pairs.
pub(super) struct Pairs16;

const HEIGHT: usize = 3;

impl Tile for Pairs16 {
    const HEIGHT: usize = HEIGHT;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn sums(x: &[*const u8; ROWS], w: *const i8, k: usize, sums: &mut [[i32; PANEL]; ROWS]) {
        // SAFETY: rows hold whole groups of four values of 16 bits, the panel as many groups of weights.
        unsafe {
            let mut acc = [[_mm256_setzero_si256(); 4]; HEIGHT];
            let mut w = w;
            let mut at = 0;
            for _ in 0..k.div_ceil(GROUP) {
                let mut a = [_mm256_setzero_si256(); HEIGHT];
                for r in 0..HEIGHT {
                    let four = x[r].add(at).cast::<i64>();
                    a[r] = _mm256_set1_epi64x(four.read_unaligned());
                }
                for j in 0..4 {
                    let b = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(j * 16).cast()));
                    for r in 0..HEIGHT {
                        let pairs = _mm256_madd_epi16(a[r], b);
                        acc[r][j] = _mm256_add_epi32(acc[r][j], pairs);
                    }
                }
                w = w.add(PANEL * GROUP);
                at += 2 * GROUP;
            }
            for r in 0..HEIGHT {
                for i in 0..2 {
                    let pairs = _mm256_hadd_epi32(acc[r][2 * i], acc[r][2 * i + 1]);
                    let sum = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                    _mm256_storeu_si256(sums[r].as_mut_ptr().add(8 * i).cast(), sum);
                }
            }
        }
    }
}
