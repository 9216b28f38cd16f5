//! The windows of a tile's pixels, packed for the kernels: eight bytes of each pixel in turn, two pixels to a vector.
//!
//! A slot, eight bytes of the depth, holds the rows `0 1 | 2 3 | 4 5`; so one load of up to three vectors serves two
//! groups of every pixel, whatever the window, and bytes without a sign are flipped once for all panels.
use crate::conv::Conv;
use crate::quantized::Task;
use core::arch::aarch64::*;
use core::mem::MaybeUninit;

/// Bytes of a slot's row.
pub(super) const SLOT: usize = 8;
/// Pixels of the largest tile.
pub(super) const ROWS: usize = 6;
/// Bytes of the padding that exist: longer runs are cut to this length where the padding is read.
const PAD: usize = 512;
/// Bytes of a window that are copied at once where runs are no whole slots.
const COPIED: usize = 512;
/// Bytes that are copied at once.
const WORD: usize = 16;

/// An output pixel.
#[derive(Clone, Copy)]
pub(super) struct Place {
    image: usize,
    z: usize,
    y: usize,
    x: usize,
}

impl Place {
    /// The first pixel of an output row (of [`Conv::rows`]).
    pub(super) fn row(p: &Conv, row: usize) -> Self {
        let (y, rest) = (row % p.output[1], row / p.output[1]);
        Self {
            image: rest / p.output[0],
            z: rest % p.output[0],
            y,
            x: 0,
        }
    }

    /// The place `n` pixels on.
    #[inline(always)]
    fn advance(&mut self, n: usize, size: &[usize; 3]) {
        self.x += n;
        while self.x >= size[2] {
            self.x -= size[2];
            self.y += 1;
            if self.y == size[1] {
                self.y = 0;
                self.z += 1;
                if self.z == size[0] {
                    self.z = 0;
                    self.image += 1;
                }
            }
        }
    }
}

/// How windows are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Pixels of the input, one after the other.
    Pixels,
    /// Runs of whole slots.
    Runs,
    /// Through a copy of the window.
    Copies,
}

/// Reads the windows of a task.
pub(super) struct Packer<'a> {
    t: &'a Task,
    way: Way,
    ig: usize,
    flip: u8,
    /// Where the input ends.
    end: *const u8,
    /// Whether taps and channels of a kernel row are one run of memory.
    joined: bool,
    padding: [u8; PAD],
    copies: [[u8; COPIED + WORD]; ROWS],
}

impl<'a> Packer<'a> {
    /// `whole`: whether windows are packed from their first byte to their last.
    pub(super) fn new(t: &'a Task, whole: bool) -> Self {
        let p = &t.p.conv;
        let ig = p.in_channels / p.groups;
        let way = if ig % SLOT != 0 || !whole {
            Way::Copies
        } else if p.is_pointwise() {
            Way::Pixels
        } else {
            Way::Runs
        };
        let len = p.batch * p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        Self {
            t,
            way,
            ig,
            flip: t.flip(),
            end: t.x.wrapping_add(len),
            joined: p.groups == 1 && (p.dilation[2] == 1 || p.kernel[2] == 1),
            padding: [t.p.x_zero; PAD],
            copies: [[t.p.x_zero; COPIED + WORD]; ROWS],
        }
    }

    /// Packs the bytes `window` (multiples of 4; the first one of 8) of the windows of `rows` pixels from `place` on, which
    /// is moved past them.
    ///
    /// # Safety
    /// The pixels belong to the task, `to` has room for whole slots.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) unsafe fn tile(
        &mut self,
        place: &mut Place,
        rows: usize,
        group: usize,
        window: (usize, usize),
        to: *mut u8,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            match (rows.div_ceil(2), self.flip) {
                (1, 0) => self.pairs::<1, false>(place, rows, group, window, to),
                (1, _) => self.pairs::<1, true>(place, rows, group, window, to),
                (2, 0) => self.pairs::<2, false>(place, rows, group, window, to),
                (2, _) => self.pairs::<2, true>(place, rows, group, window, to),
                (_, 0) => self.pairs::<3, false>(place, rows, group, window, to),
                (_, _) => self.pairs::<3, true>(place, rows, group, window, to),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn pairs<const P: usize, const FLIP: bool>(
        &mut self,
        place: &mut Place,
        rows: usize,
        group: usize,
        window: (usize, usize),
        to: *mut u8,
    ) {
        // SAFETY: the caller's contract.
        unsafe {
            let p = &self.t.p.conv;
            match self.way {
                Way::Pixels => {
                    let c = p.in_channels;
                    let line = (place.image * p.input[0] + place.z) * p.input[1] + place.y;
                    let from = self.t.x.add((line * p.input[2] + place.x) * c);
                    let row = |r: usize| from.wrapping_add(r.min(rows - 1) * c);
                    pack::<P, FLIP>(
                        core::array::from_fn(|i| [row(2 * i), row(2 * i + 1)]),
                        c,
                        to,
                    );
                    place.advance(rows, &p.output);
                }
                Way::Runs => {
                    if !self.inside::<P, FLIP>(place, rows, to) {
                        self.anywhere::<P, FLIP>(place, rows, group, to);
                    }
                    place.advance(rows, &p.output);
                }
                Way::Copies => self.copied::<P, FLIP>(place, rows, group, window, to),
            }
        }
    }

    /// Pixels of one row whose windows lie inside the input from left to right and are runs; false, and nothing done, for
    /// others.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn inside<const P: usize, const FLIP: bool>(
        &self,
        at: &Place,
        rows: usize,
        mut to: *mut u8,
    ) -> bool {
        // SAFETY: pointers are formed only for taps inside the input.
        unsafe {
            let p = &self.t.p.conv;
            let c = p.in_channels;
            if !self.joined || !inside(p, at, rows) {
                return false;
            }
            let left = (at.x * p.stride[2] - p.pad_begin[2]) * c;
            let run = p.kernel[2] * c;
            let step = p.stride[2] * c;
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    match self.line(at, kz, ky) {
                        Some(line) => {
                            let from = line.add(left);
                            let row = |r: usize| from.wrapping_add(r.min(rows - 1) * step);
                            let a = core::array::from_fn(|i| [row(2 * i), row(2 * i + 1)]);
                            pack::<P, FLIP>(a, run, to);
                        }
                        None => self.pad(to, run * 2 * P),
                    }
                    to = to.add(run * 2 * P);
                }
            }
            true
        }
    }

    /// Any pixels, tap by tap.
    #[target_feature(enable = "neon")]
    unsafe fn anywhere<const P: usize, const FLIP: bool>(
        &self,
        at: &Place,
        rows: usize,
        group: usize,
        mut to: *mut u8,
    ) {
        // SAFETY: pointers are formed only for taps inside the input.
        unsafe {
            let p = &self.t.p.conv;
            let (c, ig) = (p.in_channels, self.ig);
            let mut places = [*at; ROWS];
            for r in 1..rows {
                places[r] = places[r - 1];
                places[r].advance(1, &p.output);
            }
            let mut lines = [None; ROWS];
            for kz in 0..p.kernel[0] {
                for ky in 0..p.kernel[1] {
                    for r in 0..rows {
                        lines[r] = self.line(&places[r], kz, ky);
                    }
                    for kx in 0..p.kernel[2] {
                        let mut a = [[core::ptr::null::<u8>(); 2]; P];
                        let (mut padded, mut all) = (false, true);
                        for r in 0..2 * P {
                            let from = r.min(rows - 1);
                            let ix = (places[from].x * p.stride[2] + kx * p.dilation[2])
                                .wrapping_sub(p.pad_begin[2]);
                            match lines[from] {
                                Some(line) if ix < p.input[2] => {
                                    a[r / 2][r % 2] = line.add(ix * c + group * ig);
                                    all = false;
                                }
                                _ => padded = true,
                            }
                        }
                        if all {
                            self.pad(to, ig * 2 * P);
                            to = to.add(ig * 2 * P);
                            continue;
                        }
                        let most = if padded { PAD } else { ig };
                        let mut i = 0;
                        while i < ig {
                            let n = (ig - i).min(most);
                            let part = a.map(|pair| {
                                pair.map(|a| {
                                    if a.is_null() {
                                        self.padding.as_ptr()
                                    } else {
                                        a.add(i)
                                    }
                                })
                            });
                            pack::<P, FLIP>(part, n, to);
                            to = to.add(n * 2 * P);
                            i += n;
                        }
                    }
                }
            }
        }
    }

    /// By way of a copy of a part of each window.
    #[target_feature(enable = "neon")]
    unsafe fn copied<const P: usize, const FLIP: bool>(
        &mut self,
        place: &mut Place,
        rows: usize,
        group: usize,
        window: (usize, usize),
        mut to: *mut u8,
    ) {
        // SAFETY: copies end inside their buffers.
        unsafe {
            if self.copy_inside(place, rows, window) {
                let row = |r: usize| self.copies[r.min(rows - 1)].as_ptr();
                let a = core::array::from_fn(|i| [row(2 * i), row(2 * i + 1)]);
                pack::<P, FLIP>(a, window.1, to);
                return place.advance(rows, &self.t.p.conv.output);
            }
            let first = *place;
            let mut k = window.0;
            while k < window.1 {
                let end = (k + COPIED).min(window.1);
                let mut at = first;
                for r in 0..rows {
                    let to = self.copies[r].as_mut_ptr();
                    self.copy(&at, group, k, end, to);
                    at.advance(1, &self.t.p.conv.output);
                }
                *place = at;
                let row = |r: usize| self.copies[r.min(rows - 1)].as_ptr();
                let a = core::array::from_fn(|i| [row(2 * i), row(2 * i + 1)]);
                pack::<P, FLIP>(a, end - k, to);
                to = to.add(COPIED * 2 * P);
                k = end;
            }
        }
    }

    /// Copies whole windows of pixels of one row that lie inside the input from left to right and are runs; false, and
    /// nothing done, for others.
    #[inline]
    unsafe fn copy_inside(&mut self, at: &Place, rows: usize, window: (usize, usize)) -> bool {
        // SAFETY: pointers are formed only for taps inside the input; windows fit the copies.
        unsafe {
            let p = &self.t.p.conv;
            let whole = p.kernel[0] * p.kernel[1] * p.packed_row();
            if !self.joined || window != (0, whole) || whole > COPIED || !inside(p, at, rows) {
                return false;
            }
            let left = (at.x * p.stride[2] - p.pad_begin[2]) * p.in_channels;
            let (run, step) = (p.kernel[2] * p.in_channels, p.stride[2] * p.in_channels);
            for k in 0..p.kernel[0] * p.kernel[1] {
                let line = self.line(at, k / p.kernel[1], k % p.kernel[1]);
                for r in 0..rows {
                    let to = self.copies[r].as_mut_ptr().add(k * p.packed_row());
                    match line {
                        Some(line) => self.words(line.add(left + r * step), to, run),
                        None => to.write_bytes(self.t.p.x_zero, run),
                    }
                }
            }
            true
        }
    }

    /// Copies the bytes `from..end` of a pixel's window; up to a word is written beyond.
    #[inline]
    unsafe fn copy(&self, at: &Place, group: usize, from: usize, end: usize, to: *mut u8) {
        // SAFETY: only taps inside the input are read.
        unsafe {
            let p = &self.t.p.conv;
            let (c, ig) = (p.in_channels, self.ig);
            let (run, packed) = (p.kernel[2] * ig, p.packed_row());
            let line_len = p.input[2] * c;
            let x = (at.x * p.stride[2]).wrapping_sub(p.pad_begin[2]);
            let (mut k, mut row) = (from, from / packed);
            while k < end {
                let low = k - row * packed;
                let high = packed.min(end - row * packed);
                let to = to.add(k - from);
                // What lies beyond the run meets weights of zero.
                let n = high.min(run).saturating_sub(low);
                match self.line(at, row / p.kernel[1], row % p.kernel[1]) {
                    None => to.write_bytes(self.t.p.x_zero, n),
                    Some(line) if self.joined => {
                        let first = x.wrapping_mul(c).wrapping_add(low) as isize;
                        let before = (-first).clamp(0, n as isize) as usize;
                        let after =
                            (first + n as isize - line_len as isize).clamp(0, n as isize) as usize;
                        if before + after == 0 {
                            self.words(line.offset(first), to, n);
                        } else if before + after < n {
                            to.write_bytes(self.t.p.x_zero, n);
                            let first = (first + before as isize) as usize;
                            let inside = n - before - after;
                            line.add(first)
                                .copy_to_nonoverlapping(to.add(before), inside);
                        } else {
                            to.write_bytes(self.t.p.x_zero, n);
                        }
                    }
                    Some(line) => {
                        let mut i = 0;
                        while i < n {
                            let (tap, channel) = ((low + i) / ig, (low + i) % ig);
                            let part = (ig - channel).min(n - i);
                            let ix = x.wrapping_add(tap * p.dilation[2]);
                            if ix < p.input[2] {
                                let from = line.add(ix * c + group * ig + channel);
                                from.copy_to_nonoverlapping(to.add(i), part);
                            } else {
                                to.add(i).write_bytes(self.t.p.x_zero, part);
                            }
                            i += part;
                        }
                    }
                }
                row += 1;
                k = row * packed;
            }
        }
    }

    /// Copies `n` bytes, short runs as one word where that lies inside the input, or as two that overlap.
    #[inline(always)]
    unsafe fn words(&self, from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: reads end before the input does; the caller's buffer has room for a word more.
        unsafe {
            // Vectors: copies of bytes would be calls of memcpy.
            let word = |at: usize| vst1q_u8(to.add(at), vld1q_u8(from.add(at)));
            if n <= WORD && from.wrapping_add(WORD) <= self.end {
                word(0);
            } else if (WORD..=2 * WORD).contains(&n) {
                word(0);
                word(n - WORD);
            } else {
                from.copy_to_nonoverlapping(to, n);
            }
        }
    }

    /// Start of the input row that a pixel reads with a row of the kernel; `None` in the padding.
    #[inline(always)]
    fn line(&self, at: &Place, kz: usize, ky: usize) -> Option<*const u8> {
        let p = &self.t.p.conv;
        let z = (at.z * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
        let y = (at.y * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
        let line = (at.image * p.input[0]).wrapping_add(z) * p.input[1] + y;
        (z < p.input[0] && y < p.input[1])
            .then(|| self.t.x.wrapping_add(line * p.input[2] * p.in_channels))
    }

    /// Packed padding.
    #[inline(always)]
    unsafe fn pad(&self, to: *mut u8, len: usize) {
        // SAFETY: the caller's room.
        unsafe { to.write_bytes(self.t.p.x_zero ^ self.flip, len) }
    }
}

/// Whether `rows` pixels from a place on belong to one row and have windows inside the input from left to right.
#[inline(always)]
fn inside(p: &Conv, at: &Place, rows: usize) -> bool {
    let last = (at.x + rows - 1) * p.stride[2] + (p.kernel[2] - 1) * p.dilation[2];
    at.x + rows <= p.output[2]
        && at.x * p.stride[2] >= p.pad_begin[2]
        && last - p.pad_begin[2] < p.input[2]
}

/// Packs `len` bytes, a multiple of 4, of `P` pairs of rows.
///
/// # Safety
/// The rows are valid for `len` bytes, `to` for whole slots.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn pack<const P: usize, const FLIP: bool>(
    mut a: [[*const u8; 2]; P],
    len: usize,
    to: *mut u8,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let flip = vdupq_n_u8(0x80);
        let flipped = |v: uint64x2_t| {
            let v = vreinterpretq_u8_u64(v);
            if FLIP { veorq_u8(v, flip) } else { v }
        };
        let mut to = to.cast::<[MaybeUninit<uint8x16_t>; P]>();
        for _ in 0..len / 16 {
            let (low, high) = (to, to.add(1));
            for i in 0..P {
                let v = a[i].map(|a| vreinterpretq_u64_u8(vld1q_u8(a)));
                (*low)[i].write(flipped(vzip1q_u64(v[0], v[1])));
                (*high)[i].write(flipped(vzip2q_u64(v[0], v[1])));
                a[i] = a[i].map(|a| a.add(16));
            }
            to = to.add(2);
        }
        if len % 16 >= SLOT {
            for i in 0..P {
                let v = a[i].map(|a| vreinterpret_u64_u8(vld1_u8(a)));
                (*to)[i].write(flipped(vcombine_u64(v[0], v[1])));
                a[i] = a[i].map(|a| a.add(SLOT));
            }
            to = to.add(1);
        }
        if len % SLOT != 0 {
            for i in 0..P {
                let v = a[i].map(|a| u64::from(a.cast::<u32>().read_unaligned()));
                (*to)[i].write(flipped(vcombine_u64(vcreate_u64(v[0]), vcreate_u64(v[1]))));
            }
        }
    }
}
