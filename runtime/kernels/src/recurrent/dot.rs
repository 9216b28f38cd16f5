//! The inner product of a gate row with the input or the state: one row of a matrix-vector product.

use crate::isa::{Isa, kernel_rows};

/// # Safety
/// The CPU has the instructions of `I`; `a` and `b` are valid for reads of `n` elements.
#[inline(always)]
unsafe fn body<I: Isa>(a: *const f32, b: *const f32, n: usize) -> f32 {
    // SAFETY: the caller's contract; every access is below `n`.
    unsafe {
        let lanes = I::LANES;
        // Four sums hide the latency of the multiply-adds.
        let mut sums = [I::splat(0.0); 4];
        let mut i = 0;
        while i + 4 * lanes <= n {
            for (k, sum) in sums.iter_mut().enumerate() {
                let at = i + k * lanes;
                *sum = I::fma(I::load(a.add(at)), I::load(b.add(at)), *sum);
            }
            i += 4 * lanes;
        }
        while i + lanes <= n {
            sums[0] = I::fma(I::load(a.add(i)), I::load(b.add(i)), sums[0]);
            i += lanes;
        }
        if i < n {
            let (x, y) = (
                I::load_partial(a.add(i), n - i),
                I::load_partial(b.add(i), n - i),
            );
            sums[1] = I::fma(x, y, sums[1]);
        }
        I::sum(I::add(I::add(sums[0], sums[1]), I::add(sums[2], sums[3])))
    }
}

kernel_rows!(pub(crate) ROWS = body(a: *const f32, b: *const f32, n: usize) -> f32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;
    use std::vec::Vec;

    #[test]
    fn every_row_gives_the_plain_sum() {
        for row in ROWS
            .iter()
            .filter(|r| Features::available().contains(r.needs))
        {
            for n in [0, 1, 3, 4, 5, 15, 16, 17, 31, 63, 64, 65, 127, 128, 193] {
                // Small integers: every order of summation is exact.
                let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
                let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32 - 1.0).collect();
                let want: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
                // SAFETY: the machine has the instructions; both have `n` elements.
                let got = unsafe { (row.run)(a.as_ptr(), b.as_ptr(), n) };
                assert_eq!(got, want, "{} {n}", row.name);
            }
        }
    }
}
