//! Dense convolutions: the input lines of a block of outputs are widened once, and tiles of six pixels by eight channels
//! read their windows from there.
//!
//! A tile has twelve accumulators, of pairs of products of four channels each; with two vectors of weights, one of values
//! and one of products they fill the registers. Where the next load comes from is the same distance for all pixels.
use super::lists::Pairs;
use super::{Finish, LANES, Target, narrow, with_avx2};
use crate::conv::Conv;
use crate::gemm::PANEL;
use crate::quantized::{GROUP, Task, blocks, scalar};
use core::arch::x86_64::*;
use core::mem::MaybeUninit;

/// Widened values of a block; what is read behind the last run of a block lies in the rest of a group.
const CAPACITY: usize = 32 * 1024 - GROUP;
/// Values that stay in the first-level cache beside the weights of a panel.
const NEAR: usize = 12 * 1024;
/// Bytes of weights that are read from the second-level cache for every block; with more, blocks are as large as can be.
const SMALL: usize = 192 * 1024;
/// Most pixels of a block.
const PIXELS: usize = 384;
/// Most runs of a window.
const RUNS: usize = 64;
/// Pixels of a tile.
const HEIGHT: usize = 6;

/// Values of a block of one image: planes of the kernel's depth, lines of each, pixels of each.
#[derive(Clone, Copy)]
struct Block {
    /// Output rows and columns.
    rows: usize,
    columns: usize,
    /// Lines of a plane, and of them those from one output row to the next.
    lines: usize,
    step: usize,
    /// Values of a line.
    line: usize,
}

impl Block {
    fn new(p: &Conv, rows: usize, columns: usize) -> Self {
        let reach = |d: usize| (p.kernel[d] - 1) * p.dilation[d] + 1;
        // Lines between those of a stride are left out where windows have one line.
        let (lines, step) = if p.kernel[1] == 1 {
            (rows, 1)
        } else {
            ((rows - 1) * p.stride[1] + reach(1), p.stride[1])
        };
        Self {
            rows,
            columns,
            lines,
            step,
            line: ((columns - 1) * p.stride[2] + reach(2)) * p.in_channels,
        }
    }

    /// Widened values.
    fn len(&self, p: &Conv) -> usize {
        p.kernel[0]
            .saturating_mul(self.lines)
            .saturating_mul(self.line)
    }

    /// The largest block that keeps to both limits; of a single output if need be.
    fn within(p: &Conv, rows: usize, limit: usize) -> Self {
        let fits = |rows: usize, columns: usize| {
            Self::new(p, rows, columns).len(p) <= limit && rows * columns <= PIXELS
        };
        // The greatest of `1..=n` that fits, if more than one does.
        let most = |n: usize, fits: &dyn Fn(usize) -> bool| {
            let (mut good, mut bad) = (1, n + 1);
            while good + 1 < bad {
                let middle = good + (bad - good) / 2;
                if fits(middle) {
                    good = middle;
                } else {
                    bad = middle;
                }
            }
            good
        };
        let even = |n: usize, most: usize| n.div_ceil(n.div_ceil(most));
        let width = p.output[2];
        if fits(1, width) {
            let rows = even(rows, most(rows, &|n| fits(n, width)));
            return Self::new(p, rows, width);
        }
        let columns = most(width, &|n| fits(1, n));
        // Whole tiles, as many in each block as in the others.
        let whole = even(width, columns).next_multiple_of(HEIGHT);
        let columns = if whole <= columns || columns < HEIGHT {
            whole.min(columns)
        } else {
            columns / HEIGHT * HEIGHT
        };
        Self::new(p, 1, columns)
    }
}

/// What the tiles of a block have in common.
struct Work<'a> {
    t: &'a Task,
    finish: Finish,
    values: *const i16,
    /// Values of a kernel row or, where taps do not follow each other, of a tap; and where each begins, counted from the
    /// first. A list takes fewer instructions than loops over planes and rows, of which most windows have few.
    run: usize,
    runs: &'a [u32],
    /// Bytes of the weights of a panel.
    panel_len: usize,
}

/// # Safety
/// `t` passed its check; the instruction set exists.
#[target_feature(enable = "avx2,fma")]
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    let t = &t.flat();
    let p = &t.p.conv;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let rows = t.rows.1 - t.rows.0;
    if rows * p.output[2] == 0 || og == 0 {
        return;
    }
    if !narrow(t) {
        // SAFETY: passed through.
        return unsafe { scalar::dense(t) };
    }
    let joined = p.kernel[2] == 1 || (p.groups == 1 && p.dilation[2] == 1);
    let count = p.kernel[0] * p.kernel[1] * if joined { 1 } else { p.kernel[2] };
    let smallest = Block::new(p, 1, 1);
    // SAFETY: passed through; offsets stay inside the extents that the check proved.
    unsafe {
        let ragged = !joined && !ig.is_multiple_of(GROUP);
        if ragged || count > RUNS || smallest.len(p) > CAPACITY {
            return if t.p.signed {
                blocks::dense::<Pairs, true>(t)
            } else {
                blocks::dense::<Pairs, false>(t)
            };
        }
        let panel_len = p.kernel[0] * p.kernel[1] * p.packed_row() * PANEL;
        let weights = p.groups * og.div_ceil(PANEL) * panel_len;
        let limit = if weights > SMALL { CAPACITY } else { NEAR };
        let whole = Block::within(p, rows.min(p.output[1]), limit.max(smallest.len(p)));
        // Not initialised: that would take longer than a small layer does.
        let mut values = [MaybeUninit::<i16>::uninit(); CAPACITY + GROUP];
        let (mut offsets, mut runs) = ([0u32; PIXELS], [0u32; RUNS]);
        let finish = Finish::new(t);
        let mut row = t.rows.0;
        while row < t.rows.1 {
            let rows = whole
                .rows
                .min(t.rows.1 - row)
                .min(p.output[1] - row % p.output[1]);
            let mut column = 0;
            while column < p.output[2] {
                let columns = whole.columns.min(p.output[2] - column);
                let block = Block::new(p, rows, columns);
                let to = values.as_mut_ptr().cast::<i16>();
                lines(t, &block, row, column, to);
                // What is read behind the end meets weights of zero.
                to.add(block.len(p)).write_bytes(0, GROUP);
                let pixels = &mut offsets[..rows * columns];
                for (r, line) in pixels.chunks_exact_mut(columns).enumerate() {
                    for (c, at) in line.iter_mut().enumerate() {
                        let pixel = c * p.stride[2] * p.in_channels;
                        *at = (r * block.step * block.line + pixel) as u32;
                    }
                }
                let taps = count / (p.kernel[0] * p.kernel[1]);
                for (i, run) in runs[..count].iter_mut().enumerate() {
                    let (row, tap) = (i / taps, i % taps);
                    let line = row / p.kernel[1] * block.lines + row % p.kernel[1] * p.dilation[1];
                    *run = (line * block.line + tap * p.dilation[2] * p.in_channels) as u32;
                }
                let work = Work {
                    t,
                    finish,
                    values: to,
                    run: if joined { p.kernel[2] * ig } else { ig },
                    runs: &runs[..count],
                    panel_len,
                };
                let first = (row - t.rows.0) * p.output[2] + column;
                for group in 0..p.groups {
                    work.panels(pixels, group, first);
                }
                column += columns;
            }
            row += rows;
        }
    }
}

with_avx2! {
/// Widens the lines that a block from `row` and `column` on reads.
unsafe fn lines(t: &Task, block: &Block, row: usize, column: usize, to: *mut i16) {
    let p = &t.p.conv;
    let (channels, width) = (p.in_channels, block.line / p.in_channels.max(1));
    let flip = if t.p.signed { 0 } else { 0x80 };
    let zero = (t.p.x_zero ^ flip) as i8 as i16;
    let (oh, od) = (p.output[1], p.output[0]);
    let first = |at: usize, d: usize| (at * p.stride[d]) as i32 - p.pad_begin[d] as i32;
    let (z, y, x) = (first(row / oh % od, 0), first(row % oh, 1), first(column, 2));
    let image = row / oh / od * p.input[0] * p.input[1] * p.input[2];
    let line_step = if p.kernel[1] == 1 { p.stride[1] } else { 1 };
    // Pixels of a line before the input, inside of it and behind it.
    let before = (-x).clamp(0, width as i32) as usize;
    let inside = (p.input[2] as i32 - x - before as i32).clamp(0, (width - before) as i32) as usize;
    let mut to = to;
    for kz in 0..p.kernel[0] {
        let z = z + (kz * p.dilation[0]) as i32;
        for line in 0..block.lines {
            let y = y + (line * line_step) as i32;
            // SAFETY: pixels inside the input are read alone; the block has room for its lines.
            unsafe {
                if z as u32 >= p.input[0] as u32 || y as u32 >= p.input[1] as u32 || inside == 0 {
                    fill(to, block.line, zero);
                } else {
                    let from = (z as usize * p.input[1] + y as usize) * p.input[2];
                    let from = image + from + (x + before as i32) as usize;
                    fill(to, before * channels, zero);
                    let (n, inner) = (inside * channels, to.add(before * channels));
                    widen(t.x.add(from * channels), n, flip, inner);
                    fill(inner.add(n), (width - before - inside) * channels, zero);
                }
                to = to.add(block.line);
            }
        }
    }
}
}

with_avx2! {
unsafe fn fill(to: *mut i16, n: usize, value: i16) {
    for i in 0..n {
        // SAFETY: the caller's extents.
        unsafe { *to.add(i) = value };
    }
}
}

with_avx2! {
/// `n` bytes as signed values of 16 bits.
unsafe fn widen(from: *const u8, n: usize, flip: u8, to: *mut i16) {
    // SAFETY: the caller's extents.
    unsafe {
        let flips = _mm_set1_epi8(flip as i8);
        let mut i = 0;
        while i + 16 <= n {
            let v = _mm_xor_si128(_mm_loadu_si128(from.add(i).cast()), flips);
            _mm256_storeu_si256(to.add(i).cast(), _mm256_cvtepi8_epi16(v));
            i += 16;
        }
        if i + 8 <= n {
            let v = _mm_xor_si128(_mm_loadl_epi64(from.add(i).cast()), flips);
            _mm_storeu_si128(to.add(i).cast(), _mm_cvtepi8_epi16(v));
            i += 8;
        }
        while i < n {
            *to.add(i) = (*from.add(i) ^ flip) as i8 as i16;
            i += 1;
        }
    }
}
}

/// Channels of `H` halves of a panel.
struct Columns<const H: usize> {
    w: *const i8,
    first: usize,
    n: usize,
    /// What the pairs of sums start from: the value of a channel and zero.
    starts: [[__m256i; 2]; H],
    /// In the order that adding pairs leaves.
    multipliers: [__m256; H],
}

impl<const H: usize> Columns<H> {
    with_avx2! {
    /// `n` channels from `first` on, whose weights are `w`.
    unsafe fn new(t: &Task, w: *const i8, first: usize, n: usize) -> Self {
        // SAFETY: `n` channels exist.
        unsafe {
            let (mut start, mut multiplier) = ([0i32; PANEL], [0f32; PANEL]);
            start.as_mut_ptr().copy_from_nonoverlapping(t.start.add(first), n);
            multiplier.as_mut_ptr().copy_from_nonoverlapping(t.multiplier.add(first), n);
            let mut starts = [[_mm256_setzero_si256(); 2]; H];
            let mut multipliers = [_mm256_setzero_ps(); H];
            let order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7);
            for h in 0..H {
                for j in 0..2 {
                    let four = start.as_ptr().add(h * LANES + 4 * j);
                    starts[h][j] = _mm256_cvtepu32_epi64(_mm_loadu_si128(four.cast()));
                }
                let eight = _mm256_loadu_ps(multiplier.as_ptr().add(h * LANES));
                multipliers[h] = _mm256_permutevar8x32_ps(eight, order);
            }
            Self { w, first, n, starts, multipliers }
        }
    }
    }
}

impl Work<'_> {
    with_avx2! {
    /// All channels of a group for the pixels of a block, the first of which is `pixel` of the task.
    unsafe fn panels(&self, pixels: &[u32], group: usize, pixel: usize) {
        let p = &self.t.p.conv;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let panels = og.div_ceil(PANEL);
        // SAFETY: pixels, panels and channels lie inside the block and the task.
        unsafe {
            let values = self.values.add(group * ig);
            let w = self.t.w.add(group * panels * self.panel_len);
            if pixels.len() <= 2 {
                // Whole panels, so that weights are read in order.
                for panel in 0..panels {
                    let (w, first) = (w.add(panel * self.panel_len), panel * PANEL);
                    let n = (og - first).min(PANEL);
                    let columns = Columns::<2>::new(self.t, w, group * og + first, n);
                    if pixels.len() == 2 {
                        self.tiles::<2, 2>(&columns, values, pixels, pixel);
                    } else {
                        self.tiles::<1, 2>(&columns, values, pixels, pixel);
                    }
                }
                return;
            }
            for half in 0..og.div_ceil(LANES) {
                let w = w.add(half / 2 * self.panel_len + half % 2 * LANES * GROUP);
                let first = half * LANES;
                let n = (og - first).min(LANES);
                let columns = Columns::<1>::new(self.t, w, group * og + first, n);
                let whole = pixels.len() / HEIGHT * HEIGHT;
                let (pixels, rest) = pixels.split_at(whole);
                self.tiles::<HEIGHT, 1>(&columns, values, pixels, pixel);
                let pixel = pixel + whole;
                match rest.len() {
                    0 => {}
                    1 => self.tiles::<1, 1>(&columns, values, rest, pixel),
                    2 => self.tiles::<2, 1>(&columns, values, rest, pixel),
                    3 | 4 => self.tiles::<4, 1>(&columns, values, rest, pixel),
                    _ => self.tiles::<HEIGHT, 1>(&columns, values, rest, pixel),
                }
            }
        }
    }
    }

    /// The channels of `columns` of pixels, the first of which is `pixel` of the task, in tiles of `R`. Where those of the
    /// last tile are missing, it repeats its last one.
    ///
    /// # Safety
    /// The instruction set exists; pixels and channels lie inside the block and the task.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn tiles<const R: usize, const H: usize>(
        &self,
        columns: &Columns<H>,
        values: *const i16,
        pixels: &[u32],
        pixel: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let (t, finish, runs) = (self.t, &self.finish, self.runs);
            let step = t.p.conv.out_channels;
            let mut at = pixel * step + columns.first;
            for pixels in pixels.chunks(R) {
                let mut x = [values; R];
                if pixels.len() == R {
                    for i in 0..R {
                        x[i] = values.add(pixels[i] as usize);
                    }
                } else {
                    for i in 0..R {
                        x[i] = values.add(pixels[i.min(pixels.len() - 1)] as usize);
                    }
                }
                let mut acc = [columns.starts; R];
                let mut w = columns.w;
                for &from in runs {
                    let mut k = from as usize;
                    let end = k + self.run;
                    while k < end {
                        group(&mut acc, &x, w, k);
                        w = w.add(PANEL * GROUP);
                        k += GROUP;
                    }
                }
                for h in 0..H {
                    if h * LANES >= columns.n {
                        break;
                    }
                    let mut sums = [_mm256_setzero_si256(); R];
                    for r in 0..R {
                        sums[r] = neighbours(acc[r][h]);
                    }
                    let to = Target {
                        at: at + h * LANES,
                        step,
                        rows: pixels.len(),
                        n: (columns.n - h * LANES).min(LANES),
                    };
                    finish.store::<R, true>(t, sums, columns.multipliers[h], to);
                }
                at += R * step;
            }
        }
    }
}

with_avx2! {
/// Sums of neighbouring lanes of both: VPHADDD, which is slower than two shuffles and an addition.
unsafe fn neighbours([a, b]: [__m256i; 2]) -> __m256i {
    let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
    let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
    let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
    _mm256_add_epi32(even, odd)
}
}

with_avx2! {
/// Adds the products of a group of the depth.
unsafe fn group<const R: usize, const H: usize>(
    acc: &mut [[[__m256i; 2]; H]; R],
    x: &[*const i16; R],
    w: *const i8,
    k: usize,
) {
    // SAFETY: rows and panels have the group.
    unsafe {
        let mut b = [[_mm256_setzero_si256(); 2]; H];
        for h in 0..H {
            for j in 0..2 {
                let w = w.add((2 * h + j) * 16);
                b[h][j] = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.cast()));
            }
        }
        for r in 0..R {
            let four = x[r].add(k).cast::<i64>();
            let a = _mm256_set1_epi64x(four.read_unaligned());
            for h in 0..H {
                for j in 0..2 {
                    let pairs = _mm256_madd_epi16(a, b[h][j]);
                    acc[r][h][j] = _mm256_add_epi32(acc[r][h][j], pairs);
                }
            }
        }
    }
}
}
