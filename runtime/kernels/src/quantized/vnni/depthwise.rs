//! Depthwise convolutions: 64 channels of a column of rows are interleaved by bytes, so that one instruction multiplies
//! up to four rows of the kernel. An interleaved column serves every output whose window holds it.
use super::{Finish, with_vnni};
use crate::quantized::{Task, scalar};
use core::arch::x86_64::*;

/// Channels at a time.
const STRIP: usize = 64;
/// Outputs of a row at a time.
const WIDE: usize = 4;

/// # Safety
/// `t` passed its check for a depthwise convolution; the instruction set exists.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    let p = &t.p.conv;
    let flat = (p.input[0], p.output[0], p.kernel[0], p.pad_begin[0]) == (1, 1, 1, 0);
    let plain = flat && p.dilation == [1; 3] && p.stride[1] <= 2;
    // SAFETY: passed through.
    unsafe {
        match (plain, p.kernel[1], p.kernel[2], p.stride[2]) {
            (true, 1..=4, 3, 1) => strips::<3, 1, 1>(t),
            (true, 1..=4, 3, 2) => strips::<3, 2, 1>(t),
            (true, 5..=8, 5, 1) => strips::<5, 1, 2>(t),
            (true, 5..=8, 5, 2) => strips::<5, 2, 2>(t),
            _ => scalar::depthwise(t),
        }
    }
}

/// A strip of channels: weights, sums to start from and multipliers, in the order that interleaving gives.
struct Strip<'a, const KW: usize, const KG: usize> {
    t: &'a Task,
    finish: Finish,
    flip: __m512i,
    padding: [u8; STRIP],
    mask: __mmask64,
    first: usize,
    /// `[rows / 4][column]`, four vectors of 16 channels each.
    w: [[[__m512i; 4]; KW]; KG],
    start: [__m512i; 4],
    multiplier: [__m512; 4],
}

with_vnni! {
/// Four vectors of bytes to four vectors of 16 channels with four bytes each: lane l of vector j holds the channels
/// 16 l + 4 j and on.
unsafe fn interleave(a: [__m512i; 4]) -> [__m512i; 4] {
    let (ab0, ab1) = (_mm512_unpacklo_epi8(a[0], a[1]), _mm512_unpackhi_epi8(a[0], a[1]));
    let (cd0, cd1) = (_mm512_unpacklo_epi8(a[2], a[3]), _mm512_unpackhi_epi8(a[2], a[3]));
    [
        _mm512_unpacklo_epi16(ab0, cd0),
        _mm512_unpackhi_epi16(ab0, cd0),
        _mm512_unpacklo_epi16(ab1, cd1),
        _mm512_unpackhi_epi16(ab1, cd1),
    ]
}
}

with_vnni! {
/// 64 values of 32 bits in the order of [`interleave`]; it is its own inverse.
unsafe fn reorder(n: [__m512i; 4]) -> [__m512i; 4] {
    let (a, b) = (
        _mm512_shuffle_i32x4::<0b01_00_01_00>(n[0], n[1]),
        _mm512_shuffle_i32x4::<0b11_10_11_10>(n[0], n[1]),
    );
    let (c, d) = (
        _mm512_shuffle_i32x4::<0b01_00_01_00>(n[2], n[3]),
        _mm512_shuffle_i32x4::<0b11_10_11_10>(n[2], n[3]),
    );
    [
        _mm512_shuffle_i32x4::<0b10_00_10_00>(a, c),
        _mm512_shuffle_i32x4::<0b11_01_11_01>(a, c),
        _mm512_shuffle_i32x4::<0b10_00_10_00>(b, d),
        _mm512_shuffle_i32x4::<0b11_01_11_01>(b, d),
    ]
}
}

with_vnni! {
unsafe fn strips<const KW: usize, const S: usize, const KG: usize>(t: &Task) {
    // SAFETY: masked loads read channels of the task alone; rows and columns outside of the input read the padding.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let image = p.input[1] * p.input[2] * c;
        let finish = Finish::new(t);
        let mut first = 0;
        while first < c {
            let n = (c - first).min(STRIP);
            let mask = u64::MAX >> (STRIP - n);
            let mut w = [[[_mm512_setzero_si512(); 4]; KW]; KG];
            for (g, w) in w.iter_mut().enumerate() {
                for (kx, w) in w.iter_mut().enumerate() {
                    let mut rows = [_mm512_setzero_si512(); 4];
                    for (i, row) in rows.iter_mut().enumerate() {
                        let ky = g * 4 + i;
                        if ky < p.kernel[1] {
                            let from = t.w.add((ky * KW + kx) * c + first);
                            *row = _mm512_maskz_loadu_epi8(mask, from);
                        }
                    }
                    *w = interleave(rows);
                }
            }
            let (mut start, mut multiplier) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_si512(); 4]);
            for i in 0..4 {
                let part = (mask >> (16 * i)) as u16;
                let at = first + (16 * i).min(n);
                start[i] = _mm512_maskz_loadu_epi32(part, t.start.add(c + at));
                multiplier[i] = _mm512_maskz_loadu_epi32(part, t.multiplier.add(at).cast());
            }
            let multiplier = reorder(multiplier);
            let strip = Strip::<KW, KG> {
                t,
                finish,
                flip: _mm512_set1_epi8(t.flip() as i8),
                padding: [t.p.x_zero; STRIP],
                mask,
                first,
                w,
                start: reorder(start),
                multiplier: [
                    _mm512_castsi512_ps(multiplier[0]),
                    _mm512_castsi512_ps(multiplier[1]),
                    _mm512_castsi512_ps(multiplier[2]),
                    _mm512_castsi512_ps(multiplier[3]),
                ],
            };
            for row in t.rows.0..t.rows.1 {
                let y = (row % p.output[1] * p.stride[1]) as i32 - p.pad_begin[1] as i32;
                let x = t.x.add(row / (p.output[0] * p.output[1]) * image);
                // Rows of the window that lie outside of the input stay null.
                let mut lines = [[core::ptr::null(); 4]; KG];
                for ky in 0..p.kernel[1] {
                    let y = y + ky as i32;
                    if (y as u32) < p.input[1] as u32 {
                        lines[ky / 4][ky % 4] = x.add(y as usize * p.input[2] * c + first);
                    }
                }
                let at = (row - t.rows.0) * p.output[2];
                let mut ox = 0;
                while ox + WIDE <= p.output[2] {
                    strip.block::<S, WIDE>(&lines, ox, at + ox);
                    ox += WIDE;
                }
                while ox < p.output[2] {
                    strip.block::<S, 1>(&lines, ox, at + ox);
                    ox += 1;
                }
            }
            first += STRIP;
        }
    }
}
}

impl<const KW: usize, const KG: usize> Strip<'_, KW, KG> {
    with_vnni! {
    /// `P` outputs of a row from column `ox` on, stored from pixel `pixel` on.
    unsafe fn block<const S: usize, const P: usize>(
        &self,
        lines: &[[*const u8; 4]; KG],
        ox: usize,
        pixel: usize,
    ) {
        // SAFETY: as `strips`.
        unsafe {
            let (t, p) = (self.t, &self.t.p.conv);
            let c = p.out_channels;
            let mut acc = [self.start; P];
            let x = (ox * S) as i32 - p.pad_begin[2] as i32;
            for column in 0..(P - 1) * S + KW {
                let at = x + column as i32;
                let inside = (at as u32) < p.input[2] as u32;
                for g in 0..KG {
                    let mut rows = [_mm512_setzero_si512(); 4];
                    for i in 0..4 {
                        if g * 4 + i >= p.kernel[1] {
                            continue;
                        }
                        let from = if inside && !lines[g][i].is_null() {
                            lines[g][i].add(at as usize * c)
                        } else {
                            self.padding.as_ptr()
                        };
                        let v = _mm512_maskz_loadu_epi8(self.mask, from.cast());
                        rows[i] = _mm512_xor_si512(v, self.flip);
                    }
                    let rows = interleave(rows);
                    for o in 0..P {
                        if column < o * S || column - o * S >= KW {
                            continue;
                        }
                        let w = &self.w[g][column - o * S];
                        for j in 0..4 {
                            acc[o][j] = _mm512_dpbusd_epi32(acc[o][j], rows[j], w[j]);
                        }
                    }
                }
            }
            let byte = _mm512_set1_epi32(0xff);
            for o in 0..P {
                let at = (pixel + o) * c + self.first;
                if self.finish.narrow {
                    // Packing undoes the order of interleaving.
                    let bytes = self.finish.pack(acc[o], self.multiplier);
                    _mm512_mask_storeu_epi8(t.y.add(at).cast(), self.mask, bytes);
                    continue;
                }
                let mut q = [_mm512_setzero_si512(); 4];
                for j in 0..4 {
                    q[j] = self.finish.quantise(acc[o][j], self.multiplier[j]);
                }
                if !t.residual.is_null() {
                    let mut natural = reorder(q);
                    for (i, q) in natural.iter_mut().enumerate() {
                        let part = (self.mask >> (16 * i)) as u16;
                        let from = t.residual.add(at).wrapping_add(16 * i);
                        *q = self.finish.add(*q, _mm_maskz_loadu_epi8(part, from.cast()));
                    }
                    q = reorder(natural);
                }
                for q in &mut q {
                    *q = _mm512_and_si512(*q, byte);
                }
                let low = _mm512_packus_epi32(q[0], q[1]);
                let high = _mm512_packus_epi32(q[2], q[3]);
                let bytes = _mm512_packus_epi16(low, high);
                _mm512_mask_storeu_epi8(t.y.add(at).cast(), self.mask, bytes);
            }
        }
    }
    }
}
