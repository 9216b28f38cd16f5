//! Seeded cases of the integer kernels, for machines with and without an operating system.
#![no_std]
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod case;
pub mod int16;
pub mod layer;
pub mod machine;
#[cfg(feature = "wide")]
pub mod model;
pub mod plain;
#[cfg(feature = "wide")]
pub mod product;

use cygnet_kernels::{Features, Kernels};

/// A seeded generator (xorshift64*) without floating point.
pub struct Random(u64);

impl Random {
    /// Equal seeds give equal sequences.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// A number in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u64::from(self.bits()) * n as u64) >> 32) as usize
    }

    /// A number in `low..=high`.
    pub fn within(&mut self, low: i32, high: i32) -> i32 {
        low + self.below((high - low + 1) as usize) as i32
    }

    /// One of `from`.
    pub fn pick(&mut self, from: &[usize]) -> usize {
        from[self.below(from.len())]
    }

    /// A float in 0.5..1.5, exact in 24 bits.
    pub fn factor(&mut self) -> f32 {
        0.5 + (self.bits() >> 9) as f32 / (1u32 << 23) as f32
    }

    /// A byte; the extremes, where narrow arithmetic saturates, come often.
    pub fn byte(&mut self) -> u8 {
        match self.below(6) {
            0 => 0x80,
            1 => 0x7f,
            2 => 0xff,
            _ => self.bits() as u8,
        }
    }
}

/// FNV-1a, 64 bits.
pub fn digest(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Calls `f` with the features of every instruction set of this machine, the plain ones first.
pub fn each_features(mut f: impl FnMut(&str, Features)) {
    for name in Features::NAMES {
        if let Some(wanted) = Features::from_name(name)
            && Features::available().contains(wanted)
        {
            f(name, wanted);
        }
    }
}

/// Calls `f` with the kernels of every instruction set of this machine, the plain ones first.
pub fn each_isa(mut f: impl FnMut(&str, &Kernels)) {
    each_features(|name, wanted| f(name, &Kernels::for_features(wanted)));
}
