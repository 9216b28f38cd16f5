//! Inner loops for what has no body of its own: groups and dilations whose runs are no whole groups of weights, windows
//! larger than a block, and depthwise kernels of other sizes.
use super::{Finish, LANES, Target, with_avx2};
use crate::gemm::PANEL;
use crate::quantized::blocks::{CHANNELS, PIXELS, Products};
use crate::quantized::scalar::channels;
use crate::quantized::{GROUP, Task};
use core::arch::x86_64::*;

pub(super) struct Pairs;

with_avx2! {
/// Sixteen bytes as values of 16 bits.
unsafe fn wide<const SIGNED: bool>(bytes: __m128i) -> __m256i {
    if SIGNED { _mm256_cvtepi8_epi16(bytes) } else { _mm256_cvtepu8_epi16(bytes) }
}
}

with_avx2! {
unsafe fn dense<const SIGNED: bool>(
    sums: &mut [[i32; PANEL]; PIXELS],
    x: [*const u8; PIXELS],
    w: *const i8,
    n: usize,
) {
    // SAFETY: the contract of the trait.
    unsafe {
        let mut acc = [[_mm256_setzero_si256(); 4]; PIXELS];
        let mut w = w;
        let mut k = 0;
        while k < n {
            let mut a = [_mm256_setzero_si256(); PIXELS];
            for (a, x) in a.iter_mut().zip(x) {
                let mut four = [0u8; GROUP];
                let len = (n - k).min(GROUP);
                if len == GROUP {
                    four = x.add(k).cast::<[u8; GROUP]>().read_unaligned();
                } else {
                    four.as_mut_ptr().copy_from_nonoverlapping(x.add(k), len);
                }
                *a = wide::<SIGNED>(_mm_set1_epi32(i32::from_le_bytes(four)));
            }
            for j in 0..4 {
                let b = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.add(j * 16).cast()));
                for r in 0..PIXELS {
                    acc[r][j] = _mm256_add_epi32(acc[r][j], _mm256_madd_epi16(a[r], b));
                }
            }
            w = w.add(PANEL * GROUP);
            k += GROUP;
        }
        for (sums, acc) in sums.iter_mut().zip(acc) {
            for i in 0..2 {
                let pairs = _mm256_hadd_epi32(acc[2 * i], acc[2 * i + 1]);
                let sum = _mm256_permute4x64_epi64::<0b11_01_10_00>(pairs);
                let to = sums.as_mut_ptr().add(LANES * i).cast::<__m256i>();
                to.write_unaligned(_mm256_add_epi32(to.read_unaligned(), sum));
            }
        }
    }
}
}

with_avx2! {
/// Eight channels from `i` on, by pairs of taps.
unsafe fn eight<const SIGNED: bool>(sums: *mut __m256i, x: &[*const u8], i: usize, w: *const i8, c: usize) {
    // SAFETY: the contract of the trait.
    unsafe {
        let mut acc = sums.read_unaligned();
        let mut tap = 0;
        while tap < x.len() {
            let load = |at: *const u8| _mm_loadl_epi64(at.add(i).cast());
            let weights = |tap: usize| load(w.add(tap * c).cast());
            let (mut a, mut b) = ([load(x[tap]), _mm_setzero_si128()], [weights(tap), _mm_setzero_si128()]);
            if tap + 1 < x.len() {
                (a[1], b[1]) = (load(x[tap + 1]), weights(tap + 1));
            }
            let a = wide::<SIGNED>(_mm_unpacklo_epi8(a[0], a[1]));
            let b = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(b[0], b[1]));
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
            tap += 2;
        }
        sums.write_unaligned(acc);
    }
}
}

with_avx2! {
/// Sixteen channels from `i` on, by pairs of taps. Widening from memory takes less than half as long as from a register.
unsafe fn sixteen<const SIGNED: bool>(sums: *mut __m256i, x: &[*const u8], i: usize, w: *const i8, c: usize) {
    // SAFETY: the contract of the trait.
    unsafe {
        let none = _mm256_setzero_si256();
        let load = |at: *const u8| _mm_loadu_si128(at.add(i).cast());
        let value = |tap: usize| wide::<SIGNED>(load(x[tap]));
        let weight = |tap: usize| _mm256_cvtepi8_epi16(load(w.add(tap * c).cast()));
        let (mut low, mut high) = (none, none);
        let mut tap = 0;
        while tap < x.len() {
            let (mut a, mut b) = ([value(tap), none], [weight(tap), none]);
            if tap + 1 < x.len() {
                (a[1], b[1]) = (value(tap + 1), weight(tap + 1));
            }
            let products = _mm256_madd_epi16(
                _mm256_unpacklo_epi16(a[0], a[1]),
                _mm256_unpacklo_epi16(b[0], b[1]),
            );
            low = _mm256_add_epi32(low, products);
            let products = _mm256_madd_epi16(
                _mm256_unpackhi_epi16(a[0], a[1]),
                _mm256_unpackhi_epi16(b[0], b[1]),
            );
            high = _mm256_add_epi32(high, products);
            tap += 2;
        }
        // Unpacking works within lanes.
        let halves = [
            _mm256_permute2x128_si256::<0x20>(low, high),
            _mm256_permute2x128_si256::<0x31>(low, high),
        ];
        for (half, sum) in halves.into_iter().enumerate() {
            let to = sums.add(half);
            to.write_unaligned(_mm256_add_epi32(to.read_unaligned(), sum));
        }
    }
}
}

with_avx2! {
unsafe fn finish(t: &Task, at: usize, first: usize, sums: &[i32]) {
    // SAFETY: the contract of the trait.
    unsafe {
        let finish = Finish::new(t);
        let whole = sums.len() / LANES * LANES;
        for i in (0..whole).step_by(LANES) {
            let eight = [_mm256_loadu_si256(sums.as_ptr().add(i).cast())];
            let multiplier = _mm256_loadu_ps(t.multiplier.add(first + i));
            let to = Target {
                at: at + i,
                step: 0,
                rows: 1,
                n: LANES,
            };
            finish.store::<1, false>(t, eight, multiplier, to);
        }
        if whole < sums.len() {
            let (i, n) = (whole, sums.len() - whole);
            let (mut eight, mut multiplier) = ([0i32; LANES], [0f32; LANES]);
            eight[..n].copy_from_slice(&sums[i..i + n]);
            multiplier.as_mut_ptr().copy_from_nonoverlapping(t.multiplier.add(first + i), n);
            let sums = [_mm256_loadu_si256(eight.as_ptr().cast())];
            let multiplier = _mm256_loadu_ps(multiplier.as_ptr());
            let to = Target { at: at + i, step: 0, rows: 1, n };
            finish.store::<1, false>(t, sums, multiplier, to);
        }
    }
}
}

impl Products for Pairs {
    #[inline(always)]
    unsafe fn dense<const SIGNED: bool>(
        sums: &mut [[i32; PANEL]; PIXELS],
        _columns: usize,
        x: [*const u8; PIXELS],
        w: *const i8,
        _pair: usize,
        n: usize,
    ) {
        // SAFETY: the contract of the trait.
        unsafe { dense::<SIGNED>(sums, x, w, n) }
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
            while i + 2 * LANES <= n {
                sixteen::<SIGNED>(sums[i..].as_mut_ptr().cast(), x, i, w, c);
                i += 2 * LANES;
            }
            while i + LANES <= n {
                eight::<SIGNED>(sums[i..].as_mut_ptr().cast(), x, i, w, c);
                i += LANES;
            }
            channels::<SIGNED>(&mut sums[..n], x, i, w, c);
        }
    }

    #[inline(always)]
    unsafe fn finish(t: &Task, at: usize, first: usize, sums: &[i32]) {
        // SAFETY: the same contract.
        unsafe { finish(t, at, first, sums) }
    }
}
