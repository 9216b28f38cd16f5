//! What a core can do at most: bursts of multiply-adds on registers alone, and reads of memory that are summed.
//!
//! Nothing here takes the time; the caller does. Every burst returns how much it did. The operands are ones and the
//! results are counted, so that a compiler can leave nothing out and a test can see that it did not.
mod integer;

use crate::features::Features;
use crate::isa::{self, Isa, kernel_rows};
use core::hint::black_box;

pub use integer::Dot;

/// A burst of float multiply-adds: a one and the rounds; gives the growths of all sums, and the total of the sums.
type Burst = unsafe fn(f32, usize) -> (u64, f32);

/// The bursts for one set of features.
#[derive(Clone, Copy)]
pub struct Peak {
    float: isa::Row<Burst>,
    integer: isa::Row<Dot>,
    read: unsafe fn(*const f32, usize) -> f32,
}

impl Peak {
    /// The best bursts within `wanted` that this machine can run ([`Features::available`]).
    pub fn for_features(wanted: Features) -> Self {
        let have = wanted & Features::available();
        Self {
            float: isa::choose(FLOAT_ROWS, have),
            integer: isa::choose(integer::ROWS, have),
            read: isa::choose(READ_ROWS, have).run,
        }
    }

    /// The instruction set of [`Peak::float`].
    pub const fn float_name(&self) -> &'static str {
        self.float.name
    }

    /// The instruction set of [`Peak::integer`].
    pub const fn integer_name(&self) -> &'static str {
        self.integer.name
    }

    /// `rounds` rounds of independent float multiply-adds; gives the operations done, two a multiply-add.
    pub fn float(&self, rounds: usize) -> u64 {
        // SAFETY: the row was chosen from what the machine offers.
        let (updates, sum) = unsafe { (self.float.run)(black_box(1.0), rounds) };
        black_box(sum);
        2 * updates
    }

    /// `rounds` rounds of independent 8-bit multiply-adds with 32-bit sums, by the best instruction there is for them;
    /// gives the operations done, two a multiply-add.
    pub fn integer(&self, rounds: usize) -> u64 {
        // SAFETY: as above.
        let (updates, sum) = unsafe { (self.integer.run.burst)(rounds) };
        black_box(sum);
        2 * updates * self.integer.run.products
    }

    /// Reads all of `data`; gives the sum, in no particular order.
    pub fn read(&self, data: &[f32]) -> f32 {
        // SAFETY: as above; the slice is valid.
        unsafe { (self.read)(data.as_ptr(), data.len()) }
    }
}

kernel_rows!(FLOAT_ROWS = float_body(one: f32, rounds: usize) -> (u64, f32));
kernel_rows!(READ_ROWS = read_body(data: *const f32, len: usize) -> f32);

/// As many sums as hide the latency of a multiply-add and fit the registers: those of the matrix product's tile where
/// there are 32 registers, 12 elsewhere.
///
/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn float_body<I: Isa>(one: f32, rounds: usize) -> (u64, f32) {
    // SAFETY: see the contract.
    unsafe {
        match I::MR * I::PANELS * (16 / I::LANES) {
            24 => float_burst::<I, 24>(one, rounds),
            _ => float_burst::<I, 12>(one, rounds),
        }
    }
}

/// # Safety
/// The instruction set exists.
#[inline(always)]
unsafe fn float_burst<I: Isa, const N: usize>(one: f32, rounds: usize) -> (u64, f32) {
    // SAFETY: see the contract.
    unsafe {
        let one = I::splat(one);
        let mut sums = [I::splat(0.0); N];
        for _ in 0..rounds {
            for s in &mut sums {
                // Where multiply and add are two instructions, a product of constants would leave the loop.
                *s = if matches!(I::NAME, "scalar" | "simd128") {
                    I::fma(*s, one, one)
                } else {
                    I::fma(one, one, *s)
                };
            }
        }
        let total = sums.iter().map(|&s| I::sum(s)).sum();
        ((rounds * N * I::LANES) as u64, total)
    }
}

/// # Safety
/// The instruction set exists, and `data` is valid for `len` reads.
#[inline(always)]
unsafe fn read_body<I: Isa>(data: *const f32, len: usize) -> f32 {
    const N: usize = 8;
    // SAFETY: see the contract; every load ends within `len`.
    unsafe {
        let mut sums = [I::splat(0.0); N];
        let step = N * I::LANES;
        let whole = len / step * step;
        let mut at = 0;
        while at < whole {
            for (j, s) in sums.iter_mut().enumerate() {
                *s = I::add(*s, I::load(data.add(at + j * I::LANES)));
            }
            at += step;
        }
        let mut total: f32 = sums.iter().map(|&s| I::sum(s)).sum();
        for i in whole..len {
            total += *data.add(i);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn floats_are_all_there() {
        for row in FLOAT_ROWS {
            if !Features::available().contains(row.needs) {
                continue;
            }
            for rounds in [0, 1, 1000] {
                // SAFETY: the machine has the instructions.
                let (updates, sum) = unsafe { (row.run)(1.0, rounds) };
                assert!((rounds == 0) == (updates == 0), "{}", row.name);
                assert_eq!(sum as u64, updates, "{}", row.name);
            }
        }
    }

    #[test]
    fn integers_are_all_there() {
        for row in integer::ROWS {
            if !Features::available().contains(row.needs) {
                continue;
            }
            for rounds in [0, 1, 1000] {
                // SAFETY: the machine has the instructions.
                let (updates, sum) = unsafe { (row.run.burst)(rounds) };
                assert!((rounds == 0) == (updates == 0), "{}", row.name);
                assert_eq!(sum as u64, updates, "{}", row.name);
            }
        }
    }

    #[test]
    fn every_element_is_read() {
        for row in READ_ROWS {
            if !Features::available().contains(row.needs) {
                continue;
            }
            for len in [0, 1, 15, 16, 127, 128, 129, 1000] {
                let data = vec![1.0; len];
                // SAFETY: the machine has the instructions, and the slice is valid.
                let sum = unsafe { (row.run)(data.as_ptr(), len) };
                assert_eq!(sum, len as f32, "{}", row.name);
            }
        }
    }

    #[test]
    fn the_best_row_is_taken() {
        let none = Peak::for_features(Features::NONE);
        assert_eq!([none.float_name(), none.integer_name()], ["scalar"; 2]);
        let best = Peak::for_features(Features::ALL);
        assert_eq!(best.float_name(), crate::Kernels::best().name());
        assert!(best.float(2) > 0 && best.integer(2) > 0);
        assert_eq!(best.read(&[1.0; 3]), 3.0);
    }
}
