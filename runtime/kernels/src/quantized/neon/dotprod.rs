//! Arm SDOT: up to six pixels by 16 channels (8 at the right edge) in registers.
//!
//! The accumulators of six pixels, four vectors of weights and a slot of packed pixels fill the register file: two slots
//! of the depth take 96 SDOT and 6 loads. All tiles of a block are one loop, which requantises and stores them too.
use super::dense::{self, Pass};
use crate::quantized::Task;
use core::arch::asm;

/// # Safety
/// `t` passed its check, and the machine has dot products.
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    // SAFETY: passed through.
    unsafe { dense::dense::<Sdot>(t) }
}

struct Sdot;

impl dense::Kernels for Sdot {
    const ROWS: usize = 6;

    unsafe fn run(pass: &Pass, rows: usize, narrow: bool) {
        // SAFETY: the contract is the same.
        unsafe {
            match (rows, narrow) {
                (6, false) => six(pass),
                (5, false) => five(pass),
                (4, false) => four(pass),
                (3, false) => three(pass),
                (2, false) => two(pass),
                (_, false) => one(pass),
                (6, true) => six_narrow(pass),
                (5, true) => five_narrow(pass),
                (4, true) => four_narrow(pass),
                (3, true) => three_narrow(pass),
                (2, true) => two_narrow(pass),
                (_, true) => one_narrow(pass),
            }
        }
    }
}

/// Writes a kernel. For each row: its accumulators, and the vector and the lanes that hold its two groups of a slot.
/// Weights are in v24 to v27.
macro_rules! kernel {
    ($name:ident, $load:literal, $([$($c:literal)*] $x:literal $even:literal $odd:literal;)*) => {
        /// # Safety
        /// The pass is valid, with tiles of this height and width; the machine has dot products.
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name(pass: &Pass) {
            // SAFETY: reads and writes what the contract allows.
            unsafe {
                asm!(
                    "2:",
                    $(kernel!(@start $($c)*),)*
                    "mov {w}, {panel}",
                    "mov {k}, {pairs}",
                    "cbz {k}, 4f",
                    "3:",
                    $load,
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $even $($c)*),)*
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $odd $($c)*),)*
                    $load,
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $even $($c)*),)*
                    kernel!(@weights [$([$($c)*])*]),
                    "subs {k}, {k}, #1",
                    $(kernel!(@sdot $x $odd $($c)*),)*
                    "b.ne 3b",
                    "4:",
                    "tbz {mode}, #5, 5f",
                    $load,
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $even $($c)*),)*
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $odd $($c)*),)*
                    "5:",
                    "tbz {mode}, #6, 6f",
                    $load,
                    kernel!(@weights [$([$($c)*])*]),
                    $(kernel!(@sdot $x $even $($c)*),)*
                    "6:",
                    "tbnz {mode}, #0, 19f",
                    kernel!(@multipliers [$([$($c)*])*]),
                    $(kernel!(@multiply $($c)*),)*
                    "tbnz {mode}, #4, 12f",
                    $(kernel!(@saturate $($c)*),)*
                    "b 13f",
                    "12:",
                    $(kernel!(@short $($c)*),)*
                    "13:",
                    "tbz {mode}, #1, 14f",
                    "dup v28.8h, {zero:w}",
                    $(kernel!(@zero $($c)*),)*
                    "14:",
                    "tbnz {mode}, #2, 16f",
                    "tbnz {mode}, #3, 15f",
                    $(kernel!(@narrow "sqxtn" $($c)*),)*
                    "b 18f",
                    "15:",
                    $(kernel!(@narrow "sqxtun" $($c)*),)*
                    "b 18f",
                    "16:",
                    "dup v29.8h, {low:w}",
                    "dup v30.8h, {high:w}",
                    $(kernel!(@bounds $($c)*),)*
                    "18:",
                    $(kernel!(@store $($c)*),)*
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 2b",
                    "b 20f",
                    "19:",
                    $(kernel!(@raw $($c)*),)*
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 2b",
                    "20:",
                    x = inout(reg) pass.x => _,
                    panel = in(reg) pass.w,
                    w = out(reg) _,
                    k = out(reg) _,
                    pairs = in(reg) pass.pairs,
                    start = inout(reg) pass.start => _,
                    start_step = in(reg) pass.start_step,
                    multiplier = in(reg) pass.multiplier,
                    y = inout(reg) pass.y => _,
                    step = in(reg) pass.step,
                    mode = in(reg) pass.mode,
                    zero = in(reg) pass.zero,
                    low = in(reg) pass.low,
                    high = in(reg) pass.high,
                    tiles = inout(reg) pass.tiles => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                    out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                    out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                    out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _,
                    options(nostack),
                );
            }
        }
    };
    (@start $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!("ld1 {{v", $c0, ".4s, v", $c1, ".4s, v", $c2, ".4s, v", $c3, ".4s}}, [{start}], {start_step}\n")
    };
    (@start $c0:literal $c1:literal) => {
        concat!("ld1 {{v", $c0, ".4s, v", $c1, ".4s}}, [{start}], {start_step}\n")
    };
    (@weights [[$c0:literal $c1:literal $c2:literal $c3:literal] $($rest:tt)*]) => {
        "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{w}], #64"
    };
    (@weights [[$c0:literal $c1:literal] $($rest:tt)*]) => {
        "ldp q24, q25, [{w}], #64"
    };
    (@sdot $x:literal $lane:literal $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            "sdot v", $c0, ".4s, v24.16b, v", $x, ".4b[", $lane, "]\n",
            "sdot v", $c1, ".4s, v25.16b, v", $x, ".4b[", $lane, "]\n",
            $("sdot v", $c2, ".4s, v26.16b, v", $x, ".4b[", $lane, "]\n",
            "sdot v", $c3, ".4s, v27.16b, v", $x, ".4b[", $lane, "]\n",)?
        )
    };
    (@multipliers [[$c0:literal $c1:literal $c2:literal $c3:literal] $($rest:tt)*]) => {
        "ld1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{multiplier}]"
    };
    (@multipliers [[$c0:literal $c1:literal] $($rest:tt)*]) => {
        "ldp q24, q25, [{multiplier}]"
    };
    (@multiply $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            kernel!(@product $c0 24), kernel!(@product $c1 25),
            $(kernel!(@product $c2 26), kernel!(@product $c3 27),)?
        )
    };
    (@product $c:literal $m:literal) => {
        concat!(
            "scvtf v", $c, ".4s, v", $c, ".4s\n",
            "fmul v", $c, ".4s, v", $c, ".4s, v", $m, ".4s\n",
            "fcvtns v", $c, ".4s, v", $c, ".4s\n",
        )
    };
    (@saturate $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            "sqxtn v", $c0, ".4h, v", $c0, ".4s\n sqxtn2 v", $c0, ".8h, v", $c1, ".4s\n",
            $("sqxtn v", $c2, ".4h, v", $c2, ".4s\n sqxtn2 v", $c2, ".8h, v", $c3, ".4s\n",)?
        )
    };
    (@short $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            "uzp1 v", $c0, ".8h, v", $c0, ".8h, v", $c1, ".8h\n",
            $("uzp1 v", $c2, ".8h, v", $c2, ".8h, v", $c3, ".8h\n",)?
        )
    };
    (@zero $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            "sqadd v", $c0, ".8h, v", $c0, ".8h, v28.8h\n",
            $("sqadd v", $c2, ".8h, v", $c2, ".8h, v28.8h\n",)?
        )
    };
    (@narrow $how:literal $c0:literal $c1:literal $($c2:literal $c3:literal)?) => {
        concat!(
            $how, " v", $c0, ".8b, v", $c0, ".8h\n",
            $($how, "2 v", $c0, ".16b, v", $c2, ".8h\n",)?
        )
    };
    (@bounds $c0:literal $c1:literal) => {
        concat!(kernel!(@bound $c0), "xtn v", $c0, ".8b, v", $c0, ".8h\n")
    };
    (@bounds $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            kernel!(@bound $c0), kernel!(@bound $c2),
            "uzp1 v", $c0, ".16b, v", $c0, ".16b, v", $c2, ".16b\n",
        )
    };
    (@bound $c:literal) => {
        concat!(
            "smax v", $c, ".8h, v", $c, ".8h, v29.8h\n",
            "smin v", $c, ".8h, v", $c, ".8h, v30.8h\n",
        )
    };
    (@store $c0:literal $c1:literal) => {
        concat!("st1 {{v", $c0, ".8b}}, [{y}], {step}\n")
    };
    (@store $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!("st1 {{v", $c0, ".16b}}, [{y}], {step}\n")
    };
    (@raw $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!("st1 {{v", $c0, ".4s, v", $c1, ".4s, v", $c2, ".4s, v", $c3, ".4s}}, [{y}], {step}\n")
    };
    (@raw $c0:literal $c1:literal) => {
        concat!("st1 {{v", $c0, ".4s, v", $c1, ".4s}}, [{y}], {step}\n")
    };
}

/// The kernels of a height.
macro_rules! height {
    ($wide:ident, $narrow:ident, $load:literal, $([$a:literal $b:literal $c:literal $d:literal] $x:literal $even:literal $odd:literal;)*) => {
        kernel!($wide, $load, $([$a $b $c $d] $x $even $odd;)*);
        kernel!($narrow, $load, $([$a $b] $x $even $odd;)*);
    };
}

height!(six, six_narrow, "ld1 {{v28.16b, v29.16b, v30.16b}}, [{x}], #48",
    [0 1 2 3] 28 0 1;
    [4 5 6 7] 28 2 3;
    [8 9 10 11] 29 0 1;
    [12 13 14 15] 29 2 3;
    [16 17 18 19] 30 0 1;
    [20 21 22 23] 30 2 3;
);
height!(five, five_narrow, "ld1 {{v28.16b, v29.16b, v30.16b}}, [{x}], #48",
    [0 1 2 3] 28 0 1;
    [4 5 6 7] 28 2 3;
    [8 9 10 11] 29 0 1;
    [12 13 14 15] 29 2 3;
    [16 17 18 19] 30 0 1;
);
height!(four, four_narrow, "ldp q28, q29, [{x}], #32",
    [0 1 2 3] 28 0 1;
    [4 5 6 7] 28 2 3;
    [8 9 10 11] 29 0 1;
    [12 13 14 15] 29 2 3;
);
height!(three, three_narrow, "ldp q28, q29, [{x}], #32",
    [0 1 2 3] 28 0 1;
    [4 5 6 7] 28 2 3;
    [8 9 10 11] 29 0 1;
);
height!(two, two_narrow, "ldr q28, [{x}], #16",
    [0 1 2 3] 28 0 1;
    [4 5 6 7] 28 2 3;
);
height!(one, one_narrow, "ldr q28, [{x}], #16",
    [0 1 2 3] 28 0 1;
);
