//! Loops that bodies share: windows become runs of memory, pixels go in pairs and channels in blocks.
//!
//! A pixel's window is one run for each kernel row. Where that is short or not contiguous in memory (padding, dilation,
//! groups) it is gathered on the stack, zero points in place of what lies outside.
use super::scalar::{Line, finish};
use super::{GROUP, Task, WIDTH};
use crate::gemm::PANEL;
use core::mem::MaybeUninit;

/// Pixels at a time: each weight that is loaded serves them all.
pub(super) const PIXELS: usize = 2;

/// Bytes of a window that are gathered at once: those of 3 x 3 taps of 64 channels. Whole groups.
const CHUNK: usize = 576;

/// Runs shorter than this are gathered, several to a window.
const SHORT: usize = 32;

/// Channels of a depthwise convolution for which a list of taps serves; whole blocks of any body.
pub(super) const CHANNELS: usize = 64;

/// Taps in a list.
const TAPS: usize = 32;

/// The inner loops of an instruction set. `SIGNED` tells how the bytes of `x` are to be read.
///
/// # Safety
/// The CPU has the instructions, and pointers are valid for what is said to be read.
pub(super) trait Products {
    /// Adds `n` products of each pixel's run `x` and the first columns of the packed weights `w`, where pairs of columns
    /// are `pair` bytes apart. What is added to further columns does not matter.
    unsafe fn dense<const SIGNED: bool>(
        sums: &mut [[i32; PANEL]; PIXELS],
        columns: usize,
        x: [*const u8; PIXELS],
        w: *const i8,
        pair: usize,
        n: usize,
    );

    /// Adds the products of `n` channels over all taps `x`, whose weights are `c` bytes apart.
    unsafe fn depthwise<const SIGNED: bool>(
        sums: &mut [i32; CHANNELS],
        x: &[*const u8],
        w: *const i8,
        c: usize,
        n: usize,
    );

    /// Requantises and stores channels from `first` at the position `at` of the task's outputs.
    #[inline(always)]
    unsafe fn finish(t: &Task, at: usize, first: usize, sums: &[i32]) {
        // SAFETY: the same contract.
        unsafe { finish(t, at, first, sums) }
    }
}

impl Task {
    /// What the sums start from, for readers of signed or unsigned bytes.
    pub(super) fn starts(&self, signed: bool) -> *const i32 {
        let second = if signed { 0 } else { self.p.conv.out_channels };
        self.start.wrapping_add(second)
    }

    /// The same products with all pixels in one row, where the convolution is pointwise.
    pub(super) fn flat(&self) -> Task {
        let mut t = *self;
        if let Some((p, first)) = self.p.conv.flat(self.rows) {
            t.x = t.x.wrapping_add(first * p.in_channels);
            t.rows = (0, 1);
            t.p.conv = p;
        }
        t
    }

    /// Copies the window of the output at `x` of a line, from the input channel `channel`, row by row as the weights are
    /// packed. Between the rows, where weights are zero, `to` stays as it is.
    ///
    /// # Safety
    /// `channel` is the first of a group.
    pub(super) unsafe fn window(&self, line: &Line, x: usize, channel: usize, to: &mut [u8]) {
        let p = &self.p.conv;
        let mut at = 0;
        for kz in 0..p.kernel[0] {
            for ky in 0..p.kernel[1] {
                let row = self.input_row(line, kz, ky);
                let row = row.map(|row| row.wrapping_add(channel));
                let run = p.kernel[2] * (p.in_channels / p.groups);
                // SAFETY: a whole run.
                unsafe { self.gather(row, x, 0, &mut to[at..at + run]) };
                at += p.packed_row();
            }
        }
    }

    /// Copies the bytes `from..from + to.len()` of the run of the output at `x` in an input row (none in the padding).
    ///
    /// # Safety
    /// The range lies in the run, and `row` is an input row at the first channel of a group.
    pub(super) unsafe fn gather(
        &self,
        row: Option<*const u8>,
        x: usize,
        from: usize,
        to: &mut [u8],
    ) {
        let p = &self.p.conv;
        let first = self.column(x);
        let Some(row) = row else {
            to.fill(self.p.x_zero);
            return;
        };
        if p.dilation[2] == 1 && p.groups == 1 {
            // Taps side by side are bytes side by side.
            let c = p.in_channels as isize;
            let (start, len) = (first as isize * c + from as isize, to.len() as isize);
            let before = (-start).clamp(0, len) as usize;
            let end = (p.input[2] as isize * c - start).clamp(0, len) as usize;
            let (left, inside) = to.split_at_mut(before);
            let (inside, right) = inside.split_at_mut(end.saturating_sub(before));
            left.fill(self.p.x_zero);
            let source = row.wrapping_offset(start + before as isize);
            // SAFETY: bytes of the row. Rows are short, and few of the copies: a call would take longer.
            unsafe { copy(source, inside) };
            right.fill(self.p.x_zero);
            return;
        }
        let ig = p.in_channels / p.groups;
        let mut done = 0;
        while done < to.len() {
            let (tap, i) = ((from + done) / ig, (from + done) % ig);
            let n = (ig - i).min(to.len() - done);
            let to = &mut to[done..done + n];
            let at = first + (tap * p.dilation[2]) as i32;
            if (at as u32 as usize) < p.input[2] {
                // SAFETY: a pixel of the row.
                unsafe { copy(row.add(at as usize * p.in_channels + i), to) };
            } else {
                to.fill(self.p.x_zero);
            }
            done += n;
        }
    }

    /// Whether the taps of the output at `x` lie inside of a row.
    pub(super) fn inside(&self, x: usize) -> bool {
        let p = &self.p.conv;
        let first = self.column(x);
        first >= 0 && first as usize + (p.kernel[2] - 1) * p.dilation[2] < p.input[2]
    }

    /// Calls `f` with every tap of the output at `x` of a line: the pixel's channels from `first`, or `zero`.
    #[inline(always)]
    pub(super) fn taps(
        &self,
        line: &Line,
        x: usize,
        first: usize,
        zero: *const u8,
        mut f: impl FnMut(*const u8),
    ) {
        let p = &self.p.conv;
        let (column, step) = (self.column(x), p.dilation[2] * p.in_channels);
        let offset = (column as isize).wrapping_mul(p.in_channels as isize);
        for kz in 0..p.kernel[0] {
            for ky in 0..p.kernel[1] {
                let Some(row) = self.input_row(line, kz, ky) else {
                    for _ in 0..p.kernel[2] {
                        f(zero);
                    }
                    continue;
                };
                let mut pixel = row.wrapping_offset(offset).wrapping_add(first);
                let mut at = column;
                for _ in 0..p.kernel[2] {
                    let inside = (at as u32 as usize) < p.input[2];
                    f(if inside { pixel } else { zero });
                    pixel = pixel.wrapping_add(step);
                    at += p.dilation[2] as i32;
                }
            }
        }
    }
}

/// Copies bytes, short runs without a call.
///
/// # Safety
/// `from` is valid for as many bytes as `to` holds, and they do not overlap.
#[inline(always)]
unsafe fn copy(from: *const u8, to: &mut [u8]) {
    // SAFETY: the caller's contract.
    unsafe {
        if to.len() >= SHORT || !cfg!(any(target_arch = "arm", target_arch = "riscv32")) {
            core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
            return;
        }
        for (i, to) in to.iter_mut().enumerate() {
            // Volatile, or a compiler would make it a call again.
            *to = from.add(i).read_volatile();
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`], its bytes are as `SIGNED` says, and the CPU has the instructions.
#[inline(always)]
pub(super) unsafe fn dense<P: Products, const SIGNED: bool>(t: &Task) {
    let t = &t.flat();
    let p = &t.p.conv;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let (panels, run) = (og.div_ceil(PANEL), p.kernel[2] * ig);
    let starts = t.starts(SIGNED);
    let contiguous = p.kernel[2] == 1 || (p.dilation[2] == 1 && p.groups == 1);
    let window = p.kernel[0] * p.kernel[1] * p.packed_row();
    let pair = if WIDTH == PANEL {
        2 * GROUP
    } else {
        window * WIDTH
    };
    // Where nothing is gathered, nothing is cleared: that takes longer than small layers.
    let taken = (0..3).all(|d| {
        let last = p.output[d].saturating_sub(1) * p.stride[d];
        p.kernel[d] == 1 && p.pad_begin[d] == 0 && last < p.input[d]
    });
    let used = if taken { 0 } else { window.min(CHUNK) };
    let mut room = [[MaybeUninit::<u8>::uninit(); CHUNK]; PIXELS];
    let mut gathered = room.each_mut().map(|room| {
        let room = &mut room[..used];
        room.fill(MaybeUninit::new(0));
        // SAFETY: initialised.
        unsafe { room.assume_init_mut() }
    });
    for row in t.rows.0..t.rows.1 {
        let line = t.line(row);
        for x in (0..p.output[2]).step_by(PIXELS) {
            let pixels = (p.output[2] - x).min(PIXELS);
            let xs: [usize; PIXELS] = core::array::from_fn(|i| x + i.min(pixels - 1));
            let inside = contiguous && xs.iter().all(|&x| t.inside(x));
            let direct = inside && (run >= SHORT || p.kernel[0] * p.kernel[1] == 1);
            for block in 0..p.groups * panels {
                let (group, panel) = (block / panels, block % panels);
                let columns = (og - panel * PANEL).min(PANEL);
                let first = group * og + panel * PANEL;
                let mut sums = [[0i32; PANEL]; PIXELS];
                let w = group * og.next_multiple_of(WIDTH) + panel * PANEL;
                let w = t.w.wrapping_add(w * window);
                // SAFETY: offsets stay inside the extents that `check` proved.
                unsafe {
                    for sums in &mut sums {
                        let start = starts.add(first);
                        core::ptr::copy_nonoverlapping(start, sums.as_mut_ptr(), columns);
                    }
                    if !direct && window <= CHUNK {
                        if panel == 0 {
                            for (to, x) in gathered.iter_mut().zip(xs) {
                                t.window(&line, x, group * ig, to);
                            }
                        }
                        let sources = gathered.each_ref().map(|g| g.as_ptr());
                        P::dense::<SIGNED>(&mut sums, columns, sources, w, pair, window);
                    } else {
                        let rows = p.kernel[0] * p.kernel[1];
                        for k in 0..rows {
                            let row = t.input_row(&line, k / p.kernel[1], k % p.kernel[1]);
                            let row = row.map(|row| row.wrapping_add(group * ig));
                            let w = w.add(k * p.packed_row() * WIDTH);
                            if let (true, Some(row)) = (inside, row) {
                                let x = xs.map(|x| row.add(t.column(x) as usize * p.in_channels));
                                P::dense::<SIGNED>(&mut sums, columns, x, w, pair, run);
                                continue;
                            }
                            for from in (0..run).step_by(CHUNK) {
                                let n = (run - from).min(CHUNK);
                                for (to, x) in gathered.iter_mut().zip(xs) {
                                    t.gather(row, x, from, &mut to[..n]);
                                }
                                let sources = gathered.each_ref().map(|g| g.as_ptr());
                                let w = w.add(from * WIDTH);
                                P::dense::<SIGNED>(&mut sums, columns, sources, w, pair, n);
                            }
                        }
                    }
                    for (x, sums) in xs[..pixels].iter().zip(&sums) {
                        let at = line.at + x * p.out_channels + first;
                        P::finish(t, at, first, &sums[..columns]);
                    }
                }
            }
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution, its bytes are as `SIGNED` says, and the CPU
/// has the instructions.
#[inline(always)]
pub(super) unsafe fn depthwise<P: Products, const SIGNED: bool>(t: &Task) {
    let p = &t.p.conv;
    let c = p.out_channels;
    let starts = t.starts(SIGNED);
    let zeros = [t.p.x_zero; CHANNELS];
    let mut list = [zeros.as_ptr(); TAPS];
    for row in t.rows.0..t.rows.1 {
        let line = t.line(row);
        for x in 0..p.output[2] {
            for first in (0..c).step_by(CHANNELS) {
                let n = (c - first).min(CHANNELS);
                let mut sums = [0i32; CHANNELS];
                // SAFETY: offsets stay inside the extents that `check` proved.
                unsafe {
                    core::ptr::copy_nonoverlapping(starts.add(first), sums.as_mut_ptr(), n);
                    let mut w = t.w.add(first);
                    let mut len = 0;
                    t.taps(&line, x, first, zeros.as_ptr(), |tap| {
                        if len == TAPS {
                            P::depthwise::<SIGNED>(&mut sums, &list, w, c, n);
                            w = w.add(TAPS * c);
                            len = 0;
                        }
                        list[len] = tap;
                        len += 1;
                    });
                    P::depthwise::<SIGNED>(&mut sums, &list[..len], w, c, n);
                    P::finish(t, line.at + x * c + first, first, &sums[..n]);
                }
            }
        }
    }
}
