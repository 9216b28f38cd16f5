//! Bursts of 8-bit multiply-adds with 32-bit sums. Each sum grows by one a round, so the total counts what was done.
use crate::features::Features;
use crate::isa::Row;

/// A burst.
#[derive(Clone, Copy)]
pub struct Dot {
    /// Multiply-adds behind one growth of one sum.
    pub products: u64,
    /// Runs so many rounds; gives the growths of all sums, and the total of the sums.
    pub burst: unsafe fn(usize) -> (u64, i64),
}

/// Best first.
pub(super) const ROWS: &[Row<Dot>] = &[
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "avx512vnni",
        needs: Features::AVX512.union(Features::AVX512_VNNI),
        run: Dot {
            products: 4,
            burst: x86::avx512vnni,
        },
    },
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "avx512",
        needs: Features::AVX512,
        run: Dot {
            products: 2,
            burst: x86::avx512,
        },
    },
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "avx2",
        needs: Features::AVX2_FMA,
        run: Dot {
            products: 2,
            burst: x86::avx2,
        },
    },
    #[cfg(target_arch = "aarch64")]
    Row {
        name: "i8mm",
        needs: Features::NEON.union(Features::I8MM),
        run: Dot {
            products: 8,
            burst: arm::i8mm,
        },
    },
    #[cfg(target_arch = "aarch64")]
    Row {
        name: "dotprod",
        needs: Features::NEON.union(Features::DOTPROD),
        run: Dot {
            products: 4,
            burst: arm::dotprod,
        },
    },
    #[cfg(target_arch = "aarch64")]
    Row {
        name: "neon",
        needs: Features::NEON,
        run: Dot {
            products: 4,
            burst: arm::neon,
        },
    },
    #[cfg(target_arch = "wasm32")]
    Row {
        name: "simd128",
        needs: Features::SIMD128,
        run: Dot {
            products: 2,
            burst: wasm::simd128,
        },
    },
    Row {
        name: "scalar",
        needs: Features::NONE,
        run: Dot {
            products: 1,
            burst: scalar,
        },
    },
];

/// # Safety
/// None; the type is that of the other rows.
unsafe fn scalar(rounds: usize) -> (u64, i64) {
    const N: usize = 8;
    let one = core::hint::black_box(1i32);
    let mut sums = [0i32; N];
    for _ in 0..rounds {
        for s in &mut sums {
            *s = s.wrapping_mul(one).wrapping_add(one);
        }
    }
    ((rounds * N) as u64, sums.iter().map(|&s| s as i64).sum())
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;
    use core::hint::black_box;

    /// 64 products an instruction.
    ///
    /// # Safety
    /// The CPU has AVX-512 VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub unsafe fn avx512vnni(rounds: usize) -> (u64, i64) {
        const N: usize = 24;
        let (a, b) = black_box((_mm512_set1_epi32(1), _mm512_set1_epi8(1)));
        let mut sums = [_mm512_setzero_si512(); N];
        for _ in 0..rounds {
            for s in &mut sums {
                *s = _mm512_dpbusd_epi32(*s, a, b);
            }
        }
        let total = sums.iter().map(|&s| _mm512_reduce_add_epi32(s) as i64);
        ((rounds * N * 16) as u64, total.sum())
    }

    /// 32 products of 16 bits in two instructions. The sums are factors too: a product of constants would leave the loop.
    ///
    /// # Safety
    /// The CPU has AVX-512.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub unsafe fn avx512(rounds: usize) -> (u64, i64) {
        const N: usize = 24;
        let one = black_box(_mm512_set1_epi32(1));
        let mut sums = [_mm512_setzero_si512(); N];
        for _ in 0..rounds {
            for s in &mut sums {
                *s = _mm512_add_epi32(_mm512_madd_epi16(*s, one), one);
            }
        }
        let total = sums.iter().map(|&s| _mm512_reduce_add_epi32(s) as i64);
        ((rounds * N * 16) as u64, total.sum())
    }

    /// As [`avx512`], 16 products.
    ///
    /// # Safety
    /// The CPU has AVX2.
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2(rounds: usize) -> (u64, i64) {
        const N: usize = 12;
        let one = black_box(_mm256_set1_epi32(1));
        let mut sums = [_mm256_setzero_si256(); N];
        for _ in 0..rounds {
            for s in &mut sums {
                *s = _mm256_add_epi32(_mm256_madd_epi16(*s, one), one);
            }
        }
        let mut total = 0;
        for s in sums {
            let mut lanes = [0i32; 8];
            // SAFETY: the array has 32 bytes.
            unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), s) };
            total += lanes.iter().map(|&l| l as i64).sum::<i64>();
        }
        ((rounds * N * 8) as u64, total)
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use core::arch::asm;

    /// A loop over 16 sums; `v24` and `v25` are the operands, `v26` is free, `\r` is the sum's register.
    macro_rules! burst {
        ($extension:literal, $first:expr, $($line:literal),+) => {
            |rounds: usize| -> (u64, i64) {
                let (first, ones): ([u8; 16], [u8; 16]) = ($first, [1; 16]);
                let mut lanes = [0i32; 4];
                if rounds > 0 {
                    // SAFETY: the caller has the extension; the arrays have 16 bytes; `lanes` alone is written.
                    unsafe {
                        asm!(
                            $extension,
                            "ldr q24, [{first}]",
                            "ldr q25, [{ones}]",
                            ".irp r, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                            "movi v\\r\\().4s, #0",
                            ".endr",
                            "2:",
                            ".irp r, 0,1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                            $($line,)+
                            ".endr",
                            "subs {n}, {n}, #1",
                            "b.ne 2b",
                            ".irp r, 1,2,3,4,5,6,7,16,17,18,19,20,21,22,23",
                            "add v0.4s, v0.4s, v\\r\\().4s",
                            ".endr",
                            "str q0, [{lanes}]",
                            first = in(reg) first.as_ptr(),
                            ones = in(reg) ones.as_ptr(),
                            lanes = in(reg) lanes.as_mut_ptr(),
                            n = inout(reg) rounds => _,
                            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                            out("v6") _, out("v7") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                            out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _,
                            out("v26") _,
                            options(nostack),
                        );
                    }
                }
                ((rounds * 16 * 4) as u64, lanes.iter().map(|&l| l as i64).sum())
            }
        };
    }

    /// One in `every` bytes of the first `until` is one.
    const fn ones(every: usize, until: usize) -> [u8; 16] {
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < until {
            bytes[i] = 1;
            i += every;
        }
        bytes
    }

    /// 32 products an instruction.
    ///
    /// # Safety
    /// The CPU has SMMLA.
    pub unsafe fn i8mm(rounds: usize) -> (u64, i64) {
        burst!(
            ".arch_extension i8mm",
            const { ones(8, 16) },
            "smmla v\\r\\().4s, v24.16b, v25.16b"
        )(rounds)
    }

    /// 16 products an instruction.
    ///
    /// # Safety
    /// The CPU has SDOT.
    pub unsafe fn dotprod(rounds: usize) -> (u64, i64) {
        burst!(
            ".arch_extension dotprod",
            const { ones(4, 16) },
            "sdot v\\r\\().4s, v24.16b, v25.16b"
        )(rounds)
    }

    /// 16 products in three instructions: two products fit 16 bits.
    ///
    /// # Safety
    /// The CPU has Advanced SIMD.
    pub unsafe fn neon(rounds: usize) -> (u64, i64) {
        burst!(
            "",
            const { ones(2, 8) },
            "smull v26.8h, v24.8b, v25.8b",
            "smlal2 v26.8h, v24.16b, v25.16b",
            "sadalp v\\r\\().4s, v26.8h"
        )(rounds)
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::*;
    use core::hint::black_box;

    /// Eight products of 16 bits in two instructions. The sums are factors too: a product of constants would leave the
    /// loop.
    ///
    /// # Safety
    /// The machine has simd128.
    #[target_feature(enable = "simd128")]
    pub unsafe fn simd128(rounds: usize) -> (u64, i64) {
        const N: usize = 12;
        let one = black_box(i32x4_splat(1));
        let mut sums = [i32x4_splat(0); N];
        for _ in 0..rounds {
            for s in &mut sums {
                *s = i32x4_add(i32x4_dot_i16x8(*s, one), one);
            }
        }
        let mut total = 0;
        for s in sums {
            total += i32x4_extract_lane::<0>(s) as i64 + i32x4_extract_lane::<1>(s) as i64;
            total += i32x4_extract_lane::<2>(s) as i64 + i32x4_extract_lane::<3>(s) as i64;
        }
        ((rounds * N * 4) as u64, total)
    }
}
