//! Arm SMMLA: up to six pixels by 16 channels (8 at the right edge) in registers.
//!
//! SMMLA multiplies two rows of eight bytes with two columns of eight, so a vector of packed pixels, two to a slot, is an
//! operand as it is. Weights are packed in groups of four: zips of two groups' words give the columns. An accumulator
//! holds two pixels of two channels; requantised bytes are told apart at the end, two instructions for a pair of pixels.
//! A slot of the depth takes 24 SMMLA, 8 zips and 5 loads.
use super::dense::{self, Pass};
use crate::quantized::Task;
use core::arch::asm;

/// # Safety
/// `t` passed its check, and the machine has matrix products of bytes.
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    // SAFETY: passed through.
    unsafe { dense::dense::<Smmla>(t) }
}

struct Smmla;

impl dense::Kernels for Smmla {
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

/// Writes a kernel. For each pair of rows: its accumulators, the vector that holds its slot, and whether there are both
/// rows. What is loaded and multiplied besides needs v24 to v28.
macro_rules! kernel {
    ($name:ident, $load:literal, $([$($c:literal)*] $x:literal $rows:ident;)*) => {
        /// # Safety
        /// The pass is valid, with tiles of this height and width; the machine has matrix products of bytes.
        #[target_feature(enable = "neon,i8mm")]
        unsafe fn $name(pass: &Pass) {
            // SAFETY: reads and writes what the contract allows.
            unsafe {
                asm!(
                    "2:",
                    $(kernel!(@start $rows $($c)*),)*
                    "mov {w}, {panel}",
                    "mov {k}, {pairs}",
                    "cbz {k}, 4f",
                    "3:",
                    kernel!(@slot $load, $([$($c)*] $x;)*),
                    "subs {k}, {k}, #1",
                    kernel!(@slot $load, $([$($c)*] $x;)*),
                    "b.ne 3b",
                    "4:",
                    "tbz {mode}, #5, 5f",
                    kernel!(@slot $load, $([$($c)*] $x;)*),
                    "5:",
                    "tbz {mode}, #6, 6f",
                    $load,
                    kernel!(@group $([$($c)*] $x;)*),
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
                    $(kernel!(@store $rows $($c)*),)*
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 2b",
                    "b 20f",
                    "19:",
                    $(kernel!(@raw $rows $($c)*),)*
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
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
        }
    };

    // Sums to start from, as blocks of two rows and two columns.
    (@start both $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            "ld1 {{v24.4s, v25.4s}}, [{start}], {start_step}\n",
            "ld1 {{v28.4s, v29.4s}}, [{start}], {start_step}\n",
            kernel!(@zips $c0 $c1 24 28), kernel!(@zips $c2 $c3 25 29),
        )
    };
    (@start first $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            "ld1 {{v24.4s, v25.4s}}, [{start}], {start_step}\n",
            kernel!(@zips $c0 $c1 24 24), kernel!(@zips $c2 $c3 25 25),
        )
    };
    (@start both $c0:literal $c1:literal $c2:literal $c3:literal
        $c4:literal $c5:literal $c6:literal $c7:literal) => {
        concat!(
            "ld1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{start}], {start_step}\n",
            "ld1 {{v28.4s, v29.4s, v30.4s, v31.4s}}, [{start}], {start_step}\n",
            kernel!(@zips $c0 $c1 24 28), kernel!(@zips $c2 $c3 25 29),
            kernel!(@zips $c4 $c5 26 30), kernel!(@zips $c6 $c7 27 31),
        )
    };
    (@start first $c0:literal $c1:literal $c2:literal $c3:literal
        $c4:literal $c5:literal $c6:literal $c7:literal) => {
        concat!(
            "ld1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{start}], {start_step}\n",
            kernel!(@zips $c0 $c1 24 24), kernel!(@zips $c2 $c3 25 25),
            kernel!(@zips $c4 $c5 26 26), kernel!(@zips $c6 $c7 27 27),
        )
    };
    (@zips $c0:literal $c1:literal $a:literal $b:literal) => {
        concat!(
            "zip1 v", $c0, ".2d, v", $a, ".2d, v", $b, ".2d\n",
            "zip2 v", $c1, ".2d, v", $a, ".2d, v", $b, ".2d\n",
        )
    };

    // Eight bytes of the depth: the columns 8 to 15 first, so that the last load moves the pointer.
    (@slot $load:literal, $([$c0:literal $c1:literal $c2:literal $c3:literal
        $($c4:literal $c5:literal $c6:literal $c7:literal)?] $x:literal;)*) => {
        concat!(
            $load, "\n",
            kernel!(@right $($($c4 $c5 $c6 $c7 $x)?)*),
            "ldp q26, q27, [{w}, #64]\n",
            "ldp q24, q25, [{w}], #128\n",
            kernel!(@columns),
            $(kernel!(@smmla $x $c0 $c1 $c2 $c3),)*
        )
    };
    (@right) => { "" };
    (@right $($c4:literal $c5:literal $c6:literal $c7:literal $x:literal)*) => {
        concat!(
            "ldp q26, q27, [{w}, #96]\n",
            "ldp q24, q25, [{w}, #32]\n",
            kernel!(@columns),
            $(kernel!(@smmla $x $c4 $c5 $c6 $c7),)*
        )
    };
    // Four bytes of the depth, others multiplied by zero.
    (@group $([$c0:literal $c1:literal $c2:literal $c3:literal
        $($c4:literal $c5:literal $c6:literal $c7:literal)?] $x:literal;)*) => {
        concat!(
            kernel!(@right_group $($($c4 $c5 $c6 $c7 $x)?)*),
            "ldp q24, q25, [{w}]\n",
            "movi v26.16b, #0\n movi v27.16b, #0\n",
            kernel!(@columns),
            $(kernel!(@smmla $x $c0 $c1 $c2 $c3),)*
        )
    };
    (@right_group) => { "" };
    (@right_group $($c4:literal $c5:literal $c6:literal $c7:literal $x:literal)*) => {
        concat!(
            "ldp q24, q25, [{w}, #32]\n",
            "movi v26.16b, #0\n movi v27.16b, #0\n",
            kernel!(@columns),
            $(kernel!(@smmla $x $c4 $c5 $c6 $c7),)*
        )
    };
    // Pairs of columns, in v28, v26, v24 and v27.
    (@columns) => {
        concat!(
            "zip1 v28.4s, v24.4s, v26.4s\n",
            "zip2 v26.4s, v24.4s, v26.4s\n",
            "zip1 v24.4s, v25.4s, v27.4s\n",
            "zip2 v27.4s, v25.4s, v27.4s\n",
        )
    };
    (@smmla $x:literal $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            "smmla v", $c0, ".4s, v", $x, ".16b, v28.16b\n",
            "smmla v", $c1, ".4s, v", $x, ".16b, v26.16b\n",
            "smmla v", $c2, ".4s, v", $x, ".16b, v24.16b\n",
            "smmla v", $c3, ".4s, v", $x, ".16b, v27.16b\n",
        )
    };

    // Each pair of multipliers twice.
    (@multipliers [[$c0:literal $c1:literal $c2:literal $c3:literal] $($rest:tt)*]) => {
        concat!(
            "ldp q24, q26, [{multiplier}]\n",
            "dup v27.2d, v26.d[1]\n dup v26.2d, v26.d[0]\n dup v25.2d, v24.d[1]\n dup v24.2d, v24.d[0]\n",
        )
    };
    (@multipliers [[$($c:literal)*] $($rest:tt)*]) => {
        concat!(
            "ld1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{multiplier}]\n",
            "dup v31.2d, v27.d[1]\n dup v30.2d, v27.d[0]\n dup v29.2d, v26.d[1]\n dup v28.2d, v26.d[0]\n",
            "dup v27.2d, v25.d[1]\n dup v26.2d, v25.d[0]\n dup v25.2d, v24.d[1]\n dup v24.2d, v24.d[0]\n",
        )
    };
    (@multiply $c0:literal $c1:literal $c2:literal $c3:literal
        $($c4:literal $c5:literal $c6:literal $c7:literal)?) => {
        concat!(
            kernel!(@product $c0 24), kernel!(@product $c1 25), kernel!(@product $c2 26), kernel!(@product $c3 27),
            $(kernel!(@product $c4 28), kernel!(@product $c5 29),
            kernel!(@product $c6 30), kernel!(@product $c7 31),)?
        )
    };
    (@product $c:literal $m:literal) => {
        concat!(
            "scvtf v", $c, ".4s, v", $c, ".4s\n",
            "fmul v", $c, ".4s, v", $c, ".4s, v", $m, ".4s\n",
            "fcvtns v", $c, ".4s, v", $c, ".4s\n",
        )
    };
    (@saturate $($a:literal $b:literal)*) => {
        concat!($("sqxtn v", $a, ".4h, v", $a, ".4s\n sqxtn2 v", $a, ".8h, v", $b, ".4s\n",)*)
    };
    (@short $($a:literal $b:literal)*) => {
        concat!($("uzp1 v", $a, ".8h, v", $a, ".8h, v", $b, ".8h\n",)*)
    };
    (@zero $($a:literal $b:literal)*) => {
        concat!($("sqadd v", $a, ".8h, v", $a, ".8h, v28.8h\n",)*)
    };
    (@narrow $how:literal $($c0:literal $c1:literal $c2:literal $c3:literal)*) => {
        concat!($($how, " v", $c0, ".8b, v", $c0, ".8h\n", $how, "2 v", $c0, ".16b, v", $c2, ".8h\n",)*)
    };
    (@bounds $($c0:literal $c1:literal $c2:literal $c3:literal)*) => {
        concat!($(
            kernel!(@bound $c0), kernel!(@bound $c2),
            "uzp1 v", $c0, ".16b, v", $c0, ".16b, v", $c2, ".16b\n",
        )*)
    };
    (@bound $c:literal) => {
        concat!(
            "smax v", $c, ".8h, v", $c, ".8h, v29.8h\n",
            "smin v", $c, ".8h, v", $c, ".8h, v30.8h\n",
        )
    };

    // Bytes of both rows lie in turns of two.
    (@store $rows:ident $c0:literal $c1:literal $c2:literal $c3:literal) => {
        kernel!(@rows $rows $c0 $c0 "8b")
    };
    (@store $rows:ident $c0:literal $c1:literal $c2:literal $c3:literal
        $c4:literal $c5:literal $c6:literal $c7:literal) => {
        kernel!(@rows $rows $c0 $c4 "16b")
    };
    (@rows both $a:literal $b:literal $bytes:literal) => {
        concat!(
            kernel!(@rows first $a $b $bytes),
            "uzp2 v25.8h, v", $a, ".8h, v", $b, ".8h\n",
            "st1 {{v25.", $bytes, "}}, [{y}], {step}\n",
        )
    };
    (@rows first $a:literal $b:literal $bytes:literal) => {
        concat!(
            "uzp1 v24.8h, v", $a, ".8h, v", $b, ".8h\n",
            "st1 {{v24.", $bytes, "}}, [{y}], {step}\n",
        )
    };
    (@raw both $($c:literal)*) => {
        concat!(kernel!(@sums "zip1" $($c)*), kernel!(@sums "zip2" $($c)*))
    };
    (@raw first $($c:literal)*) => {
        kernel!(@sums "zip1" $($c)*)
    };
    (@sums $zip:literal $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            $zip, " v24.2d, v", $c0, ".2d, v", $c1, ".2d\n",
            $zip, " v25.2d, v", $c2, ".2d, v", $c3, ".2d\n",
            "st1 {{v24.4s, v25.4s}}, [{y}], {step}\n",
        )
    };
    (@sums $zip:literal $c0:literal $c1:literal $c2:literal $c3:literal
        $c4:literal $c5:literal $c6:literal $c7:literal) => {
        concat!(
            $zip, " v24.2d, v", $c0, ".2d, v", $c1, ".2d\n",
            $zip, " v25.2d, v", $c2, ".2d, v", $c3, ".2d\n",
            $zip, " v26.2d, v", $c4, ".2d, v", $c5, ".2d\n",
            $zip, " v27.2d, v", $c6, ".2d, v", $c7, ".2d\n",
            "st1 {{v24.4s, v25.4s, v26.4s, v27.4s}}, [{y}], {step}\n",
        )
    };
}

/// The kernels of a height.
macro_rules! height {
    ($wide:ident, $narrow:ident, $load:literal, $([$a:literal $b:literal $c:literal $d:literal
        $($right:literal)*] $x:literal $rows:ident;)*) => {
        kernel!($wide, $load, $([$a $b $c $d $($right)*] $x $rows;)*);
        kernel!($narrow, $load, $([$a $b $c $d] $x $rows;)*);
    };
}

height!(six, six_narrow, "ld1 {{v29.16b, v30.16b, v31.16b}}, [{x}], #48",
    [0 1 2 3 4 5 6 7] 29 both;
    [8 9 10 11 12 13 14 15] 30 both;
    [16 17 18 19 20 21 22 23] 31 both;
);
height!(five, five_narrow, "ld1 {{v29.16b, v30.16b, v31.16b}}, [{x}], #48",
    [0 1 2 3 4 5 6 7] 29 both;
    [8 9 10 11 12 13 14 15] 30 both;
    [16 17 18 19 20 21 22 23] 31 first;
);
height!(four, four_narrow, "ldp q29, q30, [{x}], #32",
    [0 1 2 3 4 5 6 7] 29 both;
    [8 9 10 11 12 13 14 15] 30 both;
);
height!(three, three_narrow, "ldp q29, q30, [{x}], #32",
    [0 1 2 3 4 5 6 7] 29 both;
    [8 9 10 11 12 13 14 15] 30 first;
);
height!(two, two_narrow, "ldr q29, [{x}], #16",
    [0 1 2 3 4 5 6 7] 29 both;
);
height!(one, one_narrow, "ldr q29, [{x}], #16",
    [0 1 2 3 4 5 6 7] 29 first;
);
