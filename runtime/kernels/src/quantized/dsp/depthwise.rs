//! Depthwise convolutions: SMLAD takes two taps of a channel. Four channels at a time, the taps through a list.
use super::super::Task;
use super::super::blocks::CHANNELS;
use super::super::scalar::{self, channels};
#[cfg(arm_vfp)]
use super::{finish::Bytes, nine};
use super::{lower, upper, widen, word};
use crate::conv::Conv;
use core::arch::asm;

/// Pairs of taps for which there is room: those of a 5 x 5 window.
const PAIRS: usize = 13;

/// Taps for which there is room.
pub(super) const TAPS: usize = 2 * PAIRS;

/// Widened weights for which there is room: of [`CHANNELS`] channels in a 3 x 3 window.
const QUADS: usize = CHANNELS / 4 * 5;

/// Weights of four channels for a pair of taps, as halves: of channels 0, 1, 2 and 3.
type Quad = [u32; 4];

/// Interleaves two taps of four channels: each word holds one channel's bytes of both.
#[inline(always)]
fn interleave<const SIGNED: bool>(a: u32, b: u32) -> Quad {
    let low = widen::<SIGNED>(lower(a, b));
    let high = widen::<SIGNED>(upper(a, b));
    [low[0], low[1], high[0], high[1]]
}

/// Writes the loop over pairs of taps: 17 instructions for 8 products. What LLVM keeps for itself (r6, the frame pointer)
/// is saved around it.
macro_rules! taps {
    ($extend:literal, $s:ident, $taps:ident, $i:ident, $w:ident, $n:ident) => {
        asm!(
            "push {{r6, r7}}",
            "2:",
            "ldrd r6, r7, [r0], #8",
            "ldr r6, [r6, r1]",
            "ldr r7, [r7, r1]",
            "pkhbt r10, r6, r7, lsl #16",
            "pkhtb r11, r7, r6, asr #16",
            "ldrd r6, r7, [r2], #8",
            concat!($extend, " r12, r10"),
            concat!($extend, " r10, r10, ror #8"),
            "smlad r4, r12, r6, r4",
            "smlad r5, r10, r7, r5",
            "ldrd r6, r7, [r2], #8",
            concat!($extend, " r12, r11"),
            concat!($extend, " r11, r11, ror #8"),
            "smlad r8, r12, r6, r8",
            "smlad r9, r11, r7, r9",
            "subs r3, #1",
            "bne 2b",
            "pop {{r6, r7}}",
            inout("r0") $taps => _, in("r1") $i, inout("r2") $w => _, inout("r3") $n => _,
            inout("r4") $s[0], inout("r5") $s[1], inout("r8") $s[2], inout("r9") $s[3],
            out("r10") _, out("r11") _, out("r12") _,
        )
    };
}

/// The sums of four channels from `s` on, over a list of taps, of which the bytes at `i` count.
///
/// # Safety
/// The bytes are valid; there are pairs, and `w` holds `n` quads.
#[inline(always)]
unsafe fn quad<const SIGNED: bool>(
    mut s: [i32; 4],
    list: *const [*const u8; 2],
    i: usize,
    w: *const Quad,
    n: usize,
) -> [i32; 4] {
    // SAFETY: the caller's contract. The loops read memory, and change registers and flags.
    unsafe {
        if SIGNED {
            taps!("sxtb16", s, list, i, w, n);
        } else {
            taps!("uxtb16", s, list, i, w, n);
        }
    }
    s
}

/// Whether a depthwise convolution goes through lists of taps alone.
pub(in crate::quantized) const fn is_listed(p: &Conv) -> bool {
    #[cfg(arm_vfp)]
    if nine::fits(p) {
        return false;
    }
    p.kernel[0] * p.kernel[1] * p.kernel[2] <= TAPS
}

/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`] for a depthwise convolution that [`is_listed`], and its bytes are as
/// `SIGNED` says.
pub(super) unsafe fn listed<const SIGNED: bool>(t: &Task) {
    // SAFETY: the caller's contract.
    unsafe { lists::<SIGNED>(t, 0) }
}

/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`] for a depthwise convolution of at most [`TAPS`] taps, and its bytes
/// are as `SIGNED` says.
pub(super) unsafe fn run<const SIGNED: bool>(t: &Task) {
    // SAFETY: the caller's contract.
    unsafe {
        #[allow(unused_mut)]
        let mut done = 0;
        #[cfg(arm_vfp)]
        if nine::fits(&t.p.conv)
            && let Some(bytes) = Bytes::new(t)
        {
            done = nine::run::<SIGNED>(t, bytes);
        }
        if done < t.p.conv.out_channels {
            lists::<SIGNED>(t, done);
        }
    }
}

/// Computes the channels from `from` on, through lists of taps.
///
/// # Safety
/// As for [`run`].
#[inline(never)]
unsafe fn lists<const SIGNED: bool>(t: &Task, from: usize) {
    let p = &t.p.conv;
    let c = p.out_channels;
    let rows = p.kernel[0] * p.kernel[1];
    let taps = rows * p.kernel[2];
    let pairs = taps.div_ceil(2);
    let step = (QUADS / pairs * 4).min(CHANNELS);
    let starts = t.starts(SIGNED);
    let zeros = [t.p.x_zero; CHANNELS];
    let mut wide = [[0u32; 4]; QUADS];
    let mut list = [[zeros.as_ptr(); 2]; PAIRS];
    for first in (from..c).step_by(step) {
        let n = (c - first).min(step);
        let whole = n / 4 * 4;
        let w = t.w.wrapping_add(first);
        // SAFETY: offsets stay inside the extents that `check` proved.
        unsafe {
            for (i, quads) in wide[..whole / 4 * pairs]
                .chunks_exact_mut(pairs)
                .enumerate()
            {
                for (tap, quad) in (0..taps).step_by(2).zip(quads) {
                    let w = w.add(tap * c + i * 4).cast::<u8>();
                    // The last tap may have no partner.
                    let other = if tap + 1 < taps { word(w.add(c)) } else { 0 };
                    *quad = interleave::<true>(word(w), other);
                }
            }
            for row in t.rows.0..t.rows.1 {
                let line = t.line(row);
                let all = (0..rows).all(|k| {
                    t.input_row(&line, k / p.kernel[1], k % p.kernel[1])
                        .is_some()
                });
                // The pixel whose list serves all pixels inside of the row.
                let mut listed = None;
                for x in 0..p.output[2] {
                    let inside = all && t.inside(x);
                    let from = if inside { listed } else { None };
                    if from.is_none() {
                        let mut slots = list.as_flattened_mut().iter_mut();
                        t.taps(&line, x, first, zeros.as_ptr(), |tap| {
                            if let Some(slot) = slots.next() {
                                *slot = tap;
                            }
                        });
                        if taps % 2 == 1 {
                            // Its partner's weight is 0.
                            list.as_flattened_mut()[taps] = list.as_flattened()[taps - 1];
                        }
                        listed = inside.then_some(x);
                    }
                    let offset = from.map_or(0, |from| (x - from) * p.stride[2] * c);
                    let at = line.at + x * c + first;
                    let mut sums = [0i32; CHANNELS];
                    core::ptr::copy_nonoverlapping(starts.add(first), sums.as_mut_ptr(), n);
                    let blocks = sums[..whole].chunks_exact_mut(4);
                    for (i, sums) in blocks.enumerate() {
                        let w = wide.as_ptr().add(i * pairs);
                        let s = [sums[0], sums[1], sums[2], sums[3]];
                        let s = quad::<SIGNED>(s, list.as_ptr(), offset + i * 4, w, pairs);
                        sums.copy_from_slice(&s);
                    }
                    if whole < n {
                        let list = list.as_flattened();
                        // The rare rest has no list with an offset.
                        let list: [*const u8; TAPS] =
                            core::array::from_fn(|i| list[i].wrapping_add(offset));
                        channels::<SIGNED>(&mut sums[..n], &list[..taps], whole, w, c);
                    }
                    scalar::finish(t, at, first, &sums[..n]);
                }
            }
        }
    }
}
