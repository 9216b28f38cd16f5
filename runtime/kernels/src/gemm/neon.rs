//! Matrix products and convolutions with Arm Advanced SIMD: up to six rows by 16 columns (8 at the right edge) in
//! registers.
//!
//! Beside `fmla`, four steps of k cost one load a row (four values, multiplied lane by lane) and two paired loads of B a
//! step. Six rows fill the register file: 24 accumulators, 6 vectors of A and 2 of B. Compilers spill there or fall back
//! to loads that broadcast, hence the assembly. Where a row of A lies is in a table, so that the windows of a
//! convolution are no different from the rows of a matrix; the table of a block of rows serves all panels.
use super::tile::{PANEL, Store};
use super::{A_BLOCK, Task};
use crate::activation::Activation;
use crate::activation::Apply;
use crate::isa::Neon;
use core::arch::aarch64::*;
use core::arch::asm;
use core::mem::MaybeUninit;

type V = float32x4_t;

/// Rows of the largest tile.
pub(crate) const ROWS: usize = 6;

/// A stretch of k: where each row of the tile reads, and the B that belongs to it.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Segment {
    /// Starts of the rows; those beyond the tile's rows repeat one of them.
    pub a: [*const f32; ROWS],
    /// Steps of k.
    pub len: usize,
    /// Bytes of B to leave out before this segment.
    pub skip: usize,
}

/// The rows of a tile.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// First of its segments.
    pub segment: usize,
    /// Number of segments.
    pub segments: usize,
    /// Rows, at most [`ROWS`].
    pub rows: usize,
}

/// Tiles of a block, at most.
pub(crate) const TILES: usize = 64;
/// Segments of a block, at most.
pub(crate) const SEGMENTS: usize = 192;

/// Consecutive rows of the result.
pub(crate) struct Block {
    segments: [MaybeUninit<Segment>; SEGMENTS],
    tiles: [MaybeUninit<Tile>; TILES],
    used_segments: usize,
    used_tiles: usize,
}

impl Block {
    pub(crate) const fn new() -> Self {
        Self {
            segments: [const { MaybeUninit::uninit() }; SEGMENTS],
            tiles: [const { MaybeUninit::uninit() }; TILES],
            used_segments: 0,
            used_tiles: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.used_segments, self.used_tiles) = (0, 0);
    }

    /// Whether a tile of `segments` still fits.
    pub(crate) fn has_room(&self, segments: usize) -> bool {
        self.used_tiles < TILES && self.used_segments + segments <= SEGMENTS
    }

    /// Adds a segment to the tile that [`Block::end_tile`] ends.
    pub(crate) fn push(&mut self, segment: Segment) {
        self.segments[self.used_segments].write(segment);
        self.used_segments += 1;
    }

    /// The segments since `first`, the value of [`Block::segments`] before them, are a tile.
    pub(crate) fn end_tile(&mut self, first: usize, rows: usize) {
        self.tiles[self.used_tiles].write(Tile {
            segment: first,
            segments: self.used_segments - first,
            rows,
        });
        self.used_tiles += 1;
    }

    /// Segments so far.
    pub(crate) fn segments(&self) -> usize {
        self.used_segments
    }
}

/// Rows of the next tile where `left` remain: the last two share what is left.
#[inline(always)]
pub(crate) fn next_rows(left: usize) -> usize {
    if left <= ROWS || left >= 2 * ROWS {
        left.min(ROWS)
    } else {
        left.div_ceil(2)
    }
}

/// What a kernel reads beside its segments, and where it stores.
#[derive(Clone, Copy)]
struct Target {
    b: *const f32,
    /// As many values as the tile has columns.
    bias: *const f32,
    /// Null where there is none.
    residual: *const f32,
    /// Bytes from row to row.
    residual_step: usize,
    c: *mut f32,
    /// Bytes from row to row.
    step: usize,
    /// Lower and upper clamp, or null.
    clamp: *const [f32; 2],
}

/// Writes a kernel: `c = clamp(bias + residual + sum over segments of a * b)`. For each row: its place in the table, and
/// the names of its pointer into A, its vector of A and its accumulators.
macro_rules! kernel {
    ($name:ident, $($at:literal: $p:ident $a:ident [$($c:ident)*];)*) => {
        kernel!(@whole $name, { $([$($c)*])* } $($at: $p $a [$($c)*];)*);
    };
    (@whole $name:ident, { $first:tt $($other:tt)* } $($at:literal: $p:ident $a:ident [$($c:ident)*];)*) => {
        /// # Safety
        /// Each segment is valid for reads of its length in every row, B for the rows that the segments reach; bias,
        /// residual and `c` for the tile.
        #[inline(always)]
        unsafe fn $name(segments: *const Segment, count: usize, t: Target) {
            // SAFETY: reads and writes what the contract allows: quads of A while four steps are left, then single values.
            unsafe {
                asm!(
                    kernel!(@bias $first),
                    $(kernel!(@copy $first $other),)*
                    "cbz {res}, 2f",
                    $(kernel!(@residual $($c)*),)*
                    "2:",
                    "cbz {n}, 8f",
                    "3:",
                    $(concat!("ldr {", stringify!($p), "}, [{seg}, #", $at, "]"),)*
                    "ldp {k}, {skip}, [{seg}, #48]",
                    "add {seg}, {seg}, #64",
                    "add {b}, {b}, {skip}",
                    "subs {k}, {k}, #4",
                    "b.lo 5f",
                    "4:",
                    $(concat!("ldr {", stringify!($a), ":q}, [{", stringify!($p), "}], #16"),)*
                    kernel!(@step "0" $($a [$($c)*])*),
                    kernel!(@step "1" $($a [$($c)*])*),
                    kernel!(@step "2" $($a [$($c)*])*),
                    kernel!(@step "3" $($a [$($c)*])*),
                    "subs {k}, {k}, #4",
                    "b.hs 4b",
                    "5:",
                    "adds {k}, {k}, #4",
                    "b.eq 7f",
                    "6:",
                    $(concat!("ldr {", stringify!($a), ":s}, [{", stringify!($p), "}], #4"),)*
                    kernel!(@step "0" $($a [$($c)*])*),
                    "subs {k}, {k}, #1",
                    "b.ne 6b",
                    "7:",
                    "subs {n}, {n}, #1",
                    "b.ne 3b",
                    "8:",
                    "cbz {clamp}, 9f",
                    "ld1r {{{b0:v}.4s}}, [{clamp}], #4",
                    "ld1r {{{b1:v}.4s}}, [{clamp}]",
                    $(kernel!(@clamp $($c)*),)*
                    "9:",
                    $(kernel!(@store $($c)*),)*
                    seg = inout(reg) segments => _,
                    n = inout(reg) count => _,
                    b = inout(reg) t.b => _,
                    bias = in(reg) t.bias,
                    res = inout(reg) t.residual => _,
                    res_step = in(reg) t.residual_step,
                    c = inout(reg) t.c => _,
                    step = in(reg) t.step,
                    clamp = inout(reg) t.clamp => _,
                    k = out(reg) _,
                    skip = out(reg) _,
                    b0 = out(vreg) _,
                    b1 = out(vreg) _,
                    $($p = out(reg) _, $a = out(vreg) _, $($c = out(vreg) _,)*)*
                    options(nostack),
                );
            }
        }
    };
    (@bias [$c0:ident $c1:ident $c2:ident $c3:ident]) => {
        concat!(kernel!(@bias [$c0 $c1]), "ldp {", stringify!($c2), ":q}, {", stringify!($c3), ":q}, [{bias}, #32]\n")
    };
    (@bias [$c0:ident $c1:ident]) => {
        concat!("ldp {", stringify!($c0), ":q}, {", stringify!($c1), ":q}, [{bias}]\n")
    };
    (@copy [$($from:ident)*] [$($c:ident)*]) => {
        concat!($("mov {", stringify!($c), ":v}.16b, {", stringify!($from), ":v}.16b\n",)*)
    };
    (@residual $c0:ident $c1:ident $($c2:ident $c3:ident)?) => {
        concat!(
            "ldp {b0:q}, {b1:q}, [{res}]\n",
            "fadd {", stringify!($c0), ":v}.4s, {", stringify!($c0), ":v}.4s, {b0:v}.4s\n",
            "fadd {", stringify!($c1), ":v}.4s, {", stringify!($c1), ":v}.4s, {b1:v}.4s\n",
            $("ldp {b0:q}, {b1:q}, [{res}, #32]\n",
            "fadd {", stringify!($c2), ":v}.4s, {", stringify!($c2), ":v}.4s, {b0:v}.4s\n",
            "fadd {", stringify!($c3), ":v}.4s, {", stringify!($c3), ":v}.4s, {b1:v}.4s\n",)?
            "add {res}, {res}, {res_step}\n",
        )
    };
    (@fma $b:literal $lane:literal $($c:ident $a:ident)*) => {
        concat!($("fmla {", stringify!($c), ":v}.4s, {", $b, ":v}.4s, {", stringify!($a), ":v}.s[", $lane, "]\n",)*)
    };
    (@step $lane:literal $($a:ident [$c0:ident $c1:ident $c2:ident $c3:ident])*) => {
        concat!(
            "ldp {b0:q}, {b1:q}, [{b}], #32\n",
            kernel!(@fma "b0" $lane $($c0 $a)*),
            kernel!(@fma "b1" $lane $($c1 $a)*),
            "ldp {b0:q}, {b1:q}, [{b}], #32\n",
            kernel!(@fma "b0" $lane $($c2 $a)*),
            kernel!(@fma "b1" $lane $($c3 $a)*),
        )
    };
    (@step $lane:literal $($a:ident [$c0:ident $c1:ident])*) => {
        concat!(
            "ldp {b0:q}, {b1:q}, [{b}], #64\n",
            kernel!(@fma "b0" $lane $($c0 $a)*),
            kernel!(@fma "b1" $lane $($c1 $a)*),
        )
    };
    (@clamp $($c:ident)*) => {
        concat!($(
            "fmax {", stringify!($c), ":v}.4s, {", stringify!($c), ":v}.4s, {b0:v}.4s\n",
            "fmin {", stringify!($c), ":v}.4s, {", stringify!($c), ":v}.4s, {b1:v}.4s\n",
        )*)
    };
    (@store $c0:ident $c1:ident $($c2:ident $c3:ident)?) => {
        concat!(
            "stp {", stringify!($c0), ":q}, {", stringify!($c1), ":q}, [{c}]\n",
            $("stp {", stringify!($c2), ":q}, {", stringify!($c3), ":q}, [{c}, #32]\n",)?
            "add {c}, {c}, {step}\n",
        )
    };
}

kernel!(six,
    0: p0 a0 [c00 c01 c02 c03];
    8: p1 a1 [c10 c11 c12 c13];
    16: p2 a2 [c20 c21 c22 c23];
    24: p3 a3 [c30 c31 c32 c33];
    32: p4 a4 [c40 c41 c42 c43];
    40: p5 a5 [c50 c51 c52 c53];
);
kernel!(five,
    0: p0 a0 [c00 c01 c02 c03];
    8: p1 a1 [c10 c11 c12 c13];
    16: p2 a2 [c20 c21 c22 c23];
    24: p3 a3 [c30 c31 c32 c33];
    32: p4 a4 [c40 c41 c42 c43];
);
kernel!(four,
    0: p0 a0 [c00 c01 c02 c03];
    8: p1 a1 [c10 c11 c12 c13];
    16: p2 a2 [c20 c21 c22 c23];
    24: p3 a3 [c30 c31 c32 c33];
);
kernel!(three,
    0: p0 a0 [c00 c01 c02 c03];
    8: p1 a1 [c10 c11 c12 c13];
    16: p2 a2 [c20 c21 c22 c23];
);
kernel!(two,
    0: p0 a0 [c00 c01 c02 c03];
    8: p1 a1 [c10 c11 c12 c13];
);
kernel!(one,
    0: p0 a0 [c00 c01 c02 c03];
);
kernel!(six_narrow,
    0: p0 a0 [c00 c01];
    8: p1 a1 [c10 c11];
    16: p2 a2 [c20 c21];
    24: p3 a3 [c30 c31];
    32: p4 a4 [c40 c41];
    40: p5 a5 [c50 c51];
);

static ZEROS: [f32; PANEL] = [0.0; PANEL];

/// One panel of a block: the rows of `s`, whose `rows` counts all of them, and at most 16 columns. `b` is the panel.
///
/// # Safety
/// The segments of the block are valid for reads, `b` for the rows they reach; the pointers of `s` for its rows and
/// columns.
#[target_feature(enable = "neon")]
#[inline(never)]
pub(crate) unsafe fn panel(
    block: &Block,
    b: *const f32,
    s: &Store,
    finish: Apply,
    rest: Option<Activation>,
) {
    // SAFETY: tiles and segments in use are written; rows add up to those of `s`.
    unsafe {
        let clamp = [s.lo, s.hi];
        let clamps = s.lo != f32::NEG_INFINITY || s.hi != f32::INFINITY;
        let whole = s.cols == PANEL && s.alpha == 1.0;
        let mut t = Target {
            b,
            bias: if s.bias.is_null() {
                ZEROS.as_ptr()
            } else {
                s.bias
            },
            residual: s.residual,
            residual_step: s.ldr * 4,
            c: s.c,
            step: s.ldc * 4,
            clamp: if clamps {
                &raw const clamp
            } else {
                core::ptr::null()
            },
        };
        let segments = block.segments.as_ptr().cast::<Segment>();
        let mut row = 0;
        for tile in &block.tiles[..block.used_tiles] {
            let tile = tile.assume_init();
            let from = segments.add(tile.segment);
            if whole {
                run(from, &tile, t);
                t.c = t.c.wrapping_byte_add(tile.rows * t.step);
                if !t.residual.is_null() {
                    t.residual = t.residual.wrapping_byte_add(tile.rows * t.residual_step);
                }
            } else {
                partial(from, &tile, b, s, row);
                row += tile.rows;
            }
        }
        if let Some(act) = rest {
            finish(act, s.c, s.ldc, s.rows, s.cols);
        }
    }
}

#[inline(always)]
unsafe fn run(from: *const Segment, tile: &Tile, t: Target) {
    // SAFETY: the contract of the kernels is that of `panel`.
    unsafe {
        match tile.rows {
            6 => six(from, tile.segments, t),
            5 => five(from, tile.segments, t),
            4 => four(from, tile.segments, t),
            3 => three(from, tile.segments, t),
            2 => two(from, tile.segments, t),
            _ => one(from, tile.segments, t),
        }
    }
}

/// A tile of fewer columns, or scaled, by way of the stack; `row` counts from the first of `s`.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn partial(from: *const Segment, tile: &Tile, b: *const f32, s: &Store, row: usize) {
    // SAFETY: the stack holds the largest tile; of `s` only valid rows and columns are touched.
    unsafe {
        let mut sums = [[0.0f32; PANEL]; ROWS];
        let first = super::tile::start::<Neon, 1, 4>(s);
        let t = Target {
            b,
            bias: first.as_ptr().cast(),
            residual: core::ptr::null(),
            residual_step: 0,
            c: sums.as_mut_ptr().cast(),
            step: PANEL * 4,
            clamp: core::ptr::null(),
        };
        if s.cols <= PANEL / 2 {
            six_narrow(from, tile.segments, t);
        } else {
            run(from, tile, t);
        }
        for r in 0..tile.rows {
            let mut acc = [[vdupq_n_f32(0.0); 4]; 1];
            for j in 0..4 {
                acc[0][j] = vld1q_f32(sums[r].as_ptr().add(j * 4));
            }
            let mut one = *s;
            one.c = s.c.add((row + r) * s.ldc);
            one.residual = s.residual.wrapping_add((row + r) * s.ldr);
            if s.residual.is_null() {
                one.residual = s.residual;
            }
            one.rows = 1;
            super::tile::store::<Neon, 1, 4>(&acc, &one);
        }
    }
}

/// # Safety
/// As the portable body.
#[inline(always)]
pub(super) unsafe fn body(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let (r0, r1) = t.rows;
        let k = t.p.k;
        let (lo, hi, rest) = t.p.activation.split();
        let rows = (A_BLOCK / k.max(1) / ROWS * ROWS).clamp(ROWS * 2, ROWS * TILES);
        let mut block = Block::new();
        let mut start = r0;
        while start < r1 {
            let end = (start + rows).min(r1);
            block.clear();
            let mut i = start;
            while i < end && r1 - r0 > 1 {
                let rows = next_rows(end - i);
                let mut segment = Segment {
                    a: [t.a; ROWS],
                    len: k,
                    skip: 0,
                };
                for r in 0..ROWS {
                    segment.a[r] = t.a.add((i + r.min(rows - 1)) * t.p.lda);
                }
                block.push(segment);
                block.end_tile(block.segments() - 1, rows);
                i += rows;
            }
            for p in t.panels.0..t.panels.1 {
                let b = t.b.add(p * k * PANEL);
                let s = super::store_at(t, start, end - start, p, 1, lo, hi);
                if r1 - r0 > 1 {
                    panel(&block, b, &s, t.finish, rest);
                } else {
                    vector(t.a.add(start * t.p.lda), b, k, &s);
                    if let Some(act) = rest {
                        (t.finish)(act, s.c, s.ldc, 1, s.cols);
                    }
                }
            }
            start = end;
        }
    }
}

/// One row times one panel; four sets of accumulators hide the latency of `fmla`.
#[inline(always)]
unsafe fn vector(a: *const f32, b: *const f32, k: usize, s: &Store) {
    // SAFETY: `a` holds k elements, `b` k * 16.
    unsafe {
        let mut acc: [[V; 4]; 4] = [[vdupq_n_f32(0.0); 4]; 4];
        [acc[0]] = super::tile::start::<Neon, 1, 4>(s);
        let mut i = 0;
        while i + 4 <= k {
            let av = vld1q_f32(a.add(i));
            let b = b.add(i * PANEL);
            for j in 0..4 {
                acc[0][j] = vfmaq_laneq_f32::<0>(acc[0][j], vld1q_f32(b.add(j * 4)), av);
                acc[1][j] = vfmaq_laneq_f32::<1>(acc[1][j], vld1q_f32(b.add(16 + j * 4)), av);
                acc[2][j] = vfmaq_laneq_f32::<2>(acc[2][j], vld1q_f32(b.add(32 + j * 4)), av);
                acc[3][j] = vfmaq_laneq_f32::<3>(acc[3][j], vld1q_f32(b.add(48 + j * 4)), av);
            }
            i += 4;
        }
        while i < k {
            for j in 0..4 {
                acc[0][j] = vfmaq_n_f32(acc[0][j], vld1q_f32(b.add(i * PANEL + j * 4)), *a.add(i));
            }
            i += 1;
        }
        let mut sum = [[vdupq_n_f32(0.0); 4]; 1];
        for j in 0..4 {
            let low = vaddq_f32(acc[0][j], acc[1][j]);
            sum[0][j] = vaddq_f32(low, vaddq_f32(acc[2][j], acc[3][j]));
        }
        super::tile::store::<Neon, 1, 4>(&sum, s);
    }
}
