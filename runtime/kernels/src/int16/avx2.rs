//! x86-64 AVX2: VPMADDWD makes sixteen products of sixteen bits and adds them in pairs.
use super::dense::{PIXELS, Sums};
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use core::arch::x86_64::*;

/// Columns whose sums are a vector.
const LANES: usize = 8;

/// As [`super::dense`] asks: adds `n` products of each pixel's run and each column.
///
/// # Safety
/// AVX2 exists; `x` are valid for `n` values, `w` for their groups.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn multiply(
    sums: &mut Sums,
    columns: usize,
    x: [*const i16; PIXELS],
    w: *const i8,
    n: usize,
) {
    for half in 0..columns.div_ceil(LANES) {
        // Each 64-bit lane is a column: the sums of the first and of the last two values of its groups.
        let mut acc = [[_mm256_setzero_si256(); 2]; PIXELS];
        let mut w = w.wrapping_add(half * LANES * GROUP);
        let mut step = |a: [i64; PIXELS]| {
            // SAFETY: the caller's contract: a group of weights has all columns.
            unsafe {
                let b = [0, 1].map(|j| {
                    let bytes = _mm_loadu_si128(w.add(j * 16).cast());
                    _mm256_cvtepi8_epi16(bytes)
                });
                for (acc, a) in acc.iter_mut().zip(a) {
                    let a = _mm256_set1_epi64x(a);
                    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(a, b[0]));
                    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(a, b[1]));
                }
            }
            w = w.wrapping_add(PANEL * GROUP);
        };
        let whole = n / GROUP * GROUP;
        for k in (0..whole).step_by(GROUP) {
            // SAFETY: the caller's contract.
            step(x.map(|x| unsafe { x.add(k).cast::<i64>().read_unaligned() }));
        }
        if whole < n {
            step(x.map(|x| {
                let mut four = [0i16; GROUP];
                for (i, v) in four[..n - whole].iter_mut().enumerate() {
                    // SAFETY: the caller's contract.
                    *v = unsafe { *x.add(whole + i) };
                }
                i64::from_ne_bytes(
                    four.map(i16::to_ne_bytes)
                        .as_flattened()
                        .try_into()
                        .unwrap_or([0; 8]),
                )
            }));
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            let pairs = _mm256_hadd_epi32(acc[0], acc[1]);
            let sum = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
            // SAFETY: a panel has the columns.
            unsafe {
                let to = sums.as_mut_ptr().add(half * LANES).cast::<__m256i>();
                to.write_unaligned(_mm256_add_epi32(to.read_unaligned(), sum));
            }
        }
    }
}
