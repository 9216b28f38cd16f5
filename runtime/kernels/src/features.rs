//! Instruction sets as a value: compiled in, detected, or narrowed by name.
use core::ops::{BitAnd, BitOr};

/// A set of instruction-set extensions.
///
/// A value is only a wish: [`crate::Kernels::for_features`] narrows it to what the machine offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub struct Features(u32);

impl Features {
    /// Plain Rust; always available.
    pub const NONE: Self = Self(0);
    /// x86-64 AVX2 with FMA and F16C, which processors have together.
    pub const AVX2_FMA: Self = Self(1);
    /// x86-64 AVX-512 F, BW, VL and DQ.
    pub const AVX512: Self = Self(2);
    /// x86-64 AVX-512 VNNI.
    pub const AVX512_VNNI: Self = Self(4);
    /// Arm Advanced SIMD (aarch64).
    pub const NEON: Self = Self(8);
    /// Arm SDOT / UDOT.
    pub const DOTPROD: Self = Self(16);
    /// Arm SMMLA.
    pub const I8MM: Self = Self(32);
    /// Arm half-precision arithmetic.
    pub const FP16: Self = Self(64);
    /// WebAssembly simd128.
    pub const SIMD128: Self = Self(128);
    /// Armv7E-M DSP extension.
    pub const DSP: Self = Self(256);
    /// Every extension this crate knows.
    pub const ALL: Self = Self(511);

    /// The names accepted by [`Features::from_name`], best last within an architecture.
    pub const NAMES: &'static [&'static str] = &[
        "scalar",
        "avx2",
        "avx512",
        "avx512vnni",
        "neon",
        "dotprod",
        "i8mm",
        "simd128",
        "dsp",
    ];

    /// The raw bits (stable numbers).
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set with these raw bits; unknown bits are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Whether every extension in `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets have.
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What the compiler was allowed to assume for this build.
    pub const fn compiled() -> Self {
        let mut bits = 0;
        if cfg!(all(
            target_arch = "x86_64",
            target_feature = "avx2",
            target_feature = "fma",
            target_feature = "f16c"
        )) {
            bits |= Self::AVX2_FMA.0;
        }
        if cfg!(all(
            target_arch = "x86_64",
            target_feature = "avx2",
            target_feature = "fma",
            target_feature = "f16c",
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vl",
            target_feature = "avx512dq"
        )) {
            bits |= Self::AVX512.0;
            if cfg!(target_feature = "avx512vnni") {
                bits |= Self::AVX512_VNNI.0;
            }
        }
        if cfg!(all(target_arch = "aarch64", target_feature = "neon")) {
            bits |= Self::NEON.0;
            if cfg!(target_feature = "dotprod") {
                bits |= Self::DOTPROD.0;
            }
            if cfg!(target_feature = "i8mm") {
                bits |= Self::I8MM.0;
            }
            if cfg!(target_feature = "fp16") {
                bits |= Self::FP16.0;
            }
        }
        if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
            bits |= Self::SIMD128.0;
        }
        if cfg!(arm_dsp) {
            bits |= Self::DSP.0;
        }
        Self(bits)
    }

    /// What this machine offers, asked at run time.
    #[cfg(any(feature = "std", test))]
    pub fn detect() -> Self {
        #[allow(unused_mut)]
        let mut found = Self::compiled();
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") && has!("f16c") {
                found = found | Self::AVX2_FMA;
                if has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq") {
                    found = found | Self::AVX512;
                    if has!("avx512vnni") {
                        found = found | Self::AVX512_VNNI;
                    }
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            if has!("neon") {
                found = found | Self::NEON;
                if has!("dotprod") {
                    found = found | Self::DOTPROD;
                }
                if has!("i8mm") {
                    found = found | Self::I8MM;
                }
                if has!("fp16") {
                    found = found | Self::FP16;
                }
            }
        }
        found
    }

    /// What may safely run here: detected with `std`, else what was compiled in.
    pub fn available() -> Self {
        #[cfg(any(feature = "std", test))]
        {
            Self::detect()
        }
        #[cfg(not(any(feature = "std", test)))]
        {
            Self::compiled()
        }
    }

    /// The set that a user means by `name` (see [`Features::NAMES`]); `None` for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        let avx512 = Self::AVX2_FMA | Self::AVX512;
        Some(match name {
            "scalar" | "none" => Self::NONE,
            "avx2" => Self::AVX2_FMA,
            "avx512" => avx512,
            "avx512vnni" => avx512 | Self::AVX512_VNNI,
            "neon" => Self::NEON,
            "dotprod" => Self::NEON | Self::DOTPROD,
            "i8mm" => Self::NEON | Self::DOTPROD | Self::I8MM,
            "fp16" => Self::NEON | Self::DOTPROD | Self::FP16,
            "simd128" => Self::SIMD128,
            "dsp" => Self::DSP,
            _ => return None,
        })
    }

    /// The name of the best instruction set in this value.
    pub const fn name(self) -> &'static str {
        if self.contains(Self::AVX512_VNNI) {
            "avx512vnni"
        } else if self.contains(Self::AVX512) {
            "avx512"
        } else if self.contains(Self::AVX2_FMA) {
            "avx2"
        } else if self.contains(Self::I8MM) {
            "i8mm"
        } else if self.contains(Self::DOTPROD) {
            "dotprod"
        } else if self.contains(Self::NEON) {
            "neon"
        } else if self.contains(Self::SIMD128) {
            "simd128"
        } else if self.contains(Self::DSP) {
            "dsp"
        } else {
            "scalar"
        }
    }
}

impl BitOr for Features {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitAnd for Features {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        self.intersection(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in Features::NAMES {
            assert_eq!(Features::from_name(name).unwrap().name(), *name);
        }
        assert_eq!(Features::from_name("mmx"), None);
    }

    #[test]
    fn available_contains_compiled() {
        assert!(Features::available().contains(Features::compiled()));
    }
}
