//! Products of two pixels, whose bytes are widened as they are read: for rows that are there only once.
use super::super::blocks::{CHANNELS, PIXELS, Products};
use super::super::scalar::channels;
use super::super::{GROUP, WIDTH};
use super::{widen, word};
use crate::gemm::PANEL;
use core::arch::asm;

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

/// The inner loops of the extension.
pub(in crate::quantized) struct Dsp;

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
