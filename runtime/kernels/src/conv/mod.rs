//! Direct convolution on channels-last tensors: an implicit matrix product of output pixels and packed weights.
//!
//! No im2col buffer: each register tile reads its input rows through pointers; a tap in the padding points at zeros.
#[cfg(target_arch = "aarch64")]
mod neon;
mod shape;
pub mod transpose;
pub mod winograd;

use crate::activation::{Activation, Apply};
use crate::error::{KernelError, exactly};
use crate::gemm::PANEL;
use crate::gemm::tile::{
    Segment, Store, accumulate, accumulate_lines, narrow, offset, start, store, tile_height,
    tile_rows, with_tile,
};
use crate::isa::{Isa, kernel_rows};
use core::mem::MaybeUninit;
use core::ops::Range;

pub use shape::Conv;
pub(crate) use shape::Weights;

/// Packs weights for [`crate::Kernels::conv`]. `weight(o, tap, i)` is the weight of output channel `o` (over all
/// groups), tap `(z * kh + y) * kw + x` and input channel `i` within the group.
///
/// # Errors
/// [`KernelError::Length`] when `out` does not hold exactly [`Conv::packed_len`] elements.
pub fn pack_weights(
    p: &Conv,
    weight: impl Fn(usize, usize, usize) -> f32,
    out: &mut [f32],
) -> Result<(), KernelError> {
    p.check_shape()?;
    exactly(out.len(), p.packed_len())?;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
    let mut at = 0;
    for g in 0..p.groups {
        for panel in 0..og.div_ceil(PANEL) {
            for tap in 0..taps {
                for i in 0..ig {
                    for j in 0..PANEL {
                        let o = panel * PANEL + j;
                        out[at] = if o < og {
                            weight(g * og + o, tap, i)
                        } else {
                            0.0
                        };
                        at += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A validated piece of a convolution of any kind; `residual` and `y` start at the first row of the range.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub finish: Apply,
    pub p: Conv,
    pub x: *const f32,
    pub w: *const f32,
    pub bias: *const f32,
    pub residual: *const f32,
    pub y: *mut f32,
    pub rows: (usize, usize),
}

impl Task {
    pub(crate) fn new(
        finish: Apply,
        p: &Conv,
        x: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        residual: Option<&[f32]>,
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Self {
        let ptr = |s: Option<&[f32]>| s.map_or(core::ptr::null(), <[f32]>::as_ptr);
        Self {
            finish,
            p: *p,
            x: x.as_ptr(),
            w: w.as_ptr(),
            bias: ptr(bias),
            residual: ptr(residual),
            y: y.as_mut_ptr(),
            rows: (rows.start, rows.end),
        }
    }
}

kernel_rows!(pub(crate) ROWS = body(t: &Task), neon = neon::body);

/// What taps in the padding read; longer runs of channels are cut to this length.
const ZERO_LEN: usize = 512;
static ZEROS: [f32; ZERO_LEN] = [0.0; ZERO_LEN];

/// Output pixels whose coordinates are worked out at a time.
const BLOCK: usize = 96;
/// Input bytes / 4 that a block of pixels may touch, to stay in the second-level cache.
const BLOCK_INPUT: usize = 24 * 1024;

/// Windows of at most this many values (the first layer of a network: few channels) are copied to the stack once and
/// serve all panels; without it the short runs of a kernel row cost more than their arithmetic.
const GATHER: usize = 160;
/// Longest run of a kernel row for which that pays.
const GATHER_RUN: usize = 32;

/// First input coordinates of a pixel's window (may lie in the padding) and its image.
#[derive(Clone, Copy)]
struct Pixel {
    image: *const f32,
    z: i32,
    y: i32,
    x: i32,
}

/// # Safety
/// `t` passed [`Conv::check`]; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: passed on.
    unsafe { windows::<I, true>(t) }
}

/// Without `FEW`, windows of few taps take the path of all others: the instruction set has them elsewhere.
///
/// # Safety
/// As [`body`].
#[inline(always)]
unsafe fn windows<I: Isa, const FEW: bool>(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p;
        let (ow, oh, od) = (p.output[2], p.output[1], p.output[0]);
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
        let panels = og.div_ceil(PANEL);
        let panel_stride = taps * ig * PANEL;
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let total = (t.rows.1 - t.rows.0) * ow;
        if total == 0 || og == 0 {
            return;
        }
        let (lo, hi, rest) = p.activation.split();
        let per_pixel = (p.stride[1] * p.stride[2] * ig).max(1);
        let block = ((BLOCK_INPUT / per_pixel) / I::MR * I::MR)
            .clamp(BLOCK / 2 / I::MR * I::MR, BLOCK / I::MR * I::MR);
        let gather = FEW
            && p.groups == 1
            && p.dilation[2] == 1
            && p.kernel[2] * ig <= GATHER_RUN
            && taps * ig <= GATHER;
        // Taps and channels of a kernel row that follow each other in memory.
        let runs = FEW && p.groups == 1 && (p.dilation[2] == 1 || p.kernel[2] == 1);
        let mut pixels = [Pixel {
            image: t.x,
            z: 0,
            y: 0,
            x: 0,
        }; BLOCK];
        for g in 0..p.groups {
            let mut first = 0;
            // Coordinates advance without divisions inside a block.
            let mut row = t.rows.0;
            let mut col = 0;
            let origin = |row: usize| Pixel {
                image: t.x.wrapping_add(row / oh / od * image + g * ig),
                z: (row / oh % od * p.stride[0]) as i32 - p.pad_begin[0] as i32,
                y: (row % oh * p.stride[1]) as i32 - p.pad_begin[1] as i32,
                x: 0,
            };
            let mut at = origin(row);
            while first < total {
                let n = (total - first).min(block);
                for px in &mut pixels[..n] {
                    px.image = at.image;
                    px.z = at.z;
                    px.y = at.y;
                    px.x = (col * p.stride[2]) as i32 - p.pad_begin[2] as i32;
                    col += 1;
                    if col == ow {
                        col = 0;
                        row += 1;
                        at = origin(row);
                    }
                }
                let e = Epilogue {
                    t,
                    panels,
                    panel_stride,
                    og,
                    group: g,
                    lo,
                    hi,
                    rest,
                };
                if gather {
                    let mut i = 0;
                    while i < n {
                        let rows = (n - i).min(I::MR);
                        let px = &pixels[i..i + rows];
                        if within(p, px) {
                            for panel in 0..panels {
                                let w = t.w.add((g * panels + panel) * panel_stride);
                                let s = e.store(first + i, rows, panel, 1);
                                with_tile!(
                                    I,
                                    rows,
                                    PANEL,
                                    false,
                                    tile_within(p, &px[0], w, panel_stride, panel_stride, &s)
                                );
                                if let Some(act) = rest {
                                    (t.finish)(act, s.c, s.ldc, rows, s.cols);
                                }
                            }
                        } else {
                            with_tile!(I, rows, PANEL, false, gathered(&e, px, first + i));
                        }
                        i += rows;
                    }
                    first += n;
                    continue;
                }
                let mut panel = 0;
                while panel < panels {
                    let two = I::PANELS == 2 && panel + 2 <= panels;
                    let width = if two { 2 } else { 1 };
                    let w = t.w.add((g * panels + panel) * panel_stride);
                    let cols = og - panel * PANEL;
                    let height = tile_height::<I>(cols);
                    let mut i = 0;
                    let mut odd = 0;
                    while i < n {
                        let rows = tile_rows(n - i, height);
                        let s = e.store(first + i, rows, panel, width);
                        let px = &pixels[i..i + rows];
                        let ahead = width * panel_stride + odd * PANEL;
                        if runs && within(p, px) {
                            with_tile!(
                                I,
                                rows,
                                cols,
                                two,
                                tile_within(p, &px[0], w, panel_stride, ahead, &s)
                            );
                        } else {
                            with_tile!(I, rows, cols, two, tile(p, px, w, panel_stride, ahead, &s));
                        }
                        if let Some(act) = rest {
                            (t.finish)(act, s.c, s.ldc, rows, s.cols);
                        }
                        i += rows;
                        odd ^= 1;
                    }
                    panel += width;
                }
                first += n;
            }
        }
    }
}

/// What the stores of a group have in common.
struct Epilogue<'a> {
    t: &'a Task,
    panels: usize,
    panel_stride: usize,
    og: usize,
    group: usize,
    lo: f32,
    hi: f32,
    rest: Option<Activation>,
}

impl Epilogue<'_> {
    /// The tile of `rows` pixels from `pixel` (counted from the first of the task) and `width` panels from `panel`.
    #[inline(always)]
    unsafe fn store(&self, pixel: usize, rows: usize, panel: usize, width: usize) -> Store {
        let t = self.t;
        let o = self.group * self.og + panel * PANEL;
        let at = pixel * t.p.out_channels + o;
        // SAFETY: pixel and panel lie inside the task.
        unsafe {
            Store {
                c: t.y.add(at),
                ldc: t.p.out_channels,
                bias: offset(t.bias, o),
                residual: offset(t.residual, at),
                ldr: t.p.out_channels,
                rows,
                cols: (self.og - panel * PANEL).min(width * PANEL),
                alpha: 1.0,
                lo: self.lo,
                hi: self.hi,
            }
        }
    }
}

/// Copies `n` elements, reading and writing those alone.
#[inline(always)]
unsafe fn copy<I: Isa>(from: *const f32, to: *mut f32, n: usize) {
    // SAFETY: the caller's extents.
    unsafe {
        let mut i = 0;
        while i + I::LANES <= n {
            I::store(to.add(i), I::load(from.add(i)));
            i += I::LANES;
        }
        // The rest overlaps what is copied already: masked stores are slow to read back.
        if i < n && n >= I::LANES {
            I::store(to.add(n - I::LANES), I::load(from.add(n - I::LANES)));
        } else {
            while i < n {
                *to.add(i) = *from.add(i);
                i += 1;
            }
        }
    }
}

/// One tile of pixels, all panels, from windows copied to the stack.
#[inline(always)]
unsafe fn gathered<I: Isa, const MR: usize, const NV: usize>(
    e: &Epilogue<'_>,
    px: &[Pixel],
    pixel: usize,
) {
    // SAFETY: a window has at most GATHER values; only those inside the input are read.
    unsafe {
        let p = &e.t.p;
        let c = p.in_channels;
        let (iw, run) = (p.input[2] as i32, p.kernel[2] * c);
        let k = p.kernel[0] * p.kernel[1] * run;
        let mut buffer = [[const { MaybeUninit::<f32>::uninit() }; GATHER]; MR];
        for (r, px) in px.iter().enumerate() {
            let mut to = buffer[r].as_mut_ptr().cast::<f32>();
            // Taps left of the input, inside it, and right of it.
            let before = (-px.x).clamp(0, p.kernel[2] as i32) as usize;
            let after = (px.x + p.kernel[2] as i32 - iw)
                .clamp(0, p.kernel[2] as i32 - before as i32) as usize;
            let inside = p.kernel[2] - before - after;
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    let z = px.z + (kz * p.dilation[0]) as i32;
                    let y = px.y + (ky * p.dilation[1]) as i32;
                    if (z as u32) < p.input[0] as u32
                        && (y as u32) < p.input[1] as u32
                        && inside > 0
                    {
                        let line = (z as usize * p.input[1] + y as usize) * p.input[2];
                        let from = px.image.add((line + (px.x + before as i32) as usize) * c);
                        if inside == p.kernel[2] {
                            copy::<I>(from, to, run);
                        } else {
                            to.write_bytes(0, before * c);
                            copy::<I>(from, to.add(before * c), inside * c);
                            to.add((before + inside) * c).write_bytes(0, after * c);
                        }
                    } else {
                        to.write_bytes(0, run);
                    }
                    to = to.add(run);
                }
            }
        }
        let mut rows = [buffer[0].as_ptr().cast::<f32>(); MR];
        for r in 0..MR {
            rows[r] = buffer[r.min(px.len() - 1)].as_ptr().cast::<f32>();
        }
        for panel in 0..e.panels {
            let w = e.t.w.add((e.group * e.panels + panel) * e.panel_stride);
            let s = e.store(pixel, px.len(), panel, 1);
            let ahead = w.wrapping_add(e.panel_stride);
            let segment = Segment {
                a: rows,
                len: k,
                skip: 0,
            };
            if !I::tile::<MR, NV>(&[segment], w, e.panel_stride, ahead, &s) {
                let mut acc = start::<I, MR, NV>(&s);
                accumulate::<I, MR, NV>(&mut acc, &rows, w, e.panel_stride, ahead, k);
                store::<I, MR, NV>(&acc, &s);
            }
            if let Some(act) = e.rest {
                (e.t.finish)(act, s.c, s.ldc, s.rows, s.cols);
            }
        }
    }
}

/// Whether the pixels are neighbours in one row of outputs and no window leaves the input.
#[inline(always)]
fn within(p: &Conv, px: &[Pixel]) -> bool {
    let (a, b) = (&px[0], &px[px.len() - 1]);
    let fits = |at: i32, axis: usize| {
        at >= 0 && at as usize + (p.kernel[axis] - 1) * p.dilation[axis] < p.input[axis]
    };
    a.image == b.image
        && a.z == b.z
        && a.y == b.y
        && fits(a.z, 0)
        && fits(a.y, 1)
        && fits(a.x, 2)
        && fits(b.x, 2)
}

/// A tile of neighbouring pixels whose windows lie inside the input: each kernel row is one run of memory, at the same
/// distance from pixel to pixel.
#[inline(always)]
unsafe fn tile_within<I: Isa, const MR: usize, const NV: usize>(
    p: &Conv,
    px: &Pixel,
    w: *const f32,
    panel_stride: usize,
    ahead: usize,
    s: &Store,
) {
    // SAFETY: `within` holds.
    unsafe {
        let c = p.in_channels;
        let line = p.input[2] * c;
        let (step, k) = (p.stride[2] * c, p.kernel[2] * c);
        let first = px
            .image
            .add(((px.z as usize * p.input[1] + px.y as usize) * p.input[2] + px.x as usize) * c);
        if I::TILES && p.kernel[0] * p.kernel[1] <= SEGMENTS {
            let mut table = [const { MaybeUninit::<Segment<MR>>::uninit() }; SEGMENTS];
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    let from =
                        first.add((kz * p.dilation[0] * p.input[1] + ky * p.dilation[1]) * line);
                    let mut a = [from; MR];
                    for r in 1..MR {
                        a[r] = from.add(r.min(s.rows - 1) * step);
                    }
                    let segment = Segment { a, len: k, skip: 0 };
                    table[kz * p.kernel[1] + ky].write(segment);
                }
            }
            let table = table.as_ptr().cast::<Segment<MR>>();
            let segments = core::slice::from_raw_parts(table, p.kernel[0] * p.kernel[1]);
            if I::tile::<MR, NV>(segments, w, panel_stride, w.wrapping_add(ahead), s) {
                return;
            }
        }
        let mut acc = start::<I, MR, NV>(s);
        let mut w = w;
        for kz in 0..p.kernel[0] {
            let from = first.add(kz * p.dilation[0] * p.input[1] * line);
            let mut rows = [from; MR];
            for r in 1..MR {
                rows[r] = from.add(r.min(s.rows - 1) * step);
            }
            let lines = (p.kernel[1], p.dilation[1] * line);
            let ahead = w.wrapping_add(ahead);
            accumulate_lines::<I, MR, NV>(&mut acc, &rows, lines, w, panel_stride, ahead, k);
            w = w.add(p.kernel[1] * k * PANEL);
        }
        store::<I, MR, NV>(&acc, s);
    }
}

/// Accumulates `len` channels; rows that are null lie in the padding and read zeros.
#[inline(always)]
unsafe fn run<I: Isa, const MR: usize, const NV: usize>(
    acc: &mut [[I::V; NV]; MR],
    rows: &[*const f32; MR],
    any_padding: bool,
    w: *const f32,
    panel_stride: usize,
    ahead: usize,
    len: usize,
) {
    // SAFETY: null rows are replaced by zeros, at most ZERO_LEN at a time.
    unsafe {
        let mut c = 0;
        while c < len {
            let n = if any_padding {
                (len - c).min(ZERO_LEN)
            } else {
                len
            };
            let mut part = [ZEROS.as_ptr(); MR];
            for r in 0..MR {
                if !rows[r].is_null() {
                    part[r] = rows[r].add(c);
                }
            }
            let w = w.add(c * PANEL);
            accumulate::<I, MR, NV>(acc, &part, w, panel_stride, w.wrapping_add(ahead), n);
            c += n;
        }
    }
}

/// Segments of a tile's table at most; windows of more go without.
const SEGMENTS: usize = 64;

/// The segments of a tile for [`Isa::tile`].
struct List<const MR: usize> {
    segments: [MaybeUninit<Segment<MR>>; SEGMENTS],
    used: usize,
    /// Elements of B to leave out before the next segment.
    skip: usize,
}

impl<const MR: usize> List<MR> {
    /// Adds a segment; rows that are null read zeros.
    #[inline(always)]
    fn push(&mut self, rows: &[*const f32; MR], len: usize) {
        let a = rows.map(|p| if p.is_null() { ZEROS.as_ptr() } else { p });
        let skip = core::mem::take(&mut self.skip);
        self.segments[self.used].write(Segment { a, len, skip });
        self.used += 1;
    }

    #[inline(always)]
    fn get(&self) -> &[Segment<MR>] {
        // SAFETY: the first `used` are written.
        unsafe { core::slice::from_raw_parts(self.segments.as_ptr().cast(), self.used) }
    }
}

#[inline(always)]
unsafe fn tile<I: Isa, const MR: usize, const NV: usize>(
    p: &Conv,
    px: &[Pixel],
    w: *const f32,
    panel_stride: usize,
    ahead: usize,
    s: &Store,
) {
    // SAFETY: a row pointer is formed only for taps inside the input; the others read zeros.
    unsafe {
        let mut pixel = [px[0]; MR];
        for r in 0..MR {
            pixel[r] = px[r.min(px.len() - 1)];
        }
        let c = p.in_channels;
        let ig = c / p.groups;
        let (kw, id, ih, iw) = (
            p.kernel[2],
            p.input[0] as i32,
            p.input[1] as i32,
            p.input[2] as i32,
        );
        // Where a whole kernel row lies in the input, its taps and channels are one run of memory.
        let mut joined = p.groups == 1 && (p.dilation[2] == 1 || kw == 1);
        for r in 0..MR {
            joined &= pixel[r].x >= 0 && pixel[r].x + kw as i32 <= iw;
        }
        let (segments, segment) = if joined { (1, kw * ig) } else { (kw, ig) };
        let lines = p.kernel[0] * p.kernel[1];
        let table = I::TILES && segment <= ZERO_LEN && lines * segments <= SEGMENTS;
        let mut list = List::<MR> {
            segments: [const { MaybeUninit::uninit() }; SEGMENTS],
            used: 0,
            skip: 0,
        };
        let mut acc = start::<I, MR, NV>(s);
        let first = w;
        let mut w = w;
        for kz in 0..p.kernel[0] {
            for ky in 0..p.kernel[1] {
                // Start of the input row of each pixel for this kernel row, null in the padding.
                let mut line = [core::ptr::null::<f32>(); MR];
                let mut padded = false;
                let mut all = true;
                for r in 0..MR {
                    let z = pixel[r].z + (kz * p.dilation[0]) as i32;
                    let y = pixel[r].y + (ky * p.dilation[1]) as i32;
                    if (z as u32) < id as u32 && (y as u32) < ih as u32 {
                        line[r] = pixel[r]
                            .image
                            .add((z as usize * ih as usize + y as usize) * iw as usize * c);
                        all = false;
                    } else {
                        padded = true;
                    }
                }
                if all {
                    w = w.add(kw * ig * PANEL);
                    list.skip += kw * ig * PANEL;
                    continue;
                }
                for kx in 0..segments {
                    let mut rows = [core::ptr::null::<f32>(); MR];
                    for r in 0..MR {
                        let x = pixel[r].x + (kx * p.dilation[2]) as i32;
                        if !line[r].is_null() && (x as u32) < iw as u32 {
                            rows[r] = line[r].add(x as usize * c);
                        } else {
                            padded = true;
                        }
                    }
                    if table {
                        list.push(&rows, segment);
                    } else {
                        run::<I, MR, NV>(&mut acc, &rows, padded, w, panel_stride, ahead, segment);
                    }
                    w = w.add(segment * PANEL);
                }
            }
        }
        if table
            && I::tile::<MR, NV>(
                list.get(),
                first,
                panel_stride,
                first.wrapping_add(ahead),
                s,
            )
        {
            return;
        }
        store::<I, MR, NV>(&acc, s);
    }
}
