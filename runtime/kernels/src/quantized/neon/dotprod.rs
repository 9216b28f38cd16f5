//! Dense convolutions with Arm SDOT: four pixels by 16 channels in registers, inputs read as signed bytes.
//!
//! Sixteen bytes of a pixel are four groups of a kernel row, taken lane by lane; bytes without a sign are flipped once
//! for each such load. Windows that are not one run of memory are gathered on the stack.
use crate::gemm::PANEL;
use crate::quantized::{GROUP, Task};
use core::arch::aarch64::*;
use core::arch::asm;

/// Pixels of a tile.
const ROWS: usize = 4;

/// Bytes of a pixel's window that are gathered at once; a multiple of 16.
const CHUNK: usize = 256;

/// Pixels of a pointwise convolution that all panels pass over while they are in the first-level cache.
const BLOCK: usize = 32;

type Sums = [[int32x4_t; 4]; ROWS];

/// `c += w . x[lane]` for four channels.
macro_rules! sdot {
    ($c:expr, $w:expr, $x:expr, $lane:literal) => {
        asm!(
            concat!("sdot {c:v}.4s, {w:v}.16b, {x:v}.4b[", $lane, "]"),
            c = inout(vreg) $c,
            w = in(vreg) $w,
            x = in(vreg) $x,
            options(pure, nomem, nostack, preserves_flags),
        )
    };
}

/// One group of four steps.
macro_rules! group {
    ($sums:ident, $w:expr, $x:ident, $lane:literal) => {
        for j in 0..4 {
            let w = vld1q_s8($w.add(j * 16));
            for r in 0..ROWS {
                sdot!($sums[r][j], w, $x[r], $lane);
            }
        }
    };
}

/// Adds `groups` groups of four bytes of every pixel.
///
/// # Safety
/// `x` are valid for `groups * 4` bytes, `w` for `groups * 64`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn run(
    sums: &mut Sums,
    mut x: [*const u8; ROWS],
    mut w: *const i8,
    groups: usize,
    flip: u8,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let flip = vdupq_n_u8(flip);
        let mut s = *sums;
        for _ in 0..groups / 4 {
            let v = x.map(|x| veorq_u8(vld1q_u8(x), flip));
            group!(s, w, v, "0");
            group!(s, w.add(64), v, "1");
            group!(s, w.add(128), v, "2");
            group!(s, w.add(192), v, "3");
            w = w.add(256);
            x = x.map(|x| x.add(16));
        }
        for _ in 0..groups % 4 {
            let v = x.map(|x| {
                let four = vdupq_n_u32(x.cast::<u32>().read_unaligned());
                veorq_u8(vreinterpretq_u8_u32(four), flip)
            });
            group!(s, w, v, "0");
            w = w.add(64);
            x = x.map(|x| x.add(4));
        }
        *sums = s;
    }
}

/// A panel's channels: sums' starts and multipliers, filled up with zeros.
struct Panel {
    first: usize,
    columns: usize,
    start: [i32; PANEL],
    multiplier: [f32; PANEL],
}

/// `clamp(round_half_even(v), low..=high)`; the lower bound of a NaN.
#[inline]
#[target_feature(enable = "neon")]
fn bounded(v: float32x4_t, low: i32, high: i32) -> int32x4_t {
    let v = vmaxnmq_f32(v, vdupq_n_f32(low as f32));
    vcvtnq_s32_f32(vminnmq_f32(v, vdupq_n_f32(high as f32)))
}

#[inline]
#[target_feature(enable = "neon")]
fn narrow(v: [int32x4_t; 4], zero: i32) -> uint8x16_t {
    let v = v.map(|v| vaddq_s32(v, vdupq_n_s32(zero)));
    let low = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1]));
    let high = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));
    vreinterpretq_u8_s8(vcombine_s8(vmovn_s16(low), vmovn_s16(high)))
}

/// Requantises and stores a pixel's 16 channels.
///
/// # Safety
/// `at` is the place of the panel's first channel in the task's results.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn store(t: &Task, panel: &Panel, at: usize, sums: [int32x4_t; 4]) {
    // SAFETY: only the panel's columns are read and written.
    unsafe {
        let (q, n) = (&t.p.requantize, panel.columns);
        let mut v = sums;
        for j in 0..4 {
            let m = vld1q_f32(panel.multiplier.as_ptr().add(j * 4));
            let product = vmulq_f32(vcvtq_f32_s32(v[j]), m);
            v[j] = bounded(product, q.low - q.zero, q.high - q.zero);
        }
        let mut zero = q.zero;
        if !t.residual.is_null() {
            let s = &q.sum;
            let mut bytes = [0u8; PANEL];
            core::ptr::copy_nonoverlapping(t.residual.add(at), bytes.as_mut_ptr(), n);
            for j in 0..4 {
                let r: [i32; 4] = core::array::from_fn(|i| {
                    let b = bytes[j * 4 + i];
                    let b = if s.residual_signed {
                        b as i8 as i32
                    } else {
                        b as i32
                    };
                    b - s.residual_zero
                });
                let own = vmulq_f32(vcvtq_f32_s32(v[j]), vdupq_n_f32(s.own));
                let other = vcvtq_f32_s32(vld1q_s32(r.as_ptr()));
                let other = vmulq_f32(other, vdupq_n_f32(s.other));
                v[j] = bounded(vaddq_f32(own, other), s.low - s.zero, s.high - s.zero);
            }
            zero = s.zero;
        }
        let bytes = narrow(v, zero);
        if n == PANEL {
            vst1q_u8(t.y.add(at), bytes);
        } else {
            let mut all = [0u8; PANEL];
            vst1q_u8(all.as_mut_ptr(), bytes);
            core::ptr::copy_nonoverlapping(all.as_ptr(), t.y.add(at), n);
        }
    }
}

impl Panel {
    unsafe fn new(t: &Task, first: usize, columns: usize) -> Panel {
        let mut p = Panel {
            first,
            columns,
            start: [0; PANEL],
            multiplier: [0.0; PANEL],
        };
        // SAFETY: the panel's channels exist.
        unsafe {
            for c in 0..columns {
                p.start[c] = *t.start.add(first + c);
                p.multiplier[c] = *t.multiplier.add(first + c);
            }
        }
        p
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn sums(&self) -> Sums {
        // SAFETY: four vectors fill the array.
        let one = core::array::from_fn(|j| unsafe { vld1q_s32(self.start.as_ptr().add(j * 4)) });
        [one; ROWS]
    }
}

/// # Safety
/// `t` passed its check, and the machine has dot products.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p.conv;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let panels = og.div_ceil(PANEL);
        let panel_len = p.kernel[0] * p.kernel[1] * p.packed_row() * PANEL;
        let flip = if t.p.signed { 0 } else { 0x80 };
        let pointwise = p.kernel == [1; 3]
            && p.stride == [1; 3]
            && p.pad_begin == [0; 3]
            && p.input == p.output
            && ig % GROUP == 0;
        // Pixels in a line that a panel passes over.
        let (total, line) = if pointwise {
            ((t.rows.1 - t.rows.0) * p.output[2], BLOCK)
        } else {
            ((t.rows.1 - t.rows.0) * p.output[2], p.output[2])
        };
        let first = t.rows.0 * p.output[2];
        let mut begin = 0;
        while begin < total {
            let end = (begin + line).min(total);
            for part in 0..p.groups * panels {
                let (g, i) = (part / panels, part % panels);
                let columns = (og - i * PANEL).min(PANEL);
                let panel = Panel::new(t, g * og + i * PANEL, columns);
                let w = t.w.add(part * panel_len);
                let mut at = begin;
                while at < end {
                    let rows = (end - at).min(ROWS);
                    let mut sums = panel.sums();
                    if pointwise {
                        let x: [_; ROWS] = core::array::from_fn(|r| {
                            let pixel = first + at + r.min(rows - 1);
                            t.x.wrapping_add(pixel * p.in_channels + g * ig)
                        });
                        run(&mut sums, x, w, ig / GROUP, flip);
                    } else {
                        windows(t, &mut sums, g, w, first + at, rows, flip);
                    }
                    for r in 0..rows {
                        store(t, &panel, (at + r) * p.out_channels + panel.first, sums[r]);
                    }
                    at += rows;
                }
            }
            begin = end;
        }
    }
}

/// Adds the windows of `rows` pixels of one line, the first of which is `pixel` of all.
///
/// # Safety
/// As [`dense`]; `w` is the panel.
#[target_feature(enable = "neon,dotprod")]
unsafe fn windows(
    t: &Task,
    sums: &mut Sums,
    g: usize,
    mut w: *const i8,
    pixel: usize,
    rows: usize,
    flip: u8,
) {
    // SAFETY: pointers are formed only for taps inside the input.
    unsafe {
        let p = &t.p.conv;
        let ig = p.in_channels / p.groups;
        let (run_len, packed) = (p.kernel[2] * ig, p.packed_row());
        let (x, row) = (pixel % p.output[2], pixel / p.output[2]);
        let (y, z) = (row % p.output[1], row / p.output[1] % p.output[0]);
        let image = row / p.output[1] / p.output[0];
        let joined = p.groups == 1 && (p.dilation[2] == 1 || p.kernel[2] == 1);
        let left = (x * p.stride[2]).wrapping_sub(p.pad_begin[2]);
        let reach = (x + rows - 1) * p.stride[2] + (p.kernel[2] - 1) * p.dilation[2];
        let inside =
            x * p.stride[2] >= p.pad_begin[2] && reach.wrapping_sub(p.pad_begin[2]) < p.input[2];
        let direct = joined && inside && run_len == packed;
        for kz in 0..p.kernel[0] {
            for ky in 0..p.kernel[1] {
                let iz = (z * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                let iy = (y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                let exists = iz < p.input[0] && iy < p.input[1];
                let line = t.x.wrapping_add(
                    ((image * p.input[0]).wrapping_add(iz) * p.input[1])
                        .wrapping_add(iy)
                        .wrapping_mul(p.input[2] * p.in_channels),
                );
                if direct && exists {
                    let from = line.add(left * p.in_channels);
                    let x = core::array::from_fn(|r| {
                        from.wrapping_add(r.min(rows - 1) * p.stride[2] * p.in_channels)
                    });
                    run(sums, x, w, packed / GROUP, flip);
                } else {
                    let mut k = 0;
                    while k < packed {
                        let len = (packed - k).min(CHUNK);
                        let mut bytes = [[t.p.x_zero; CHUNK]; ROWS];
                        for r in 0..rows {
                            let mut i = 0;
                            while exists && i < len.min(run_len - k) {
                                let (tap, c) = ((k + i) / ig, (k + i) % ig);
                                let n = (ig - c).min(len.min(run_len - k) - i);
                                let ix = ((x + r) * p.stride[2] + tap * p.dilation[2])
                                    .wrapping_sub(p.pad_begin[2]);
                                if ix < p.input[2] {
                                    let from = line.add(ix * p.in_channels + g * ig + c);
                                    let to = bytes[r].as_mut_ptr().add(i);
                                    core::ptr::copy_nonoverlapping(from, to, n);
                                }
                                i += n;
                            }
                        }
                        let x = core::array::from_fn(|r| bytes[r].as_ptr());
                        run(sums, x, w.add(k * PANEL), len / GROUP, flip);
                        k += len;
                    }
                }
                w = w.add(packed * PANEL);
            }
        }
    }
}
