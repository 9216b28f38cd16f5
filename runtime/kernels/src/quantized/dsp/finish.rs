//! From sums to bytes with the floating-point unit: VCVTR rounds to the nearest integer, halves to even, and saturates.
//!
//! It gives 0 for what is no number, where the definition has the lower bound: so factors that could make such a value
//! take the plain way, as processors without the unit do.
use super::super::{Requantize, Task, scalar};
use super::tile::{PIXELS, Sums};
#[cfg(arm_vfp)]
use core::arch::asm;

/// How the sums of a task become bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With the floating-point unit.
    #[cfg(arm_vfp)]
    Unit,
    /// As it is defined.
    Plain,
}

/// Requantises and stores the outputs of a task.
#[derive(Clone, Copy)]
pub(super) struct Finish {
    way: Way,
    requantize: Requantize,
    multiplier: *const f32,
    residual: *const u8,
    y: *mut u8,
}

/// Whether no product with an integer of 32 bits is infinite.
#[cfg(arm_vfp)]
fn moderate(factor: f32) -> bool {
    const LIMIT: u32 = 1e28f32.to_bits();
    factor.to_bits() << 1 < LIMIT << 1
}

/// The integers next to the products of sums and factors.
///
/// # Safety
/// There are four factors.
#[cfg(arm_vfp)]
#[inline(always)]
unsafe fn four(sums: [i32; 4], factors: *const f32) -> [i32; 4] {
    let [mut a, mut b, mut c, mut d] = sums;
    // SAFETY: the caller's contract; the target has the unit.
    unsafe {
        asm!(
            "vmov s0, s1, {a}, {b}",
            "vmov s2, s3, {c}, {d}",
            "vldm {factors}, {{s4-s7}}",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vmul.f32 s0, s0, s4",
            "vmul.f32 s1, s1, s5",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "vmov {a}, {b}, s0, s1",
            "vmov {c}, {d}, s2, s3",
            a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
            factors = in(reg) factors,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _,
            out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d]
}

/// The integers next to the products of the sums of a tile and the factors of its columns.
#[cfg(arm_vfp)]
#[inline(always)]
pub(crate) fn six(sums: &Sums, factors: &[f32; 2]) -> Sums {
    let (a, b, c, d, e, f): (i32, i32, i32, i32, i32, i32);
    // SAFETY: reads the sums; the target has the unit.
    unsafe {
        asm!(
            "vldm {sums}, {{s0-s5}}",
            "vldm {factors}, {{s6-s7}}",
            "vcvt.f32.s32 s0, s0",
            "vcvt.f32.s32 s1, s1",
            "vcvt.f32.s32 s2, s2",
            "vcvt.f32.s32 s3, s3",
            "vcvt.f32.s32 s4, s4",
            "vcvt.f32.s32 s5, s5",
            "vmul.f32 s0, s0, s6",
            "vmul.f32 s1, s1, s7",
            "vmul.f32 s2, s2, s6",
            "vmul.f32 s3, s3, s7",
            "vmul.f32 s4, s4, s6",
            "vmul.f32 s5, s5, s7",
            "vcvtr.s32.f32 s0, s0",
            "vcvtr.s32.f32 s1, s1",
            "vcvtr.s32.f32 s2, s2",
            "vcvtr.s32.f32 s3, s3",
            "vcvtr.s32.f32 s4, s4",
            "vcvtr.s32.f32 s5, s5",
            "vmov {a}, {b}, s0, s1",
            "vmov {c}, {d}, s2, s3",
            "vmov {e}, {f}, s4, s5",
            sums = in(reg) sums,
            a = lateout(reg) a, b = lateout(reg) b, c = lateout(reg) c,
            d = lateout(reg) d, e = lateout(reg) e, f = lateout(reg) f,
            factors = in(reg) factors,
            out("s0") _, out("s1") _, out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("s6") _, out("s7") _,
            options(pure, readonly, nostack, preserves_flags)
        );
    }
    [a, b, c, d, e, f]
}

/// The integer next to a float.
#[cfg(arm_vfp)]
#[inline(always)]
fn nearest(v: f32) -> i32 {
    let mut bits = v.to_bits() as i32;
    // SAFETY: arithmetic on registers; the target has the unit.
    unsafe {
        asm!("vmov s0, {bits}", "vcvtr.s32.f32 s0, s0", "vmov {bits}, s0", bits = inout(reg) bits, out("s0") _,
            options(pure, nomem, nostack, preserves_flags));
    }
    bits
}

#[cfg(arm_vfp)]
impl Finish {
    /// The byte of a product, rounded, whose place in the outputs is `at`.
    ///
    /// # Safety
    /// The place exists.
    #[inline(always)]
    unsafe fn byte(&self, q: i32, at: usize) -> u8 {
        let r = &self.requantize;
        let q = q.saturating_add(r.zero).clamp(r.low, r.high);
        if self.residual.is_null() {
            return q as u8;
        }
        // SAFETY: the caller's contract.
        let residual = unsafe { *self.residual.add(at) };
        let sum = &r.sum;
        let residual = if sum.residual_signed {
            residual as i8 as i32
        } else {
            residual as i32
        };
        let own = (q - r.zero) as f32 * sum.own;
        let v = nearest(own + (residual - sum.residual_zero) as f32 * sum.other);
        v.saturating_add(sum.zero).clamp(sum.low, sum.high) as u8
    }

    #[inline(always)]
    unsafe fn store_tile(self, at: [usize; PIXELS], channel: usize, columns: usize, sums: &Sums) {
        // SAFETY: the caller's contract.
        unsafe {
            let m = self.multiplier.add(channel);
            // The last column may have no partner.
            let alone = [*m, 0.0];
            let factors = if columns > 1 { &*m.cast() } else { &alone };
            let q = six(sums, factors);
            for (pixel, at) in at.into_iter().enumerate() {
                let at = at + channel;
                *self.y.add(at) = self.byte(q[2 * pixel], at);
            }
            if columns > 1 {
                for (pixel, at) in at.into_iter().enumerate() {
                    let at = at + channel + 1;
                    *self.y.add(at) = self.byte(q[2 * pixel + 1], at);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn store_quad(self, at: usize, channel: usize, sums: [i32; 4]) {
        // SAFETY: the caller's contract.
        unsafe {
            let m = self.multiplier.add(channel);
            let q = four(sums, m);
            for (i, q) in q.into_iter().enumerate() {
                *self.y.add(at + i) = self.byte(q, at + i);
            }
        }
    }
}

/// What the loops in assembly requantise with: VCVTR, a saturating addition of `zero`, SSAT to eight bits, and then, where
/// there are any, the bounds.
#[cfg(arm_vfp)]
#[derive(Clone, Copy)]
pub(super) struct Bytes {
    /// Less 128 where results are unsigned.
    pub zero: i32,
    /// Least and greatest signed byte, and what is XORed to them: each four times. None for all signed bytes.
    pub bounds: Option<[u32; 3]>,
}

#[cfg(arm_vfp)]
impl Finish {
    /// How to requantise to bytes; none where that is not all.
    pub(super) fn bytes(&self) -> Option<Bytes> {
        let r = &self.requantize;
        if self.way != Way::Unit || !self.residual.is_null() {
            return None;
        }
        let bias = match (r.low, r.high) {
            (-128.., ..=127) => 0,
            (0.., ..=255) => 128,
            _ => return None,
        };
        let every = |byte: i32| u32::from((byte - bias) as u8) * 0x0101_0101;
        let all = (r.low, r.high) == (-128, 127);
        let bounds = [
            every(r.low),
            every(r.high),
            if bias == 0 { 0 } else { 0x8080_8080 },
        ];
        Some(Bytes {
            zero: r.zero - bias,
            bounds: (!all).then_some(bounds),
        })
    }
}

impl Finish {
    /// # Safety
    /// `t` passed its check.
    pub(super) unsafe fn new(t: &Task) -> Self {
        #[allow(unused_mut)]
        let mut way = Way::Plain;
        #[cfg(arm_vfp)]
        {
            let (r, c) = (&t.p.requantize, t.p.conv.out_channels);
            // SAFETY: the caller's contract.
            let factors = unsafe { core::slice::from_raw_parts(t.multiplier, c) };
            let sum = t.residual.is_null() || moderate(r.sum.own) && moderate(r.sum.other);
            if sum && factors.iter().all(|&f| moderate(f)) {
                way = Way::Unit;
            }
        }
        Self {
            way,
            requantize: t.p.requantize,
            multiplier: t.multiplier,
            residual: t.residual,
            y: t.y,
        }
    }

    /// Requantises and stores the first columns of a tile, of channels from `channel` on. `at` are the places of the
    /// pixels' first channels in the outputs; pixels may be the same.
    ///
    /// # Safety
    /// The places and channels are the task's.
    #[inline(always)]
    pub(super) unsafe fn tile(
        &self,
        t: &Task,
        at: [usize; PIXELS],
        channel: usize,
        columns: usize,
        sums: &Sums,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.way {
                #[cfg(arm_vfp)]
                Way::Unit => self.store_tile(at, channel, columns, sums),
                Way::Plain => {
                    for (at, sums) in at.into_iter().zip(sums.chunks_exact(2)) {
                        scalar::finish(t, at + channel, channel, &sums[..columns.min(2)]);
                    }
                }
            }
        }
    }

    /// Requantises and stores four channels from `channel` on, the first of which has the place `at` in the outputs.
    ///
    /// # Safety
    /// The place and channels are the task's.
    #[inline(always)]
    pub(super) unsafe fn quad(&self, t: &Task, at: usize, channel: usize, sums: [i32; 4]) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.way {
                #[cfg(arm_vfp)]
                Way::Unit => self.store_quad(at, channel, sums),
                Way::Plain => scalar::finish(t, at, channel, &sums),
            }
        }
    }
}
