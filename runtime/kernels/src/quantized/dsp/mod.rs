//! Arm's DSP extension (Cortex-M4, M7, M33): SMLAD adds two products of 16-bit halves to a sum.
//!
//! SXTB16 widens bytes 0 and 2 of a word to halves, after a rotation bytes 1 and 3: so the four bytes of a group, in
//! whatever order, as long as weights and inputs share it. Bytes without a sign are widened by UXTB16 in place of it.
mod dense;
mod depthwise;
#[cfg(arm_vfp)]
mod finish;
#[cfg(arm_vfp)]
mod nine;
#[cfg(not(feature = "narrow"))]
mod panel;
pub(crate) mod tile;

use super::Task;
use core::arch::asm;
#[cfg(not(feature = "narrow"))]
pub(super) use panel::Dsp;

/// Writes a function of one instruction.
macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident($($arg:ident),*) = $text:literal) => {
        $(#[$doc])*
        #[inline(always)]
        pub(crate) fn $name($($arg: u32),*) -> u32 {
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

/// # Safety
/// `t` passed [`super::QuantizedConv::check`].
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            dense::run::<true>(t);
        } else {
            dense::run::<false>(t);
        }
    }
}

pub(super) use dense::is_flat;

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a convolution that [`is_flat`].
pub(super) unsafe fn flat(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            dense::flat::<true>(t);
        } else {
            dense::flat::<false>(t);
        }
    }
}

pub(super) use dense::{is_long, is_short};

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a convolution that [`is_short`].
pub(super) unsafe fn short(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            dense::short::<true>(t);
        } else {
            dense::short::<false>(t);
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a convolution that [`is_long`].
pub(super) unsafe fn long(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            dense::long::<true>(t);
        } else {
            dense::long::<false>(t);
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a convolution whose windows are longer.
pub(super) unsafe fn longest(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            dense::longest::<true>(t);
        } else {
            dense::longest::<false>(t);
        }
    }
}

pub(super) use depthwise::is_listed;

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution that [`is_listed`].
pub(super) unsafe fn listed(t: &Task) {
    // SAFETY: the same contract.
    unsafe {
        if t.p.is_signed() {
            depthwise::listed::<true>(t);
        } else {
            depthwise::listed::<false>(t);
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution.
pub(super) unsafe fn depthwise(t: &Task) {
    let taps = t.p.conv.kernel.iter().product::<usize>();
    // SAFETY: the same contract.
    unsafe {
        if taps > depthwise::TAPS {
            super::scalar::depthwise(t);
        } else if t.p.is_signed() {
            depthwise::run::<true>(t);
        } else {
            depthwise::run::<false>(t);
        }
    }
}
