//! Depthwise convolution of 3x3 windows with Arm Advanced SIMD: eight channels along a row of outputs.
//!
//! Eighteen registers hold the weights. Each input column is loaded once per kernel row and serves every output whose
//! window holds it: those outputs' sums move from register to register by unrolling, not by copying.
use crate::conv::Task;
use core::arch::asm;

/// Channels of a strip.
const STRIP: usize = 8;

/// f32 values of three input lines that stay in the first-level cache while strips pass over them.
const CACHE: usize = 12 * 1024;

static ZEROS: [f32; STRIP] = [0.0; STRIP];

/// Outputs of one row, eight channels.
#[derive(Clone, Copy)]
struct Strip {
    /// The first input column that exists, of each kernel row.
    x: [*const f32; 3],
    /// Bytes from column to column: 0 where a line of zeros stands for the padding.
    x_step: [usize; 3],
    w: *const f32,
    /// Bytes from pixel to pixel, which is also from tap to tap.
    step: usize,
    bias: *const f32,
    clamp: *const [f32; 2],
    y: *mut f32,
    /// Outputs, at least 1.
    n: usize,
    /// Whether the first output's left column exists.
    left: bool,
    /// Whether the last output's right column exists.
    right: bool,
}

/// Loads the next column of the three lines.
macro_rules! column {
    () => {
        "ld1 {{v24.4s, v25.4s}}, [{x0}], {s0}
         ld1 {{v26.4s, v27.4s}}, [{x1}], {s1}
         ld1 {{v28.4s, v29.4s}}, [{x2}], {s2}\n"
    };
}

/// Adds the column times tap column 0, 1 or 2 to a pair of accumulators.
macro_rules! tap {
    (0, $lo:literal, $hi:literal) => {
        tap!($lo, $hi, "0", "1", "6", "7", "12", "13")
    };
    (1, $lo:literal, $hi:literal) => {
        tap!($lo, $hi, "2", "3", "8", "9", "14", "15")
    };
    (2, $lo:literal, $hi:literal) => {
        tap!($lo, $hi, "4", "5", "10", "11", "16", "17")
    };
    ($lo:literal, $hi:literal, $a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal) => {
        concat!(
            "fmla v",
            $lo,
            ".4s, v24.4s, v",
            $a,
            ".4s\n",
            "fmla v",
            $hi,
            ".4s, v25.4s, v",
            $b,
            ".4s\n",
            "fmla v",
            $lo,
            ".4s, v26.4s, v",
            $c,
            ".4s\n",
            "fmla v",
            $hi,
            ".4s, v27.4s, v",
            $d,
            ".4s\n",
            "fmla v",
            $lo,
            ".4s, v28.4s, v",
            $e,
            ".4s\n",
            "fmla v",
            $hi,
            ".4s, v29.4s, v",
            $f,
            ".4s\n",
        )
    };
}

/// Begins a pair of accumulators.
macro_rules! bias {
    ($lo:literal, $hi:literal) => {
        concat!("ldp q", $lo, ", q", $hi, ", [{bias}]\n")
    };
}

/// Clamps and stores a pair of accumulators.
macro_rules! store {
    ($lo:literal, $hi:literal) => {
        concat!(
            "fmax v",
            $lo,
            ".4s, v",
            $lo,
            ".4s, v30.4s\n",
            "fmax v",
            $hi,
            ".4s, v",
            $hi,
            ".4s, v30.4s\n",
            "fmin v",
            $lo,
            ".4s, v",
            $lo,
            ".4s, v31.4s\n",
            "fmin v",
            $hi,
            ".4s, v",
            $hi,
            ".4s, v31.4s\n",
            "st1 {{v",
            $lo,
            ".4s, v",
            $hi,
            ".4s}}, [{y}], {step}\n",
        )
    };
}

/// One output of unit stride: the column ends the first pair, goes on with the second and begins the third.
macro_rules! output {
    ($a:literal $b:literal, $c:literal $d:literal, $e:literal $f:literal, $end:literal) => {
        concat!(
            column!(),
            bias!($e, $f),
            tap!(2, $a, $b),
            tap!(1, $c, $d),
            tap!(0, $e, $f),
            store!($a, $b),
            "subs {n}, {n}, #1\n b.eq ",
            $end,
            "f\n",
        )
    };
}

/// One output of stride two: two columns, of which the second begins the next pair.
macro_rules! output_two {
    ($a:literal $b:literal, $c:literal $d:literal, $end:literal) => {
        concat!(
            column!(),
            tap!(1, $a, $b),
            column!(),
            bias!($c, $d),
            tap!(2, $a, $b),
            tap!(0, $c, $d),
            store!($a, $b),
            "subs {n}, {n}, #1\n b.eq ",
            $end,
            "f\n",
        )
    };
}

/// Writes a strip's function around its loop; weights are in v0 to v17, clamps in v30 and v31.
macro_rules! strip {
    ($name:ident, $($text:expr),* $(,)?) => {
        /// # Safety
        /// Pointers are valid for the columns, taps and outputs that the strip states.
        #[inline(always)]
        unsafe fn $name(s: &Strip) {
            // SAFETY: reads and writes what the contract allows.
            unsafe {
                asm!(
                    "ld1 {{v0.4s, v1.4s}}, [{w}], {step}",
                    "ld1 {{v2.4s, v3.4s}}, [{w}], {step}",
                    "ld1 {{v4.4s, v5.4s}}, [{w}], {step}",
                    "ld1 {{v6.4s, v7.4s}}, [{w}], {step}",
                    "ld1 {{v8.4s, v9.4s}}, [{w}], {step}",
                    "ld1 {{v10.4s, v11.4s}}, [{w}], {step}",
                    "ld1 {{v12.4s, v13.4s}}, [{w}], {step}",
                    "ld1 {{v14.4s, v15.4s}}, [{w}], {step}",
                    "ld1 {{v16.4s, v17.4s}}, [{w}], {step}",
                    "ld1r {{v30.4s}}, [{clamp}], #4",
                    "ld1r {{v31.4s}}, [{clamp}]",
                    bias!("18", "19"),
                    "cbz {left}, 2f",
                    concat!(column!(), tap!(0, "18", "19")),
                    "2:",
                    $($text,)*
                    x0 = inout(reg) s.x[0] => _,
                    x1 = inout(reg) s.x[1] => _,
                    x2 = inout(reg) s.x[2] => _,
                    s0 = in(reg) s.x_step[0],
                    s1 = in(reg) s.x_step[1],
                    s2 = in(reg) s.x_step[2],
                    w = inout(reg) s.w => _,
                    step = in(reg) s.step,
                    bias = in(reg) s.bias,
                    clamp = inout(reg) s.clamp => _,
                    y = inout(reg) s.y => _,
                    n = inout(reg) s.n - usize::from(!s.right) => _,
                    left = in(reg) usize::from(s.left),
                    right = in(reg) usize::from(s.right),
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
}

strip!(
    unit,
    concat!(
        column!(),
        bias!("20", "21"),
        tap!(1, "18", "19"),
        tap!(0, "20", "21")
    ),
    "cbz {n}, 6f",
    "3:",
    output!("18" "19", "20" "21", "22" "23", "4"),
    output!("20" "21", "22" "23", "18" "19", "5"),
    output!("22" "23", "18" "19", "20" "21", "6"),
    "b 3b",
    "4:",
    "cbnz {right}, 7f",
    store!("20", "21"),
    "b 7f",
    "5:",
    "cbnz {right}, 7f",
    store!("22", "23"),
    "b 7f",
    "6:",
    "cbnz {right}, 7f",
    store!("18", "19"),
    "7:",
);

strip!(
    two,
    "cbz {n}, 5f",
    "3:",
    output_two!("18" "19", "20" "21", "4"),
    output_two!("20" "21", "18" "19", "5"),
    "b 3b",
    "4:",
    "cbnz {right}, 7f",
    concat!(column!(), tap!(1, "20", "21"), store!("20", "21")),
    "b 7f",
    "5:",
    "cbnz {right}, 7f",
    concat!(column!(), tap!(1, "18", "19"), store!("18", "19")),
    "7:",
);

/// # Safety
/// As the portable body.
#[inline(always)]
pub(super) unsafe fn body(t: &Task) {
    // SAFETY: each strip handles coordinates inside the input only.
    unsafe {
        let p = &t.p;
        let (c, ow, stride) = (p.in_channels, p.output[2], p.stride[2]);
        // Columns whose windows reach one column into the padding on either side, at most.
        let near =
            p.pad_begin[2] <= 1 && ow > 0 && (ow - 1) * stride + 2 <= p.input[2] + p.pad_begin[2];
        if p.kernel != [1, 3, 3]
            || p.input[0] != 1
            || p.output[0] != 1
            || p.pad_begin[0] != 0
            || p.dilation[2] != 1
            || stride > 2
            || c < STRIP
            || !t.residual.is_null()
            || !near
        {
            return super::windows::<crate::isa::Neon, false>(t);
        }
        let (lo, hi, rest) = p.activation.split();
        let clamp = [lo, hi];
        let most = (CACHE / 3 / (c * stride)).clamp(STRIP, ow.max(STRIP));
        let width = ow.div_ceil(ow.div_ceil(most));
        for row in t.rows.0..t.rows.1 {
            let (oy, image) = (row % p.output[1], row / p.output[1]);
            let y = t.y.add((row - t.rows.0) * ow * c);
            let mut lines = [core::ptr::null::<f32>(); 3];
            for ky in 0..3 {
                let iy = (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                if iy < p.input[1] {
                    lines[ky] = t.x.add((image * p.input[1] + iy) * p.input[2] * c);
                }
            }
            let mut ox = 0;
            while ox < ow {
                let n = width.min(ow - ox);
                let left = ox * stride >= p.pad_begin[2];
                let right = (ox + n - 1) * stride + 2 < p.input[2] + p.pad_begin[2];
                let first = (ox * stride + usize::from(!left)) - p.pad_begin[2];
                let mut strip = Strip {
                    x: [ZEROS.as_ptr(); 3],
                    x_step: [0; 3],
                    w: t.w,
                    step: c * 4,
                    bias: ZEROS.as_ptr(),
                    clamp: &raw const clamp,
                    y,
                    n,
                    left,
                    right,
                };
                for ky in 0..3 {
                    if !lines[ky].is_null() {
                        strip.x_step[ky] = c * 4;
                    }
                }
                let mut ch = 0;
                while ch < c {
                    // The last strip steps back to stay inside the channels: some are computed twice.
                    let at = ch.min(c - STRIP);
                    for ky in 0..3 {
                        if !lines[ky].is_null() {
                            strip.x[ky] = lines[ky].add(first * c + at);
                        }
                    }
                    strip.w = t.w.add(at);
                    if !t.bias.is_null() {
                        strip.bias = t.bias.add(at);
                    }
                    strip.y = y.add(ox * c + at);
                    if stride == 1 {
                        unit(&strip);
                    } else {
                        two(&strip);
                    }
                    ch += STRIP;
                }
                ox += n;
            }
            if let Some(act) = rest {
                (t.finish)(act, y, c, ow, c);
            }
        }
    }
}
