//! Arm's DSP extension (Cortex-M4, M7, M33): SMLAD adds two products of 16-bit halves to a sum.
//!
//! SXTB16 widens bytes 0 and 2 of a word to halves, after a rotation bytes 1 and 3: so the four bytes of a group, in
//! whatever order, as long as weights and inputs share it. Bytes without a sign are widened by UXTB16 in place of it.
use super::blocks::{self, CHANNELS, PIXELS, Products};
use super::scalar::{self, channels, finish};
use super::{GROUP, Task, WIDTH};
use crate::gemm::PANEL;
use core::arch::asm;

/// Writes a function of one instruction.
macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($arg:ident),*) = $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name($($arg: u32),*) -> u32 {
            let out: u32;
            // SAFETY: arithmetic on registers; the target has the extension.
            unsafe {
                asm!($text, out = lateout(reg) out, $($arg = in(reg) $arg,)*
                    options(pure, nomem, nostack, preserves_flags));
            }
            out
        }
    };
}

instruction!(
    /// Signed bytes 0 and 2 as halves.
    sxtb16(x) = "sxtb16 {out}, {x}"
);
instruction!(
    /// Signed bytes 1 and 3 as halves.
    sxtb16_odd(x) = "sxtb16 {out}, {x}, ror #8"
);
instruction!(
    /// Bytes 0 and 2 as halves.
    uxtb16(x) = "uxtb16 {out}, {x}"
);
instruction!(
    /// Bytes 1 and 3 as halves.
    uxtb16_odd(x) = "uxtb16 {out}, {x}, ror #8"
);
instruction!(
    /// The lower half of `a` below the lower half of `b`.
    lower(a, b) = "pkhbt {out}, {a}, {b}, lsl #16"
);
instruction!(
    /// The upper half of `a` below the upper half of `b`.
    upper(a, b) = "pkhtb {out}, {b}, {a}, asr #16"
);

/// Adds the products of both halves; wraps around, but sets the flag Q.
#[inline(always)]
fn smlad(sum: &mut i32, x: u32, w: u32) {
    // SAFETY: arithmetic on registers; the target has the extension. Not `pure`, so that the order of products stays as
    // written, which needs the fewest registers.
    unsafe {
        asm!("smlad {sum}, {x}, {w}, {sum}", sum = inout(reg) *sum, x = in(reg) x, w = in(reg) w,
            options(nomem, nostack));
    }
}

/// The bytes of a word as two pairs of halves.
#[inline(always)]
fn widen<const SIGNED: bool>(x: u32) -> [u32; 2] {
    if SIGNED {
        [sxtb16(x), sxtb16_odd(x)]
    } else {
        [uxtb16(x), uxtb16_odd(x)]
    }
}

/// # Safety
/// Four bytes are valid.
#[inline(always)]
unsafe fn word(x: *const u8) -> u32 {
    // SAFETY: the caller's contract.
    unsafe { x.cast::<u32>().read_unaligned() }
}

pub(super) struct Dsp;

impl Products for Dsp {
    #[inline(always)]
    unsafe fn dense<const SIGNED: bool>(
        sums: &mut [[i32; PANEL]; PIXELS],
        columns: usize,
        x: [*const u8; PIXELS],
        w: *const i8,
        pair: usize,
        n: usize,
    ) {
        // SAFETY: the contract of the trait.
        unsafe { panel::<SIGNED>(sums, columns, x, w.cast(), pair, n) }
    }

    #[inline(always)]
    unsafe fn depthwise<const SIGNED: bool>(
        sums: &mut [i32; CHANNELS],
        x: &[*const u8],
        w: *const i8,
        c: usize,
        n: usize,
    ) {
        // SAFETY: the contract of the trait.
        unsafe { channels::<SIGNED>(&mut sums[..n], x, 0, w, c) }
    }
}

/// Writes the loop over whole groups: 22 instructions for 16 products. It takes all 14 registers, two more than may be
/// operands (the frame pointer and its neighbour), so these are saved around it and the others named.
macro_rules! groups {
    ($extend:literal, $s:ident, $x:expr, $y:expr, $w:ident, $n:ident) => {
        asm!(
            "push {{r6, r7}}",
            "2:",
            "ldr r10, [r0], #4",
            "ldr r11, [r1], #4",
            concat!($extend, " r6, r10"),
            concat!($extend, " r10, r10, ror #8"),
            concat!($extend, " r7, r11"),
            concat!($extend, " r11, r11, ror #8"),
            "ldr r12, [r2, #4]",
            "sxtb16 lr, r12",
            "sxtb16 r12, r12, ror #8",
            "smlad r5, r6, lr, r5",
            "smlad r9, r7, lr, r9",
            "smlad r5, r10, r12, r5",
            "smlad r9, r11, r12, r9",
            "ldr r12, [r2], {step}",
            "sxtb16 lr, r12",
            "sxtb16 r12, r12, ror #8",
            "smlad r4, r6, lr, r4",
            "smlad r8, r7, lr, r8",
            "smlad r4, r10, r12, r4",
            "smlad r8, r11, r12, r8",
            "subs r3, #1",
            "bne 2b",
            "pop {{r6, r7}}",
            inout("r0") $x => _, inout("r1") $y => _, inout("r2") $w, inout("r3") $n => _,
            inout("r4") $s[0], inout("r5") $s[1], inout("r8") $s[2], inout("r9") $s[3],
            out("r10") _, out("r11") _, out("r12") _, out("lr") _,
            step = const WIDTH * GROUP,
        )
    };
}

/// Adds the products of two pixels and two columns at a time.
///
/// # Safety
/// `x` are valid for `n` bytes, `w` for their groups.
#[inline(never)]
unsafe fn panel<const SIGNED: bool>(
    sums: &mut [[i32; PANEL]; PIXELS],
    columns: usize,
    x: [*const u8; PIXELS],
    w: *const u8,
    pair: usize,
    n: usize,
) {
    let (groups, rest) = (n / GROUP, n % GROUP);
    let mut last = [0; PIXELS];
    for (last, x) in last.iter_mut().zip(x) {
        for i in (0..rest).rev() {
            // SAFETY: the caller's contract: the last group has less than four bytes of input.
            *last = *last << 8 | unsafe { *x.add(n - rest + i) } as u32;
        }
    }
    let [a, b] = sums;
    for column in (0..columns.min(PANEL - 1)).step_by(2) {
        let mut w = w.wrapping_add(column / 2 * pair);
        let mut s = [a[column], a[column + 1], b[column], b[column + 1]];
        if groups > 0 {
            // SAFETY: the caller's contract. The loop reads memory and changes registers and flags alone.
            unsafe {
                if SIGNED {
                    groups!("sxtb16", s, x[0], x[1], w, groups);
                } else {
                    groups!("uxtb16", s, x[0], x[1], w, groups);
                }
            }
        }
        if rest > 0 {
            let (x, y) = (widen::<SIGNED>(last[0]), widen::<SIGNED>(last[1]));
            for c in 0..2 {
                // SAFETY: the caller's contract.
                let w = widen::<true>(unsafe { word(w.wrapping_add(c * GROUP)) });
                for i in 0..2 {
                    smlad(&mut s[c], x[i], w[i]);
                    smlad(&mut s[2 + c], y[i], w[i]);
                }
            }
        }
        [a[column], a[column + 1], b[column], b[column + 1]] = s;
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`].
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            blocks::dense::<Dsp, true>(t);
        } else {
            blocks::dense::<Dsp, false>(t);
        }
    }
}

/// Pairs of taps for which there is room: those of a 5 x 5 window.
const PAIRS: usize = 13;

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

/// Writes the loop over pairs of taps: 17 instructions for 8 products. Registers as in `groups`.
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

/// Adds the products of channels, four at a time, over all pairs of taps.
///
/// # Safety
/// The bytes are valid; there is a pair, and `w` holds as many quads for each block of four.
#[inline(never)]
unsafe fn quads<const SIGNED: bool>(sums: &mut [i32], list: &[[*const u8; 2]], w: &[Quad]) {
    let n = list.len();
    for (i, (sums, w)) in sums.chunks_exact_mut(4).zip(w.chunks_exact(n)).enumerate() {
        let (i, w, list) = (i * 4, w.as_ptr(), list.as_ptr());
        let mut s = [sums[0], sums[1], sums[2], sums[3]];
        // SAFETY: the caller's contract. The loop reads memory and changes registers and flags alone.
        unsafe {
            if SIGNED {
                taps!("sxtb16", s, list, i, w, n);
            } else {
                taps!("uxtb16", s, list, i, w, n);
            }
        }
        sums.copy_from_slice(&s);
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution of at most `2 * PAIRS` taps, and its bytes are
/// as `SIGNED` says.
unsafe fn pairs<const SIGNED: bool>(t: &Task) {
    let p = &t.p.conv;
    let c = p.out_channels;
    let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
    let pairs = taps.div_ceil(2);
    let step = (QUADS / pairs * 4).min(CHANNELS);
    let starts = t.starts(SIGNED);
    let zeros = [t.p.x_zero; CHANNELS];
    let mut wide = [[0u32; 4]; QUADS];
    let mut list = [[zeros.as_ptr(); 2]; PAIRS];
    for first in (0..c).step_by(step) {
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
                for x in 0..p.output[2] {
                    let mut slots = list.as_flattened_mut().iter_mut();
                    t.taps(&line, x, first, zeros.as_ptr(), |tap| {
                        if let Some(slot) = slots.next() {
                            *slot = tap;
                        }
                    });
                    let mut sums = [0i32; CHANNELS];
                    core::ptr::copy_nonoverlapping(starts.add(first), sums.as_mut_ptr(), n);
                    quads::<SIGNED>(&mut sums[..whole], &list[..pairs], &wide);
                    if whole < n {
                        let list = &list.as_flattened()[..taps];
                        channels::<SIGNED>(&mut sums[..n], list, whole, w, c);
                    }
                    finish(t, line.at + x * c + first, first, &sums[..n]);
                }
            }
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution.
pub(super) unsafe fn depthwise(t: &Task) {
    let taps = t.p.conv.kernel.iter().product::<usize>();
    // SAFETY: the same contract.
    unsafe {
        if taps > 2 * PAIRS {
            scalar::depthwise(t);
        } else if t.p.is_signed() {
            pairs::<true>(t);
        } else {
            pairs::<false>(t);
        }
    }
}
