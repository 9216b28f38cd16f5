//! From sums to bytes with the floating-point unit: VCVTR rounds to the nearest integer, halves to even, and saturates.
//!
//! It gives 0 for what is no number, where the definition has the lower bound: so tasks with factors that could make such
//! a value take the plain way, as those with residuals and processors without the unit do.
use super::super::Task;

/// Whether no product of the factors with an integer of 32 bits is infinite.
fn moderate(factors: &[f32]) -> bool {
    const LIMIT: u32 = 1e28f32.to_bits();
    // Factors below 2 lack this bit, and are nearly all that there are: it takes less than to compare each.
    const TWO: u32 = 2f32.to_bits();
    factors.iter().fold(0, |all, f| all | f.to_bits()) & TWO == 0
        || factors.iter().all(|f| f.to_bits() << 1 < LIMIT << 1)
}

/// What the loops in assembly requantise with.
#[derive(Clone, Copy)]
pub(super) enum Bytes {
    /// Rounded values below 0 become the zero point, and those that are too large the greatest byte, as behind a Relu: VCVTR,
    /// USAT to eight bits, the saturating addition of the bytes `zero`, and an exclusive or.
    Rectified { zero: u32, flip: u32 },
    /// VCVTR, a saturating addition of `zero`, SSAT to eight bits, and where there are `bounds`, the least and the greatest
    /// signed byte, each four times, and an exclusive or.
    Bounded { zero: i32, bounds: Option<[u32; 3]> },
}

impl Bytes {
    /// How to requantise the sums of a task; none where that is not all.
    ///
    /// # Safety
    /// `t` passed its check.
    pub(super) unsafe fn new(t: &Task) -> Option<Self> {
        let (r, c) = (&t.p.requantize, t.p.conv.out_channels);
        // SAFETY: the caller's contract.
        let factors = unsafe { core::slice::from_raw_parts(t.multiplier, c) };
        if !t.residual.is_null() || !moderate(factors) {
            return None;
        }
        let bias = match (r.low, r.high) {
            (-128.., ..=127) => 0,
            (0.., ..=255) => 128,
            _ => return None,
        };
        let every = |byte: i32| u32::from(byte as u8) * 0x0101_0101;
        if r.low == r.zero && r.high == 127 + bias {
            return Some(Self::Rectified {
                zero: every(r.zero + 128 - bias),
                flip: every(128 - bias),
            });
        }
        Some(Self::Bounded {
            zero: r.zero - bias,
            bounds: ((r.low, r.high) != (-128, 127))
                .then(|| [every(r.low - bias), every(r.high - bias), every(bias)]),
        })
    }
}
