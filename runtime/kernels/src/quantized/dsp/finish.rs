//! From sums to bytes with the floating-point unit: VCVTR rounds to the nearest integer, halves to even, and saturates.
//!
//! It gives 0 for what is no number, where the definition has the lower bound: so tasks with factors that could make such
//! a value take the plain way, as those with residuals and processors without the unit do.
use super::super::Task;

/// Whether no product with an integer of 32 bits is infinite.
fn moderate(factor: f32) -> bool {
    const LIMIT: u32 = 1e28f32.to_bits();
    factor.to_bits() << 1 < LIMIT << 1
}

/// What the loops in assembly requantise with: VCVTR, a saturating addition of `zero`, SSAT to eight bits, and then, where
/// there are any, the bounds.
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    /// Less 128 where results are unsigned.
    pub zero: i32,
    /// Least and greatest signed byte, and what is XORed to them: each four times. None for all signed bytes.
    pub bounds: Option<[u32; 3]>,
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
        if !t.residual.is_null() || !factors.iter().all(|&f| moderate(f)) {
            return None;
        }
        let bias = match (r.low, r.high) {
            (-128.., ..=127) => 0,
            (0.., ..=255) => 128,
            _ => return None,
        };
        let every = |byte: i32| u32::from((byte - bias) as u8) * 0x0101_0101;
        let all = (r.low, r.high) == (-128, 127);
        let flip = if bias == 0 { 0 } else { 0x8080_8080 };
        Some(Self {
            zero: r.zero - bias,
            bounds: (!all).then_some([every(r.low), every(r.high), flip]),
        })
    }
}
