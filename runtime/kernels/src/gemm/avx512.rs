//! The register tile of AVX-512: up to 12 rows by 32 columns.
//!
//! Twelve rows fill the register file: 24 accumulators and the B of four steps of k. A is read by the multiply-add itself
//! (an embedded broadcast), so that none of it waits in a register; where each row lies is in a table, as its address is
//! wanted once in four steps. Compilers load A for many steps ahead and spill the accumulators: a fifth slower, hence the
//! assembly. Tiles have an even number of rows; an odd one computes its last row twice, which costs less than its code.
use super::tile::{Segment, Store};
use core::arch::asm;
use core::mem::offset_of;

/// What a kernel reads beside its segments, and where it stores.
#[repr(C)]
struct Target {
    /// As many values as the tile has columns.
    bias: *const f32,
    c: *mut f32,
    /// Bytes from row to row.
    step: usize,
    /// Bytes to the last row from the one before.
    last_step: usize,
    /// Null where there is none.
    residual: *const f32,
    residual_step: usize,
    residual_last_step: usize,
    /// The clamp.
    lo: f32,
    hi: f32,
    /// Valid columns of the last vector, a bit each.
    mask: u32,
}

static ZEROS: [f32; 32] = [0.0; 32];

/// The multiply-adds of a step of k in a row: the vectors of B, then the row's pointer and accumulators.
macro_rules! row {
    ($at:literal, [$($b:literal)*] [$kind:ident $i:literal $p:literal $($c:literal)*]) => {
        concat!($("vfmadd231ps ", $c, ", ", $b, ", dword ptr [", $p, " + ", $at, "]{{1to16}}\n",)*)
    };
}

/// A step of k in some rows.
macro_rules! step {
    ($at:literal, $b:tt $($row:tt)*) => { concat!($(row!($at, $b $row),)*) };
}

/// Puts the addresses of rows into their registers.
macro_rules! address {
    ($([$kind:ident $i:literal $p:literal $($c:literal)*])*) => {
        concat!($("mov ", $p, ", [{seg} + ", $i, "]\n",)* $("add ", $p, ", {at}\n",)*)
    };
}

/// Four steps of up to four rows.
macro_rules! four_steps {
    ([$b0:tt $b1:tt $b2:tt $b3:tt] {$($row:tt)*}) => {
        concat!(
            address!($($row)*),
            step!("0", $b0 $($row)*),
            step!("4", $b1 $($row)*),
            step!("8", $b2 $($row)*),
            step!("12", $b3 $($row)*),
        )
    };
}

/// One step of up to four rows.
macro_rules! one_step {
    ($b:tt {$($row:tt)*}) => { concat!(address!($($row)*), step!("0", $b $($row)*)) };
}

/// Copies the bias, which the first row has, to another.
macro_rules! bias {
    ({$([$kind:ident $i:literal $p:literal $($c:literal)*])*}) => { concat!($(bias!(@row $($c)*),)*) };
    (@row "zmm0" $($c1:literal)?) => { "" };
    (@row $c0:literal $c1:literal) => { concat!("vmovaps ", $c0, ", zmm0\nvmovaps ", $c1, ", zmm1\n") };
    (@row $c0:literal) => { concat!("vmovaps ", $c0, ", zmm0\n") };
}

/// Adds the residual, at r10 with steps of r11.
macro_rules! residual {
    ({$([$kind:ident $i:literal $p:literal $($c:literal)*])*}) => {
        concat!($(residual!(@row $($c)*), residual!(@$kind),)*)
    };
    (@row $c0:literal $c1:literal) => {
        concat!("vaddps ", $c0, ", ", $c0, ", [r10]\nvmovups zmm24{{k1}}{{z}}, [r10 + 64]\nvaddps ", $c1, ", ", $c1, ", zmm24\n")
    };
    (@row $c0:literal) => { concat!("vmovups zmm24{{k1}}{{z}}, [r10]\nvaddps ", $c0, ", ", $c0, ", zmm24\n") };
    (@next) => { "add r10, r11\n" };
    (@last) => { "add r10, [{t} + {residual_last}]\n" };
}

/// Clamps to zmm24..zmm25 and stores, at r8 with steps of r9.
macro_rules! finish {
    ({$([$kind:ident $i:literal $p:literal $($c:literal)*])*}) => {
        concat!($(
            $("vmaxps ", $c, ", ", $c, ", zmm24\nvminps ", $c, ", ", $c, ", zmm25\n",)*
            finish!(@row $($c)*), finish!(@$kind),
        )*)
    };
    (@row $c0:literal $c1:literal) => { concat!("vmovups [r8], ", $c0, "\nvmovups [r8 + 64]{{k1}}, ", $c1, "\n") };
    (@row $c0:literal) => { concat!("vmovups [r8]{{k1}}, ", $c0, "\n") };
    (@next) => { "add r8, r9\n" };
    (@last) => { "add r8, [{t} + {last}]\n" };
}

/// A kernel of two vectors of columns or of one: groups of up to four rows, each row with its place in the table, the
/// register of its address and its accumulators.
macro_rules! kernel {
    ($name:ident, $rows:literal, 2, $($group:tt)*) => {
        kernel!(@function $name, $rows,
            ["vmovups zmm0, [r8]\nvmovups zmm1{{k1}}{{z}}, [r8 + 64]\n"]
            [concat!(
                "vmovups zmm24, [{b}]\n", "vmovups zmm25, [{b} + {gap}]\n",
                "vmovups zmm26, [{b} + 64]\n", "vmovups zmm27, [{b} + {gap} + 64]\n",
                "vmovups zmm28, [{b} + 128]\n", "vmovups zmm29, [{b} + {gap} + 128]\n",
                "vmovups zmm30, [{b} + 192]\n", "vmovups zmm31, [{b} + {gap} + 192]\n",
                "prefetcht0 [{ahead}]\n", "prefetcht0 [{ahead} + 128]\n",
                "prefetcht0 [{ahead} + {gap}]\n", "prefetcht0 [{ahead} + {gap} + 128]\n",
            )]
            ["vmovups zmm24, [{b}]\nvmovups zmm25, [{b} + {gap}]\n"]
            [["zmm24" "zmm25"] ["zmm26" "zmm27"] ["zmm28" "zmm29"] ["zmm30" "zmm31"]] ["zmm24" "zmm25"]
            $($group)*);
    };
    ($name:ident, $rows:literal, 1, $($group:tt)*) => {
        kernel!(@function $name, $rows,
            ["/* {gap} */\nvmovups zmm0{{k1}}{{z}}, [r8]\n"]
            [concat!(
                "vmovups zmm24, [{b}]\n", "vmovups zmm25, [{b} + 64]\n",
                "vmovups zmm26, [{b} + 128]\n", "vmovups zmm27, [{b} + 192]\n",
                "prefetcht0 [{ahead}]\n", "prefetcht0 [{ahead} + 128]\n",
            )]
            ["vmovups zmm24, [{b}]\n"]
            [["zmm24"] ["zmm25"] ["zmm26"] ["zmm27"]] ["zmm24"]
            $($group)*);
    };
    (@function $name:ident, $rows:literal, [$bias:expr] [$load:expr] [$single:expr] $four:tt $one:tt $($group:tt)*) => {
        /// # Safety
        /// As [`tile`].
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        #[inline(never)]
        unsafe fn $name(segments: *const Segment<$rows>, count: usize, b: *const f32, gap: usize, ahead: *const f32, t: &Target) {
            // SAFETY: reads `len` values of each row and `len * 16` of each panel, reads and writes the valid columns of
            // the tile; prefetches may go anywhere.
            unsafe {
                asm!(
                    "mov r8d, [{t} + {mask}]",
                    "kmovw k1, r8d",
                    "mov r8, [{t} + {bias}]",
                    $bias,
                    $(bias!($group),)*
                    "test {n}, {n}",
                    "jz 6f",
                    "9:",
                    "mov {k}, [{seg} + {len}]",
                    "mov r8, [{seg} + {skip}]",
                    "lea {b}, [{b} + 4 * r8]",
                    "xor {at:e}, {at:e}",
                    "sub {k}, 4",
                    "jb 3f",
                    "2:",
                    $load,
                    $(four_steps!($four $group),)*
                    "add {b}, 256",
                    "add {ahead}, 256",
                    "add {at}, 16",
                    "sub {k}, 4",
                    "jae 2b",
                    "3:",
                    "add {k}, 4",
                    "jz 5f",
                    "4:",
                    $single,
                    $(one_step!($one $group),)*
                    "add {b}, 64",
                    "add {at}, 4",
                    "sub {k}, 1",
                    "jnz 4b",
                    "5:",
                    "add {seg}, {size}",
                    "sub {n}, 1",
                    "jnz 9b",
                    "6:",
                    "mov r10, [{t} + {residual}]",
                    "test r10, r10",
                    "jz 7f",
                    "mov r11, [{t} + {residual_step}]",
                    $(residual!($group),)*
                    "7:",
                    "vbroadcastss zmm24, [{t} + {lo}]",
                    "vbroadcastss zmm25, [{t} + {hi}]",
                    "mov r8, [{t} + {c}]",
                    "mov r9, [{t} + {step}]",
                    $(finish!($group),)*
                    seg = inout(reg) segments => _,
                    n = inout(reg) count => _,
                    b = inout(reg) b => _,
                    gap = in(reg) gap * 4,
                    ahead = inout(reg) ahead => _,
                    t = in(reg) t,
                    k = out(reg) _,
                    at = out(reg) _,
                    len = const offset_of!(Segment<$rows>, len),
                    skip = const offset_of!(Segment<$rows>, skip),
                    size = const size_of::<Segment<$rows>>(),
                    bias = const offset_of!(Target, bias),
                    c = const offset_of!(Target, c),
                    step = const offset_of!(Target, step),
                    last = const offset_of!(Target, last_step),
                    residual = const offset_of!(Target, residual),
                    residual_step = const offset_of!(Target, residual_step),
                    residual_last = const offset_of!(Target, residual_last_step),
                    lo = const offset_of!(Target, lo),
                    hi = const offset_of!(Target, hi),
                    mask = const offset_of!(Target, mask),
                    out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("k1") _,
                    out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
                    out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
                    out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
                    out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _, out("zmm29") _,
                    out("zmm30") _, out("zmm31") _,
                    options(nostack),
                );
            }
        }
    };
}

kernel!(twelve, 12, 2,
    {[next "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"] [next "16" "r10" "zmm4" "zmm5"] [next "24" "r11" "zmm6" "zmm7"]}
    {[next "32" "r8" "zmm8" "zmm9"] [next "40" "r9" "zmm10" "zmm11"] [next "48" "r10" "zmm12" "zmm13"] [next "56" "r11" "zmm14" "zmm15"]}
    {[next "64" "r8" "zmm16" "zmm17"] [next "72" "r9" "zmm18" "zmm19"] [last "80" "r10" "zmm20" "zmm21"] [next "88" "r11" "zmm22" "zmm23"]});
kernel!(ten, 10, 2,
    {[next "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"] [next "16" "r10" "zmm4" "zmm5"] [next "24" "r11" "zmm6" "zmm7"]}
    {[next "32" "r8" "zmm8" "zmm9"] [next "40" "r9" "zmm10" "zmm11"] [next "48" "r10" "zmm12" "zmm13"]}
    {[next "56" "r8" "zmm14" "zmm15"] [last "64" "r9" "zmm16" "zmm17"] [next "72" "r10" "zmm18" "zmm19"]});
kernel!(eight, 8, 2,
    {[next "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"] [next "16" "r10" "zmm4" "zmm5"] [next "24" "r11" "zmm6" "zmm7"]}
    {[next "32" "r8" "zmm8" "zmm9"] [next "40" "r9" "zmm10" "zmm11"] [last "48" "r10" "zmm12" "zmm13"] [next "56" "r11" "zmm14" "zmm15"]});
kernel!(six, 6, 2,
    {[next "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"] [next "16" "r10" "zmm4" "zmm5"]}
    {[next "24" "r8" "zmm6" "zmm7"] [last "32" "r9" "zmm8" "zmm9"] [next "40" "r10" "zmm10" "zmm11"]});
kernel!(four, 4, 2,
    {[next "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"] [last "16" "r10" "zmm4" "zmm5"] [next "24" "r11" "zmm6" "zmm7"]});
kernel!(two, 2, 2,
    {[last "0" "r8" "zmm0" "zmm1"] [next "8" "r9" "zmm2" "zmm3"]});
kernel!(twelve_narrow, 12, 1,
    {[next "0" "r8" "zmm0"] [next "8" "r9" "zmm1"] [next "16" "r10" "zmm2"] [next "24" "r11" "zmm3"]}
    {[next "32" "r8" "zmm4"] [next "40" "r9" "zmm5"] [next "48" "r10" "zmm6"] [next "56" "r11" "zmm7"]}
    {[next "64" "r8" "zmm8"] [next "72" "r9" "zmm9"] [last "80" "r10" "zmm10"] [next "88" "r11" "zmm11"]});
kernel!(ten_narrow, 10, 1,
    {[next "0" "r8" "zmm0"] [next "8" "r9" "zmm1"] [next "16" "r10" "zmm2"] [next "24" "r11" "zmm3"]}
    {[next "32" "r8" "zmm4"] [next "40" "r9" "zmm5"] [next "48" "r10" "zmm6"]}
    {[next "56" "r8" "zmm7"] [last "64" "r9" "zmm8"] [next "72" "r10" "zmm9"]});
kernel!(eight_narrow, 8, 1,
    {[next "0" "r8" "zmm0"] [next "8" "r9" "zmm1"] [next "16" "r10" "zmm2"] [next "24" "r11" "zmm3"]}
    {[next "32" "r8" "zmm4"] [next "40" "r9" "zmm5"] [last "48" "r10" "zmm6"] [next "56" "r11" "zmm7"]});
kernel!(six_narrow, 6, 1,
    {[next "0" "r8" "zmm0"] [next "8" "r9" "zmm1"] [next "16" "r10" "zmm2"]}
    {[next "24" "r8" "zmm3"] [last "32" "r9" "zmm4"] [next "40" "r10" "zmm5"]});
kernel!(four_narrow, 4, 1,
    {[next "0" "r8" "zmm0"] [next "8" "r9" "zmm1"] [last "16" "r10" "zmm2"] [next "24" "r11" "zmm3"]});
kernel!(two_narrow, 2, 1,
    {[last "0" "r8" "zmm0"] [next "8" "r9" "zmm1"]});

/// Computes and stores a tile; false, and nothing done, for one that has no kernel.
///
/// # Safety
/// The instruction set exists; each segment is valid for reads, B for the rows they reach in each panel, `s` for the
/// tile.
#[inline(always)]
pub(crate) unsafe fn tile<const MR: usize, const NV: usize>(
    segments: &[Segment<MR>],
    b: *const f32,
    panel_stride: usize,
    ahead: *const f32,
    s: &Store,
) -> bool {
    let full = (NV - 1) * 16;
    if s.alpha != 1.0 || s.rows + 1 < MR || s.cols <= full {
        return false;
    }
    let (step, residual_step) = (s.ldc * 4, s.ldr * 4);
    let last = usize::from(s.rows == MR);
    let t = &Target {
        bias: if s.bias.is_null() {
            ZEROS.as_ptr()
        } else {
            s.bias
        },
        c: s.c,
        step,
        last_step: step * last,
        residual: s.residual,
        residual_step,
        residual_last_step: residual_step * last,
        lo: s.lo,
        hi: s.hi,
        mask: u32::MAX >> (32 - (s.cols - full).min(16)),
    };
    let (p, n) = (segments.as_ptr(), segments.len());
    // SAFETY: the pointers have the type that the kernel of these constants asks for; the contract is passed on.
    unsafe {
        match (MR, NV) {
            (12, 2) => twelve(p.cast(), n, b, panel_stride, ahead, t),
            (10, 2) => ten(p.cast(), n, b, panel_stride, ahead, t),
            (8, 2) => eight(p.cast(), n, b, panel_stride, ahead, t),
            (6, 2) => six(p.cast(), n, b, panel_stride, ahead, t),
            (4, 2) => four(p.cast(), n, b, panel_stride, ahead, t),
            (2, 2) => two(p.cast(), n, b, panel_stride, ahead, t),
            (12, 1) => twelve_narrow(p.cast(), n, b, panel_stride, ahead, t),
            (10, 1) => ten_narrow(p.cast(), n, b, panel_stride, ahead, t),
            (8, 1) => eight_narrow(p.cast(), n, b, panel_stride, ahead, t),
            (6, 1) => six_narrow(p.cast(), n, b, panel_stride, ahead, t),
            (4, 1) => four_narrow(p.cast(), n, b, panel_stride, ahead, t),
            (2, 1) => two_narrow(p.cast(), n, b, panel_stride, ahead, t),
            _ => return false,
        }
    }
    true
}
