//! Dense convolutions: tiles of pixels by panels of 16 channels, four bytes of the depth at a time.
use super::{Finish, with_vnni};
use crate::conv::Conv;
use crate::gemm::PANEL;
use crate::quantized::{GROUP, Task, scalar};
use core::arch::x86_64::*;

/// Bytes of a group of one panel.
const STEP: usize = PANEL * GROUP;
/// Pixels whose coordinates are worked out at a time.
const BLOCK: usize = 96;
/// Input bytes that a block of pixels may touch, so that they stay in the first-level cache.
const BLOCK_INPUT: usize = 24 * 1024;
/// Longest tile.
const MAX_ROWS: usize = 12;
/// Longest window, in bytes, that is copied to the stack: short runs, or runs that are no whole groups.
const GATHER: usize = 2304;
/// Bytes that are copied at once.
const WORD: usize = 8;
/// Input channels up to which a window is copied: tap by tap costs more than the arithmetic.
const GATHER_CHANNELS: usize = 8;
/// Bytes of the padding that exist; longer runs of channels are cut to this length.
const PAD: usize = 512;

/// First input coordinates of a pixel's window (may lie in the padding) and its image.
#[derive(Clone, Copy)]
struct Pixel {
    image: *const u8,
    z: i32,
    y: i32,
    x: i32,
}

/// What the tiles of a task have in common.
struct Work<'a> {
    t: &'a Task,
    finish: Finish,
    flip: __m512i,
    /// Of every length up to `PAD`, and the rest of a group.
    padding: [u8; PAD + GROUP],
    /// Where the input ends.
    end: *const u8,
    /// Bytes of the weights of a panel.
    panel_len: usize,
    panels: usize,
    ig: usize,
    og: usize,
}

/// # Safety
/// `t` passed its check; the instruction set exists.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
pub(in crate::quantized) unsafe fn dense(t: &Task) {
    // SAFETY: offsets stay inside the extents that the check proved.
    unsafe {
        let p = &t.p.conv;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let window = p.kernel[0] * p.kernel[1] * p.packed_row();
        let ragged = ig % GROUP != 0 && p.kernel[2] > 1;
        let gather = (ragged || ig <= GATHER_CHANNELS && !flat(p)) && window + WORD <= GATHER;
        if ragged && !gather {
            return scalar::dense(t);
        }
        let total = (t.rows.1 - t.rows.0) * p.output[2];
        if total == 0 || og == 0 {
            return;
        }
        let work = Work {
            t,
            finish: Finish::new(t),
            flip: _mm512_set1_epi8(t.flip() as i8),
            padding: [t.p.x_zero; PAD + GROUP],
            end: t
                .x
                .add(p.batch * p.input[0] * p.input[1] * p.input[2] * p.in_channels),
            panel_len: window * PANEL,
            panels: og.div_ceil(PANEL),
            ig,
            og,
        };
        if p.is_pointwise() {
            let first = t.rows.0 * p.output[2];
            let mut i = 0;
            while i < total {
                let count = (total - i).min(BLOCK);
                let windows = Windows {
                    first: t.x.add((first + i) * ig),
                    distance: ig,
                    count,
                    runs: 1,
                    run_distance: 0,
                    len: ig,
                };
                work.panels(Source::Windows(windows), 0, i);
                i += count;
            }
            return;
        }
        let mut buffer = [0u8; MAX_ROWS * GATHER + WORD];
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let per_pixel = (p.stride[1] * p.stride[2] * ig).max(1);
        let block = (BLOCK_INPUT / per_pixel / MAX_ROWS * MAX_ROWS).clamp(BLOCK / 2, BLOCK);
        let mut pixels = [Pixel {
            image: t.x,
            z: 0,
            y: 0,
            x: 0,
        }; BLOCK];
        let (oh, od) = (p.output[1], p.output[0]);
        let origin = |row: usize| Pixel {
            image: t.x.wrapping_add(row / oh / od * image),
            z: (row / oh % od * p.stride[0]) as i32 - p.pad_begin[0] as i32,
            y: (row % oh * p.stride[1]) as i32 - p.pad_begin[1] as i32,
            x: 0,
        };
        let (mut first, mut row, mut col) = (0, t.rows.0, 0);
        let mut at = origin(row);
        while first < total {
            let n = (total - first).min(block);
            for px in &mut pixels[..n] {
                *px = Pixel {
                    x: (col * p.stride[2]) as i32 - p.pad_begin[2] as i32,
                    ..at
                };
                col += 1;
                if col == p.output[2] {
                    col = 0;
                    row += 1;
                    at = origin(row);
                }
            }
            for group in 0..p.groups {
                if gather {
                    let mut i = 0;
                    while i < n {
                        let rows = (n - i).min(MAX_ROWS);
                        let px = &pixels[i..i + rows];
                        match work.in_place(px) {
                            Some(w) => work.panels(Source::Windows(w), group, first + i),
                            None => work.gathered(px, &mut buffer, group, first + i),
                        }
                        i += rows;
                    }
                } else {
                    work.panels(Source::Pixels(&pixels[..n]), group, first);
                }
            }
            first += n;
        }
    }
}

/// Whether every window is a single pixel inside the input.
fn flat(p: &Conv) -> bool {
    (0..3).all(|d| p.kernel[d] == 1 && p.pad_begin[d] == 0)
}

/// Where a tile's inputs come from.
#[derive(Clone, Copy)]
enum Source<'a> {
    Pixels(&'a [Pixel]),
    Windows(Windows),
}

/// Windows at equal distances, each of a few runs of memory.
#[derive(Clone, Copy)]
struct Windows {
    first: *const u8,
    /// Bytes from one window to the next.
    distance: usize,
    count: usize,
    runs: usize,
    /// Bytes from one run of a window to the next.
    run_distance: usize,
    /// Bytes of each run; whole groups where there are several.
    len: usize,
}

impl Work<'_> {
    with_vnni! {
    /// All panels of a group for pixels that follow each other, from `pixel` on (counted from the task's first).
    unsafe fn panels(&self, source: Source<'_>, group: usize, pixel: usize) {
        // SAFETY: panels and pixels lie inside the task.
        unsafe {
            let n = match source {
                Source::Pixels(px) => px.len(),
                Source::Windows(w) => w.count,
            };
            let mut panel = 0;
            while panel < self.panels {
                let left = self.panels - panel;
                let width = match left {
                    1 | 2 => left,
                    3 | 5 | 9 => 3,
                    _ => 4,
                };
                let mut i = 0;
                while i < n {
                    let left = n - i;
                    macro_rules! tile {
                        ($rows:literal, $panels:literal) => {{
                            let rows = left.min($rows);
                            let pixel = pixel + i;
                            match source {
                                Source::Pixels(px) => {
                                    let px = &px[i..i + rows];
                                    self.tile::<$rows, $panels>(px, group, panel, pixel);
                                }
                                Source::Windows(w) => {
                                    let part = Windows {
                                        first: w.first.add(i * w.distance),
                                        count: rows,
                                        ..w
                                    };
                                    self.windows::<$rows, $panels>(&part, group, panel, pixel);
                                }
                            }
                            rows
                        }};
                    }
                    i += match (width, left) {
                        (4, 5..) => tile!(6, 4),
                        (4, 3..) => tile!(4, 4),
                        (4, _) => tile!(2, 4),
                        (3, 5..) => tile!(8, 3),
                        (3, 3..) => tile!(4, 3),
                        (3, _) => tile!(2, 3),
                        (2, 7..) => tile!(12, 2),
                        (2, 3..) => tile!(6, 2),
                        (2, _) => tile!(2, 2),
                        (_, 7..) => tile!(12, 1),
                        (_, 3..) => tile!(6, 1),
                        _ => tile!(2, 1),
                    };
                }
                panel += width;
            }
        }
    }
    }

    with_vnni! {
    /// Copies `n` bytes by whole words where they lie inside the input; up to a word is written beyond.
    unsafe fn words(&self, from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: reads end before the input does; the caller's buffer has room for a word more.
        unsafe {
            if from.wrapping_add(n.next_multiple_of(WORD)) > self.end {
                return copy(from, to, n);
            }
            let mut i = 0;
            while i < n {
                let word = from.add(i).cast::<u64>().read_unaligned();
                to.add(i).cast::<u64>().write_unaligned(word);
                i += WORD;
            }
        }
    }
    }

    /// The windows of pixels of one row that lie inside the input, with the rest of the last group of each run.
    fn in_place(&self, px: &[Pixel]) -> Option<Windows> {
        let p = &self.t.p.conv;
        let (first, last) = (px.first()?, px.last()?);
        let one_row = first.y == last.y && first.z == last.z && first.image == last.image;
        if !one_row || p.groups != 1 || p.kernel[0] != 1 || p.dilation[2] != 1 {
            return None;
        }
        let windows = Windows {
            first: self.start_of(first),
            distance: p.stride[2] * p.in_channels,
            count: px.len(),
            runs: p.kernel[1],
            run_distance: p.dilation[1] * p.input[2] * p.in_channels,
            len: p.packed_row(),
        };
        let down = (windows.runs - 1) * windows.run_distance;
        let end = self.start_of(last).wrapping_add(down + windows.len);
        (within(p, first) && within(p, last) && end <= self.end).then_some(windows)
    }

    /// First byte of a window.
    fn start_of(&self, px: &Pixel) -> *const u8 {
        let p = &self.t.p.conv;
        let line = (px.z as usize)
            .wrapping_mul(p.input[1])
            .wrapping_add(px.y as usize);
        let pixel = line.wrapping_mul(p.input[2]).wrapping_add(px.x as usize);
        px.image.wrapping_add(pixel.wrapping_mul(p.in_channels))
    }

    with_vnni! {
    /// A tile of windows copied to the stack, for all panels.
    unsafe fn gathered(
        &self,
        px: &[Pixel],
        buffer: &mut [u8; MAX_ROWS * GATHER + WORD],
        group: usize,
        pixel: usize,
    ) {
        // SAFETY: only taps inside the input are read; a window has at most GATHER bytes.
        unsafe {
            let p = &self.t.p.conv;
            let (c, ig, kw) = (p.in_channels, self.ig, p.kernel[2]);
            let joined = p.groups == 1 && p.dilation[2] == 1;
            let to = buffer.as_mut_ptr();
            // Windows lie close together, to stay in the first-level cache.
            let distance = self.panel_len / PANEL + WORD;
            for (r, px) in px.iter().enumerate() {
                let mut to = to.add(r * distance);
                if joined && within(p, px) {
                    let first = self.start_of(px);
                    for kz in 0..p.kernel[0] {
                        for ky in 0..p.kernel[1] {
                            let row = kz * p.dilation[0] * p.input[1] + ky * p.dilation[1];
                            self.words(first.add(row * p.input[2] * c), to, kw * ig);
                            to = to.add(p.packed_row());
                        }
                    }
                    continue;
                }
                for kz in 0..p.kernel[0] {
                    for ky in 0..p.kernel[1] {
                        let line = line(p, px, kz, ky);
                        let run = kw * ig;
                        let (before, inside) = if line.is_null() {
                            (kw, 0)
                        } else if joined {
                            let before = (-px.x).clamp(0, kw as i32) as usize;
                            let after = (px.x + kw as i32 - p.input[2] as i32)
                                .clamp(0, (kw - before) as i32);
                            (before, kw - before - after as usize)
                        } else {
                            (0, 0)
                        };
                        if !line.is_null() && !joined {
                            for kx in 0..kw {
                                let x = px.x + (kx * p.dilation[2]) as i32;
                                let to = to.add(kx * ig);
                                if (x as u32) < p.input[2] as u32 {
                                    let from = line.add(x as usize * c + group * ig);
                                    copy(from, to, ig);
                                } else {
                                    to.write_bytes(self.t.p.x_zero, ig);
                                }
                            }
                        } else if inside == kw {
                            copy(line.add(px.x as usize * c), to, run);
                        } else {
                            to.write_bytes(self.t.p.x_zero, run);
                            if inside > 0 {
                                let from = line.add((px.x + before as i32) as usize * c);
                                copy(from, to.add(before * ig), inside * ig);
                            }
                        }
                        // What the rest of the last group holds meets weights of zero.
                        to = to.add(p.packed_row());
                    }
                }
            }
            let windows = Windows {
                first: to,
                distance,
                count: px.len(),
                runs: 1,
                run_distance: 0,
                len: self.panel_len / PANEL,
            };
            self.panels(Source::Windows(windows), group, pixel);
        }
    }
    }

    with_vnni! {
    /// What the sums of `NP` panels start from.
    unsafe fn starts<const NP: usize>(&self, group: usize, panel: usize) -> [__m512i; NP] {
        // SAFETY: masked loads read the channels of the group alone.
        unsafe {
            let mut starts = [_mm512_setzero_si512(); NP];
            for (j, start) in starts.iter_mut().enumerate() {
                let first = (panel + j) * PANEL;
                let mask = 0xffff_u32 >> (PANEL - (self.og - first).min(PANEL));
                let at = self.t.p.conv.out_channels + group * self.og + first;
                *start = _mm512_maskz_loadu_epi32(mask as u16, self.t.start.add(at));
            }
            starts
        }
    }
    }

    /// The weights of a panel.
    fn weights(&self, group: usize, panel: usize) -> *const i8 {
        let panel = group * self.panels + panel;
        self.t.w.wrapping_add(panel * self.panel_len)
    }

    /// As [`Work::tile`], of windows at equal distances: the sums need not leave the registers.
    ///
    /// # Safety
    /// The instruction set exists; windows and panels lie inside the task.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
    unsafe fn windows<const MR: usize, const NP: usize>(
        &self,
        windows: &Windows,
        group: usize,
        panel: usize,
        pixel: usize,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut acc = [self.starts::<NP>(group, panel); MR];
            let mut at = [windows.first; MR];
            for r in 1..MR {
                at[r] = windows
                    .first
                    .add(r.min(windows.count - 1) * windows.distance);
            }
            let weights = self.weights(group, panel);
            // Each tile asks for another of the next panels.
            let ahead = weights.wrapping_add((NP + pixel / MR % NP) * self.panel_len);
            if windows.runs == 1 {
                self.run::<MR, NP>(&mut acc, &at, weights, ahead, windows.len);
            } else {
                self.several::<MR, NP>(&mut acc, &at, weights, windows);
            }
            let columns = self.og - panel * PANEL;
            if !self.finish.narrow || columns < NP * PANEL {
                return self.store(
                    acc.as_ptr().cast(),
                    [windows.count, NP],
                    group,
                    panel,
                    pixel,
                );
            }
            let step = self.t.p.conv.out_channels;
            let channel = group * self.og + panel * PANEL;
            let mut multiplier = [_mm512_setzero_ps(); 4];
            for j in 0..NP {
                multiplier[j] = _mm512_loadu_ps(self.t.multiplier.add(channel + j * PANEL));
            }
            // Packing works within lanes: this brings four bytes of each vector to their place.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let mut to = self.t.y.add(pixel * step + channel);
            for r in 0..MR {
                if r >= windows.count {
                    break;
                }
                let mut q = [_mm512_setzero_si512(); 4];
                q[..NP].copy_from_slice(&acc[r]);
                let bytes = self.finish.pack(q, multiplier);
                let bytes = _mm512_permutexvar_epi32(order, bytes);
                let low = _mm512_castsi512_si256(bytes);
                match NP {
                    1 => _mm_storeu_si128(to.cast(), _mm512_castsi512_si128(bytes)),
                    2 => _mm256_storeu_si256(to.cast(), low),
                    3 => {
                        _mm256_storeu_si256(to.cast(), low);
                        let last = _mm512_extracti32x4_epi32::<2>(bytes);
                        _mm_storeu_si128(to.add(2 * PANEL).cast(), last);
                    }
                    _ => _mm512_storeu_si512(to.cast(), bytes),
                }
                to = to.wrapping_add(step);
            }
        }
    }

    /// A tile of at most `MR` pixels by `NP` panels; missing rows repeat the last one and are not stored.
    ///
    /// # Safety
    /// The instruction set exists; pixels and panels lie inside the task.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
    unsafe fn tile<const MR: usize, const NP: usize>(
        &self,
        px: &[Pixel],
        group: usize,
        panel: usize,
        pixel: usize,
    ) {
        // SAFETY: a pointer is formed for taps inside the input; the others read the padding.
        unsafe {
            let p = &self.t.p.conv;
            let mut acc = [self.starts::<NP>(group, panel); MR];
            let mut w = self.weights(group, panel);
            let ahead = (NP + pixel / MR % NP) * self.panel_len;
            let mut pixels = [px[0]; MR];
            for r in 1..MR {
                pixels[r] = px[r.min(px.len() - 1)];
            }
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    self.row::<MR, NP>(&mut acc, &pixels, w, ahead, group, kz, ky);
                    w = w.add(p.packed_row() * PANEL);
                }
            }
            self.store(acc.as_ptr().cast(), [px.len(), NP], group, panel, pixel);
        }
    }

    /// Requantises and stores the sums of a tile, `[rows][panels]` vectors. One function for all tiles: inlined into each
    /// it would be most of the code, with its constants in memory.
    ///
    /// # Safety
    /// As the tile.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma")]
    unsafe fn store(
        &self,
        sums: *const __m512i,
        [rows, width]: [usize; 2],
        group: usize,
        panel: usize,
        pixel: usize,
    ) {
        // SAFETY: the tile's pixels and channels lie inside the task.
        unsafe {
            let (t, finish) = (self.t, self.finish);
            let channel = group * self.og + panel * PANEL;
            let columns = self.og - panel * PANEL;
            let byte = _mm512_set1_epi32(0xff);
            let step = t.p.conv.out_channels;
            let mut at = pixel * step + channel;
            // Packing works within lanes: this brings four bytes of each vector to their place.
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            if width == 4 && columns >= 4 * PANEL {
                let multiplier = t.multiplier.add(channel);
                let multiplier = [
                    _mm512_loadu_ps(multiplier),
                    _mm512_loadu_ps(multiplier.add(PANEL)),
                    _mm512_loadu_ps(multiplier.add(2 * PANEL)),
                    _mm512_loadu_ps(multiplier.add(3 * PANEL)),
                ];
                for r in 0..rows {
                    let mut q = [byte; 4];
                    for j in 0..4 {
                        q[j] = finish.quantise(*sums.add(r * 4 + j), multiplier[j]);
                    }
                    if !t.residual.is_null() {
                        for (j, q) in q.iter_mut().enumerate() {
                            let from = t.residual.add(at + j * PANEL);
                            *q = finish.add(*q, _mm_loadu_si128(from.cast()));
                        }
                    }
                    for q in &mut q {
                        *q = _mm512_and_si512(*q, byte);
                    }
                    let low = _mm512_packus_epi32(q[0], q[1]);
                    let high = _mm512_packus_epi32(q[2], q[3]);
                    let bytes = _mm512_packus_epi16(low, high);
                    let bytes = _mm512_permutexvar_epi32(order, bytes);
                    _mm512_storeu_si512(t.y.add(at).cast(), bytes);
                    at += step;
                }
                return;
            }
            for j in 0..width {
                let columns = (columns - j * PANEL).min(PANEL);
                let mask = (0xffff_u32 >> (PANEL - columns)) as u16;
                let multiplier = t.multiplier.add(channel + j * PANEL);
                let multiplier = _mm512_maskz_loadu_ps(mask, multiplier);
                let mut at = at + j * PANEL;
                for r in 0..rows {
                    let mut q = finish.quantise(*sums.add(r * width + j), multiplier);
                    if !t.residual.is_null() {
                        let residual = _mm_maskz_loadu_epi8(mask, t.residual.add(at).cast());
                        q = finish.add(q, residual);
                    }
                    let q = _mm512_cvtepi32_epi8(q);
                    if columns == PANEL {
                        _mm_storeu_si128(t.y.add(at).cast(), q);
                    } else {
                        _mm_mask_storeu_epi8(t.y.add(at).cast(), mask, q);
                    }
                    at += step;
                }
            }
        }
    }

    with_vnni! {
    /// One kernel row.
    unsafe fn row<const MR: usize, const NP: usize>(
        &self,
        acc: &mut [[__m512i; NP]; MR],
        px: &[Pixel; MR],
        w: *const i8,
        ahead: usize,
        group: usize,
        kz: usize,
        ky: usize,
    ) {
        // SAFETY: as the tile.
        unsafe {
            let p = &self.t.p.conv;
            let (kw, iw) = (p.kernel[2], p.input[2] as i32);
            let mut lines = [core::ptr::null(); MR];
            let mut all = true;
            let mut inside = p.groups == 1 && (p.dilation[2] == 1 || kw == 1);
            for r in 0..MR {
                lines[r] = line(p, &px[r], kz, ky);
                all &= !lines[r].is_null();
                inside &= px[r].x >= 0 && px[r].x + kw as i32 <= iw;
            }
            if inside && all {
                for r in 0..MR {
                    lines[r] = lines[r].add(px[r].x as usize * p.in_channels);
                }
                return self.run::<MR, NP>(acc, &lines, w, w.wrapping_add(ahead), kw * self.ig);
            }
            for kx in 0..kw {
                let mut at = [core::ptr::null(); MR];
                let mut padded = false;
                for r in 0..MR {
                    let x = px[r].x + (kx * p.dilation[2]) as i32;
                    if !lines[r].is_null() && (x as u32) < iw as u32 {
                        at[r] = lines[r].add(x as usize * p.in_channels + group * self.ig);
                    } else {
                        padded = true;
                    }
                }
                let w = w.add(kx * self.ig * PANEL);
                let longest = if padded { PAD } else { self.ig };
                let mut from = 0;
                while from < self.ig {
                    let n = (self.ig - from).min(longest);
                    let mut part = [self.padding.as_ptr(); MR];
                    for r in 0..MR {
                        if !at[r].is_null() {
                            part[r] = at[r].add(from);
                        }
                    }
                    let w = w.add(from * PANEL);
                    self.run::<MR, NP>(acc, &part, w, w.wrapping_add(ahead), n);
                    from += n;
                }
            }
        }
    }
    }

    with_vnni! {
    /// All runs of windows, whole groups each.
    unsafe fn several<const MR: usize, const NP: usize>(
        &self,
        acc: &mut [[__m512i; NP]; MR],
        rows: &[*const u8; MR],
        w: *const i8,
        windows: &Windows,
    ) {
        // SAFETY: every window has its runs, every panel as many groups.
        unsafe {
            let mut sums = *acc;
            let rows = *rows;
            let mut w = w;
            for run in 0..windows.runs {
                let from = run * windows.run_distance;
                for k in (from..from + windows.len).step_by(GROUP) {
                    self.group::<MR, NP>(&mut sums, &rows, w, k);
                    w = w.add(STEP);
                }
            }
            *acc = sums;
        }
    }
    }

    with_vnni! {
    /// Adds the products of a group, `k` bytes behind the start of each row.
    unsafe fn group<const MR: usize, const NP: usize>(
        &self,
        sums: &mut [[__m512i; NP]; MR],
        rows: &[*const u8; MR],
        w: *const i8,
        k: usize,
    ) {
        // SAFETY: rows and panels have the group.
        unsafe {
            let mut b = [_mm512_setzero_si512(); NP];
            for j in 0..NP {
                b[j] = _mm512_loadu_si512(w.add(j * self.panel_len).cast());
            }
            for r in 0..MR {
                let a = _mm512_set1_epi32(rows[r].add(k).cast::<i32>().read_unaligned());
                let a = _mm512_xor_si512(a, self.flip);
                for j in 0..NP {
                    sums[r][j] = _mm512_dpbusd_epi32(sums[r][j], a, b[j]);
                }
            }
        }
    }
    }

    with_vnni! {
    /// `n` bytes of the depth, from rows of memory. Weights are read once an inference, so they come from memory: the
    /// loop asks for what lies at `ahead` (any address), as fast as it reads a panel.
    unsafe fn run<const MR: usize, const NP: usize>(
        &self,
        acc: &mut [[__m512i; NP]; MR],
        rows: &[*const u8; MR],
        w: *const i8,
        ahead: *const i8,
        n: usize,
    ) {
        // SAFETY: every row has `n` bytes, every panel `n` in whole groups.
        unsafe {
            let mut sums = *acc;
            let rows = *rows;
            let mut w = w;
            let mut k = 0;
            while k + GROUP <= n {
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(k * PANEL));
                self.group::<MR, NP>(&mut sums, &rows, w, k);
                w = w.add(STEP);
                k += GROUP;
            }
            if k < n {
                for r in 0..MR {
                    // Bytes behind the row meet weights of zero; only behind the input there are none.
                    let from = rows[r].add(k);
                    let ends = from < self.end && from.wrapping_add(GROUP) > self.end;
                    let a = if ends {
                        let mut last = [0u8; GROUP];
                        for (i, byte) in last.iter_mut().enumerate().take(n - k) {
                            *byte = *from.add(i);
                        }
                        i32::from_le_bytes(last)
                    } else {
                        from.cast::<i32>().read_unaligned()
                    };
                    let a = _mm512_set1_epi32(a);
                    let a = _mm512_xor_si512(a, self.flip);
                    for j in 0..NP {
                        let b = _mm512_loadu_si512(w.add(j * self.panel_len).cast());
                        sums[r][j] = _mm512_dpbusd_epi32(sums[r][j], a, b);
                    }
                }
            }
            *acc = sums;
        }
    }
    }
}

/// Whether the window of a pixel lies inside the input.
#[inline(always)]
fn within(p: &Conv, px: &Pixel) -> bool {
    let fits =
        |at: i32, d: usize| at >= 0 && at as usize + (p.kernel[d] - 1) * p.dilation[d] < p.input[d];
    fits(px.z, 0) && fits(px.y, 1) && fits(px.x, 2)
}

/// Start of the input row that a pixel's window reads with a kernel row; null in the padding.
#[inline(always)]
fn line(p: &Conv, px: &Pixel, kz: usize, ky: usize) -> *const u8 {
    let z = px.z + (kz * p.dilation[0]) as i32;
    let y = px.y + (ky * p.dilation[1]) as i32;
    if (z as u32) < p.input[0] as u32 && (y as u32) < p.input[1] as u32 {
        let row = z as usize * p.input[1] + y as usize;
        px.image.wrapping_add(row * p.input[2] * p.in_channels)
    } else {
        core::ptr::null()
    }
}

/// Copies `n` bytes; short runs without a call.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: the caller's extents; the last words overlap what is copied already.
    unsafe {
        if n > 64 {
            to.copy_from_nonoverlapping(from, n);
        } else if n >= 8 {
            let word = |i: usize| {
                let w = from.add(i).cast::<u64>().read_unaligned();
                to.add(i).cast::<u64>().write_unaligned(w);
            };
            let mut i = 0;
            while i + 8 <= n {
                word(i);
                i += 8;
            }
            word(n - 8);
        } else {
            for i in 0..n {
                *to.add(i) = *from.add(i);
            }
        }
    }
}
