//! Depthwise convolutions of 3 x 3 with Arm SDOT, 16 channels at a time.
//!
//! The bytes of an input column's three rows are interleaved by channel, so that one product takes a column of the kernel;
//! an interleaved column serves all outputs of a row that hold it.
use crate::conv::Conv;
use crate::quantized::Task;
use core::arch::aarch64::*;
use core::arch::asm;

/// Channels at a time.
const STRIP: usize = 16;
/// Output rows that strips pass over in turn, so that lines of the input are used while they are in the cache.
const BLOCK: usize = 4;
/// Rows and columns of the kernel.
const K: usize = 3;

/// An interleaved column: four bytes of each channel.
type Column = [int8x16_t; 4];

/// # Safety
/// `t` passed its check for a depthwise convolution; the machine has dot products.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::quantized) unsafe fn depthwise(t: &Task) {
    let p = &t.p.conv;
    let square = p.kernel == [1, K, K]
        && p.dilation[2] == 1
        && p.out_channels >= STRIP
        && t.residual.is_null();
    // SAFETY: passed through.
    unsafe {
        match (p.stride[2], p.pad_begin[2]) {
            (1, 0..=2) if square && t.finite() => rows::<1>(t),
            (2, 0..=1) if square && p.output[2] - inside::<2>(p) <= 1 && t.finite() => rows::<2>(t),
            _ => super::depthwise(t),
        }
    }
}

/// Interleaves three rows of bytes and a fourth one by channel.
#[inline]
#[target_feature(enable = "neon")]
fn interleave(rows: [uint8x16_t; K], fourth: uint8x16_t) -> Column {
    let [a, b, c] = rows;
    let (ab, cd) = (vzip1q_u8(a, b), vzip1q_u8(c, fourth));
    let (ab, cd) = (vreinterpretq_u16_u8(ab), vreinterpretq_u16_u8(cd));
    let (low, high) = (vzip1q_u16(ab, cd), vzip2q_u16(ab, cd));
    let (ab, cd) = (vzip2q_u8(a, b), vzip2q_u8(c, fourth));
    let (ab, cd) = (vreinterpretq_u16_u8(ab), vreinterpretq_u16_u8(cd));
    [low, high, vzip1q_u16(ab, cd), vzip2q_u16(ab, cd)].map(|v| vreinterpretq_s8_u16(v))
}

/// A strip of channels of an output row.
struct Strip<'a> {
    t: &'a Task,
    flip: uint8x16_t,
    /// Bytes of a pixel outside of the input.
    outside: [u8; STRIP],
    /// Weights of the kernel's columns.
    w: [Column; K],
    start: *const i32,
    multiplier: *const f32,
    /// Where the input rows start, each with its distance from column to column: 0 for a row of padding.
    rows: [(*const u8, usize); K],
    /// The row's first result.
    y: *mut u8,
    mode: usize,
}

/// The bounds are not those of a type.
const BOUNDS: usize = 1;
/// The bounds are those of unsigned bytes.
const UNSIGNED: usize = 2;

/// Gathers the bytes of four channels from the rows `a` and `b`, interleaved, and `c`. The fourth byte meets weights of
/// zero.
static GATHER: [[u8; STRIP]; 4] = {
    let mut table = [[0xff; STRIP]; 4];
    let mut i = 0;
    while i < STRIP {
        // The table of the low half is `ab c`, that of the high one `c ab`.
        let (pair, third) = if i < STRIP / 2 {
            (0, STRIP)
        } else {
            (STRIP, 0)
        };
        let to = &mut table[i / 4];
        to[i % 4 * 4] = (pair + i % 8 * 2) as u8;
        to[i % 4 * 4 + 1] = (pair + i % 8 * 2 + 1) as u8;
        to[i % 4 * 4 + 2] = (third + i) as u8;
        i += 1;
    }
    table
};

/// Writes a function that computes the outputs of a row, column by column, in registers: weights in v0 to v11, three
/// columns in v12 to v23, sums in v24 to v27, GATHER in v28 to v31.
macro_rules! outputs {
    ($name:ident, $($text:expr,)*) => {
        /// Computes `n` outputs from the given columns and those that follow in the strip's rows, then `edge` ones that
        /// read on at `at_edge`.
        ///
        /// # Safety
        /// `n > 0`; columns and outputs exist; the machine has dot products.
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $name(
            strip: &Strip<'_>,
            rows: [(*const u8, usize); K],
            columns: [Column; 2],
            (n, edge): (usize, usize),
            at_edge: *const u8,
        ) {
            let r = &strip.t.p.requantize;
            let [(row0, step0), (row1, step1), (row2, step2)] = rows;
            let [w0, w1, w2] = strip.w;
            let [a, b] = columns;
            // SAFETY: reads and writes what the contract allows.
            unsafe {
                asm!(
                    "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{gather}]",
                    $($text,)*
                    "9:",
                    gather = in(reg) GATHER.as_ptr(),
                    n = inout(reg) n => _,
                    edge = inout(reg) edge => _,
                    at_edge = in(reg) at_edge,
                    row0 = inout(reg) row0 => _,
                    row1 = inout(reg) row1 => _,
                    row2 = inout(reg) row2 => _,
                    step0 = inout(reg) step0 => _,
                    step1 = inout(reg) step1 => _,
                    step2 = inout(reg) step2 => _,
                    start = in(reg) strip.start,
                    multiplier = in(reg) strip.multiplier,
                    y = inout(reg) strip.y => _,
                    step = in(reg) strip.t.p.conv.out_channels,
                    mode = in(reg) strip.mode,
                    zero = in(reg) r.zero,
                    low = in(reg) r.low,
                    high = in(reg) r.high,
                    in("v0") w0[0], in("v1") w0[1], in("v2") w0[2], in("v3") w0[3],
                    in("v4") w1[0], in("v5") w1[1], in("v6") w1[2], in("v7") w1[3],
                    in("v8") w2[0], in("v9") w2[1], in("v10") w2[2], in("v11") w2[3],
                    inout("v12") a[0] => _, inout("v13") a[1] => _, inout("v14") a[2] => _, inout("v15") a[3] => _,
                    inout("v16") b[0] => _, inout("v17") b[1] => _, inout("v18") b[2] => _, inout("v19") b[3] => _,
                    out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

/// Reads the next column.
macro_rules! column {
    ($flip:literal $c0:literal $c1:literal $c2:literal $c3:literal) => {
        concat!(
            "ld1 {{v24.16b}}, [{row0}], {step0}\n",
            "ld1 {{v27.16b}}, [{row1}], {step1}\n",
            "ld1 {{v26.16b}}, [{row2}], {step2}\n",
            $flip,
            "zip1 v25.16b, v24.16b, v27.16b\n",
            "zip2 v27.16b, v24.16b, v27.16b\n",
            "tbl v",
            $c0,
            ".16b, {{v25.16b, v26.16b}}, v28.16b\n",
            "tbl v",
            $c1,
            ".16b, {{v25.16b, v26.16b}}, v29.16b\n",
            "tbl v",
            $c2,
            ".16b, {{v26.16b, v27.16b}}, v30.16b\n",
            "tbl v",
            $c3,
            ".16b, {{v26.16b, v27.16b}}, v31.16b\n",
        )
    };
}

/// Multiplies three columns, each given by its four registers, requantises and stores. The first column is lost.
macro_rules! output {
    (@columns $([$c0:literal $c1:literal $c2:literal $c3:literal] $w0:literal $w1:literal $w2:literal $w3:literal;)*) => {
        concat!(
            "ldp q24, q25, [{start}]\n",
            "ldp q26, q27, [{start}, #32]\n",
            $(
                "sdot v24.4s, v", $c0, ".16b, v", $w0, ".16b\n",
                "sdot v25.4s, v", $c1, ".16b, v", $w1, ".16b\n",
                "sdot v26.4s, v", $c2, ".16b, v", $w2, ".16b\n",
                "sdot v27.4s, v", $c3, ".16b, v", $w3, ".16b\n",
            )*
        )
    };
    (@finish [$a:literal $b:literal $c:literal $d:literal]) => {
        concat!(
            "ldp q", $a, ", q", $b, ", [{multiplier}]\n",
            "ldp q", $c, ", q", $d, ", [{multiplier}, #32]\n",
            "scvtf v24.4s, v24.4s\n scvtf v25.4s, v25.4s\n scvtf v26.4s, v26.4s\n scvtf v27.4s, v27.4s\n",
            "fmul v24.4s, v24.4s, v", $a, ".4s\n fmul v25.4s, v25.4s, v", $b, ".4s\n",
            "fmul v26.4s, v26.4s, v", $c, ".4s\n fmul v27.4s, v27.4s, v", $d, ".4s\n",
            "fcvtns v24.4s, v24.4s\n fcvtns v25.4s, v25.4s\n fcvtns v26.4s, v26.4s\n fcvtns v27.4s, v27.4s\n",
            "sqxtn v24.4h, v24.4s\n sqxtn v26.4h, v26.4s\n",
            "sqxtn2 v24.8h, v25.4s\n sqxtn2 v26.8h, v27.4s\n",
            "cbz {zero:w}, 5f\n",
            "dup v", $a, ".8h, {zero:w}\n",
            "sqadd v24.8h, v24.8h, v", $a, ".8h\n sqadd v26.8h, v26.8h, v", $a, ".8h\n",
            "5:\n",
            "tbnz {mode}, #1, 7f\n",
            "cbz {mode}, 6f\n",
            "dup v", $a, ".8h, {low:w}\n dup v", $b, ".8h, {high:w}\n",
            "smax v24.8h, v24.8h, v", $a, ".8h\n smax v26.8h, v26.8h, v", $a, ".8h\n",
            "smin v24.8h, v24.8h, v", $b, ".8h\n smin v26.8h, v26.8h, v", $b, ".8h\n",
            "uzp1 v24.16b, v24.16b, v26.16b\n",
            "b 8f\n",
            "6:\n",
            "sqxtn v24.8b, v24.8h\n sqxtn2 v24.16b, v26.8h\n",
            "b 8f\n",
            "7:\n",
            "sqxtun v24.8b, v24.8h\n sqxtun2 v24.16b, v26.8h\n",
            "8:\n",
            "st1 {{v24.16b}}, [{y}], {step}\n",
            "subs {n}, {n}, #1\n",
        )
    };
    ($switch:literal $next:literal: $x:tt $y:tt $z:tt) => {
        concat!(
            output!(@columns $x 0 1 2 3; $y 4 5 6 7; $z 8 9 10 11;),
            output!(@finish $x),
            "b.ne ", $next, "\n",
            "cbz {edge}, 9f\n",
            "mov {n}, {edge}\n mov {edge}, xzr\n",
            $switch,
        )
    };
}

/// The functions of a way to read bytes: for stride 1 columns take turns in three places, for stride 2 the outer ones.
macro_rules! strides {
    ($one:ident, $two:ident, $flip:literal, $padding:literal, $edge:literal) => {
        outputs!(
            $one,
            "2:",
            column!($flip 20 21 22 23),
            output!($padding "3f": [12 13 14 15] [16 17 18 19] [20 21 22 23]),
            "3:",
            column!($flip 12 13 14 15),
            output!($padding "4f": [16 17 18 19] [20 21 22 23] [12 13 14 15]),
            "4:",
            column!($flip 16 17 18 19),
            output!($padding "2b": [20 21 22 23] [12 13 14 15] [16 17 18 19]),
            "b 2b",
        );
        outputs!(
            $two,
            "2:",
            column!($flip 16 17 18 19),
            column!($flip 20 21 22 23),
            output!($edge "3f": [12 13 14 15] [16 17 18 19] [20 21 22 23]),
            "3:",
            column!($flip 16 17 18 19),
            column!($flip 12 13 14 15),
            output!($edge "2b": [20 21 22 23] [16 17 18 19] [12 13 14 15]),
            "b 2b",
        );
    };
}

/// Gives ways to read bytes what moves the rows to the edge: a pixel of padding, or a real and a padded column of each row.
macro_rules! ways {
    ($($one:ident, $two:ident, $flip:literal;)*) => {
        $(strides!(
            $one,
            $two,
            $flip,
            "mov {row0}, {at_edge}\n mov {row1}, {at_edge}\n mov {row2}, {at_edge}\n mov {step0}, xzr\n mov {step1}, xzr\n mov {step2}, xzr\n",
            "mov {row0}, {at_edge}\n add {row1}, {at_edge}, #32\n add {row2}, {at_edge}, #64\n mov {step0}, #16\n mov {step1}, #16\n mov {step2}, #16\n"
        );)*
    };
}

ways!(
    signed_one, signed_two, "";
    unsigned_one, unsigned_two, "movi v25.16b, #0x80\n eor v24.16b, v24.16b, v25.16b\n eor v26.16b, v26.16b, v25.16b\n eor v27.16b, v27.16b, v25.16b\n";
);

impl Strip<'_> {
    /// An input column; any index outside of the input is padding.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn column(&self, x: usize) -> Column {
        // SAFETY: the column exists in the input, or the padding is read.
        unsafe {
            let v = self.rows.map(|(row, step)| {
                let inside = x < self.t.p.conv.input[2];
                let pixel = if inside {
                    row.add(x * step)
                } else {
                    self.outside.as_ptr()
                };
                veorq_u8(vld1q_u8(pixel), self.flip)
            });
            interleave(v, v[2])
        }
    }

    /// All outputs of the row, with stride `S`; the padding before it is at most `K - S`.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    unsafe fn outputs<const S: usize>(&self) {
        // SAFETY: columns and outputs exist.
        unsafe {
            let p = &self.t.p.conv;
            let (width, input, pad) = (p.output[2], p.input[2], p.pad_begin[2]);
            let first = 0usize.wrapping_sub(pad);
            let a = self.column(first);
            let columns = [
                a,
                if S == 1 {
                    self.column(first.wrapping_add(1))
                } else {
                    a
                },
            ];
            // The first column that is not among them.
            let next = K - S - pad;
            let inside = inside::<S>(p);
            let mut rows = self
                .rows
                .map(|(row, step)| (row.wrapping_add(next * step), step));
            // A real and a padded column for the only output at the edge, or padding for all.
            let mut edge = [[self.outside; 2]; K];
            let real = S == 2 && inside < width && next + S * inside < input;
            if real {
                for (edge, (row, step)) in edge.iter_mut().zip(rows) {
                    edge[0] = row.add(S * inside * step).cast::<[u8; STRIP]>().read();
                }
            }
            let (mut counts, at_edge) = ((inside, width - inside), edge.as_ptr().cast());
            if inside == 0 {
                rows = if S == 1 {
                    [(at_edge, 0); K]
                } else {
                    edge.each_ref().map(|edge| (edge.as_ptr().cast(), STRIP))
                };
                counts = (width, 0);
            }
            match (S, self.t.p.signed) {
                (1, true) => signed_one(self, rows, columns, counts, at_edge),
                (1, false) => unsigned_one(self, rows, columns, counts, at_edge),
                (_, true) => signed_two(self, rows, columns, counts, at_edge),
                (_, false) => unsigned_two(self, rows, columns, counts, at_edge),
            }
        }
    }
}

/// Outputs of a row, with stride `S`, whose last column is in the input.
fn inside<const S: usize>(p: &Conv) -> usize {
    let next = K - S - p.pad_begin[2];
    (p.input[2].saturating_sub(next) / S).min(p.output[2])
}

/// All rows, with stride `S` from column to column.
#[target_feature(enable = "neon,dotprod")]
unsafe fn rows<const S: usize>(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved; the last strip steps back to stay inside the
    // channels, so some are computed twice.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let r = &t.p.requantize;
        let flip = vdupq_n_u8(t.flip());
        let mut strip = Strip {
            t,
            flip,
            outside: [t.p.x_zero; STRIP],
            w: [[vdupq_n_s8(0); 4]; K],
            start: t.start,
            multiplier: t.multiplier,
            rows: [(t.x, 0); K],
            y: t.y,
            mode: match (r.low, r.high) {
                (-128, 127) => 0,
                (0, 255) => UNSIGNED,
                _ => BOUNDS,
            },
        };
        let strips = c.div_ceil(STRIP);
        for i in 0..(t.rows.1 - t.rows.0).div_ceil(BLOCK) * strips {
            let first = (i % strips * STRIP).min(c - STRIP);
            let begin = t.rows.0 + i / strips * BLOCK;
            for (kx, w) in strip.w.iter_mut().enumerate() {
                let row = |ky: usize| vld1q_u8(t.w.add((ky * K + kx) * c + first).cast());
                *w = interleave([row(0), row(1), row(2)], vdupq_n_u8(0));
            }
            strip.start = t.start.add(first);
            strip.multiplier = t.multiplier.add(first);
            for row in begin..(begin + BLOCK).min(t.rows.1) {
                let (y, rest) = (row % p.output[1], row / p.output[1]);
                let (z, image) = (rest % p.output[0], rest / p.output[0]);
                let z = (z * p.stride[0]).wrapping_sub(p.pad_begin[0]);
                let outside = strip.outside.as_ptr();
                for (ky, row) in strip.rows.iter_mut().enumerate() {
                    let y = (y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    *row = if z < p.input[0] && y < p.input[1] {
                        let line = (image * p.input[0] + z) * p.input[1] + y;
                        (t.x.add(line * p.input[2] * c + first), c)
                    } else {
                        (outside, 0)
                    };
                }
                strip.y = t.y.add((row - t.rows.0) * p.output[2] * c + first);
                strip.outputs::<S>();
            }
        }
    }
}
