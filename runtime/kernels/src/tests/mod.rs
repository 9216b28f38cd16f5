//! Every kernel row that this machine can run, at awkward sizes, against the double-precision reference.
mod compressed;
mod elementwise;
mod linear;
mod reference;
mod rows;
mod winograd;

use crate::{Features, Kernels};
use std::vec::Vec;

/// One `Kernels` for each float instruction set of this machine.
pub fn every_isa() -> Vec<Kernels> {
    let mut all = Vec::new();
    for name in ["scalar", "avx2", "avx512", "neon", "simd128"] {
        let wanted = Features::from_name(name).unwrap();
        if Features::available().contains(wanted) {
            let k = Kernels::for_features(wanted);
            assert_eq!(k.name(), name);
            all.push(k);
        }
    }
    all
}

/// A seeded generator (xorshift64*) of values in -1..1.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() + 1.0) * 0.5 * n as f32) as usize % n
    }
}

/// Asserts `|got - want| <= tolerance * max(1, |want|)` everywhere; `what` names the case.
#[track_caller]
pub fn close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let g = g as f64;
        let same =
            g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= tolerance * w.abs().max(1.0);
        assert!(same, "{what}: element {i} is {g}, expected {w}");
    }
}
