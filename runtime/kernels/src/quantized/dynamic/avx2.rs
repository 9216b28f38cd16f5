//! x86-64 AVX2: values are held in 16 bits and multiplied in pairs.
use super::{ROWS, Tile};
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::x86_64::*;

/// Six rows by half a panel: twelve accumulators of pairs, two vectors of weights, one of values and one of products fill
/// the registers.
pub(super) struct Pairs16;

/// Sums of `R` rows and the `4 * C` columns from `column` on.
///
/// # Safety
/// As [`Tile::sums`].
#[inline(always)]
unsafe fn tile<const R: usize, const C: usize>(
    x: &[*const u8; ROWS],
    w: *const i8,
    k: usize,
    column: usize,
    sums: &mut [[i32; PANEL]; ROWS],
) {
    // SAFETY: rows hold whole groups of four values of 16 bits, the panel as many groups of weights.
    unsafe {
        let mut acc = [[_mm256_setzero_si256(); C]; R];
        let mut w = w.add(column * GROUP);
        let mut at = 0;
        for _ in 0..k.div_ceil(GROUP) {
            let mut b = [_mm256_setzero_si256(); C];
            for j in 0..C {
                b[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(j * 16).cast()));
            }
            for r in 0..R {
                let four = x[r].add(at).cast::<i64>();
                let a = _mm256_set1_epi64x(four.read_unaligned());
                for j in 0..C {
                    acc[r][j] = _mm256_add_epi32(acc[r][j], _mm256_madd_epi16(a, b[j]));
                }
            }
            w = w.add(PANEL * GROUP);
            at += 2 * GROUP;
        }
        for r in 0..R {
            for i in 0..C / 2 {
                let pairs = _mm256_hadd_epi32(acc[r][2 * i], acc[r][2 * i + 1]);
                let sum = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                let to = sums[r].as_mut_ptr().add(column + 8 * i);
                _mm256_storeu_si256(to.cast(), sum);
            }
        }
    }
}

impl Tile for Pairs16 {
    const HEIGHT: usize = 6;
    const WIDE: bool = true;

    #[inline(always)]
    unsafe fn sums(
        x: &[*const u8; ROWS],
        rows: usize,
        w: *const i8,
        k: usize,
        sums: &mut [[i32; PANEL]; ROWS],
    ) {
        // SAFETY: the contract of the trait.
        unsafe {
            if rows > 4 {
                tile::<6, 2>(x, w, k, 0, sums);
                tile::<6, 2>(x, w, k, 8, sums);
            } else if rows > 2 {
                tile::<4, 2>(x, w, k, 0, sums);
                tile::<4, 2>(x, w, k, 8, sums);
            } else {
                tile::<2, 4>(x, w, k, 0, sums);
            }
        }
    }
}
