//! Arm Advanced SIMD. Inputs are read as signed bytes: those without a sign are flipped by 0x80.
mod dense;
mod depthwise;
mod dot_depthwise;
mod dotprod;
mod i8mm;
mod pack;
mod plain;

pub(super) use depthwise::depthwise;
pub(super) use dot_depthwise::depthwise as dotprod_depthwise;
pub(super) use dotprod::dense as dotprod_dense;
pub(super) use i8mm::dense as i8mm_dense;
pub(super) use plain::dense as plain_dense;

use super::Task;
use core::arch::aarch64::*;

impl Task {
    /// What turns the input's bytes into signed ones.
    const fn flip(&self) -> u8 {
        if self.p.signed { 0 } else { 0x80 }
    }

    /// Whether all multipliers are finite, so that no product with a sum is NaN.
    #[inline]
    #[target_feature(enable = "neon")]
    fn finite(&self) -> bool {
        let n = self.p.conv.out_channels;
        // SAFETY: the task has a multiplier for each output channel.
        let all = unsafe { core::slice::from_raw_parts(self.multiplier, n) };
        let mut greatest = 0;
        for m in all {
            greatest = greatest.max(m.to_bits() & 0x7fff_ffff);
        }
        greatest < f32::INFINITY.to_bits()
    }
}

/// How 16-bit results become bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrow {
    /// Saturating to -128..=127.
    Signed,
    /// Saturating to 0..=255.
    Unsigned,
    /// Within other bounds.
    Bounds,
}

/// The requantisation of sums whose multipliers are finite.
///
/// Conversions to integers and to 16 bits saturate, and so does the addition of the zero point: whatever they cut lies
/// outside of all bounds.
#[derive(Clone, Copy)]
struct Finish {
    narrow: Narrow,
    zero: int16x8_t,
    low: int16x8_t,
    high: int16x8_t,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(t: &Task) -> Self {
        let r = &t.p.requantize;
        Self {
            narrow: match (r.low, r.high) {
                (-128, 127) => Narrow::Signed,
                (0, 255) => Narrow::Unsigned,
                _ => Narrow::Bounds,
            },
            zero: vdupq_n_s16(r.zero as i16),
            low: vdupq_n_s16(r.low as i16),
            high: vdupq_n_s16(r.high as i16),
        }
    }

    /// Products with the multipliers, rounded; 16 values.
    #[inline]
    #[target_feature(enable = "neon")]
    fn products(sums: [int32x4_t; 4], multiplier: [float32x4_t; 4]) -> [int16x8_t; 2] {
        let v: [int32x4_t; 4] = core::array::from_fn(|j| {
            vcvtnq_s32_f32(vmulq_f32(vcvtq_f32_s32(sums[j]), multiplier[j]))
        });
        [
            vqmovn_high_s32(vqmovn_s32(v[0]), v[1]),
            vqmovn_high_s32(vqmovn_s32(v[2]), v[3]),
        ]
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn bounded(&self, v: int16x8_t) -> int16x8_t {
        vminq_s16(vmaxq_s16(v, self.low), self.high)
    }

    /// Results of 16 sums.
    #[inline]
    #[target_feature(enable = "neon")]
    fn apply(&self, sums: [int32x4_t; 4], multiplier: [float32x4_t; 4]) -> uint8x16_t {
        let v = Self::products(sums, multiplier).map(|v| vqaddq_s16(v, self.zero));
        match self.narrow {
            Narrow::Signed => vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(v[0]), v[1])),
            Narrow::Unsigned => vqmovun_high_s16(vqmovun_s16(v[0]), v[1]),
            Narrow::Bounds => {
                let v = v.map(|v| vreinterpretq_u8_s16(self.bounded(v)));
                vuzp1q_u8(v[0], v[1])
            }
        }
    }
}

/// The requantisation of sums whose multipliers are finite, with a residual.
#[derive(Clone, Copy)]
struct Sum {
    /// Bounds of the task's own results, less their zero point.
    own_bounds: [float32x4_t; 2],
    signed: bool,
    residual_zero: int16x8_t,
    own: f32,
    other: f32,
    /// Bounds of the sums, less their zero point.
    bounds: [float32x4_t; 2],
    zero: int16x8_t,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(t: &Task) -> Self {
        let r = &t.p.requantize;
        Self {
            own_bounds: [r.low, r.high].map(|v| vdupq_n_f32((v - r.zero) as f32)),
            signed: r.sum.residual_signed,
            residual_zero: vdupq_n_s16(r.sum.residual_zero as i16),
            own: r.sum.own,
            other: r.sum.other,
            bounds: [r.sum.low, r.sum.high].map(|v| vdupq_n_f32((v - r.sum.zero) as f32)),
            zero: vdupq_n_s16(r.sum.zero as i16),
        }
    }

    /// Results of 16 sums and bytes of the residual.
    #[inline]
    #[target_feature(enable = "neon")]
    fn add(
        &self,
        sums: [int32x4_t; 4],
        multiplier: [float32x4_t; 4],
        residual: uint8x16_t,
    ) -> uint8x16_t {
        // Whole numbers all along: as floats they need no conversions.
        let [least, greatest] = self.own_bounds;
        let q: [float32x4_t; 4] = core::array::from_fn(|j| {
            let v = vrndnq_f32(vmulq_f32(vcvtq_f32_s32(sums[j]), multiplier[j]));
            vminnmq_f32(vmaxnmq_f32(v, least), greatest)
        });
        let r = if self.signed {
            let r = vreinterpretq_s8_u8(residual);
            [vmovl_s8(vget_low_s8(r)), vmovl_high_s8(r)]
        } else {
            [vmovl_u8(vget_low_u8(residual)), vmovl_high_u8(residual)]
                .map(|r| vreinterpretq_s16_u16(r))
        };
        let r = r.map(|r| vsubq_s16(r, self.residual_zero));
        let [low, high] = self.bounds;
        let sum = |q: float32x4_t, r: int32x4_t| {
            let own = vmulq_n_f32(q, self.own);
            let other = vmulq_n_f32(vcvtq_f32_s32(r), self.other);
            // The lower bound of a NaN: FMAXNM gives the number.
            let v = vmaxnmq_f32(vaddq_f32(own, other), low);
            vcvtnq_s32_f32(vminnmq_f32(v, high))
        };
        let v: [uint8x16_t; 2] = core::array::from_fn(|i| {
            let first = sum(q[2 * i], vmovl_s16(vget_low_s16(r[i])));
            let second = sum(q[2 * i + 1], vmovl_high_s16(r[i]));
            let v = vmovn_high_s32(vmovn_s32(first), second);
            vreinterpretq_u8_s16(vaddq_s16(v, self.zero))
        });
        vuzp1q_u8(v[0], v[1])
    }
}

/// Sixteen values of 32 bits.
///
/// # Safety
/// `from` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_sums(from: *const i32) -> [int32x4_t; 4] {
    // SAFETY: the caller's contract.
    core::array::from_fn(|j| unsafe { vld1q_s32(from.add(j * 4)) })
}

/// # Safety
/// `from` is valid for sixteen values.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load_floats(from: *const f32) -> [float32x4_t; 4] {
    // SAFETY: the caller's contract.
    core::array::from_fn(|j| unsafe { vld1q_f32(from.add(j * 4)) })
}
