//! Dense convolutions. The windows of three pixels are widened once, then meet all columns.
use super::super::scalar::{Line, finish};
use super::super::{GROUP, Task, WIDTH};
#[cfg(arm_vfp)]
use super::tile::Columns;
use super::tile::{PIXELS, Sums, WORDS, products};
use super::widen;
use crate::conv::Conv;
use crate::gemm::PANEL;
use core::arch::asm;
use core::mem::MaybeUninit;

/// Values of a window that are widened at once: those of 3 x 3 taps of 32 channels. Whole groups.
const CHUNK: usize = 288;

/// The same where windows are longer: those of 64 channels.
const LONG: usize = 576;

/// Bytes of a window that are gathered at once. Whole groups.
const GATHERED: usize = 96;

/// Columns whose sums are kept where windows are longer.
const COLUMNS: usize = 32;

/// Widened windows.
type Words = [MaybeUninit<u32>];

type Bytes = [[u8; GATHERED]; PIXELS];

/// Writes the loop that widens groups: 12 instructions for 12 values.
macro_rules! widening {
    ($extend:literal, $x:ident, $to:ident, $n:ident) => {
        asm!(
            "2:",
            "ldr r9, [r0], #4",
            "ldr r10, [r1], #4",
            "ldr r11, [r2], #4",
            concat!($extend, " r4, r9"),
            concat!($extend, " r5, r10"),
            concat!($extend, " r8, r11"),
            concat!($extend, " r9, r9, ror #8"),
            concat!($extend, " r10, r10, ror #8"),
            concat!($extend, " r11, r11, ror #8"),
            "stm r3!, {{r4, r5, r8, r9, r10, r11}}",
            "subs r12, #1",
            "bne 2b",
            inout("r0") $x[0] => _, inout("r1") $x[1] => _, inout("r2") $x[2] => _, inout("r3") $to => _,
            inout("r12") $n => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack),
        )
    };
}

/// Widens `n` bytes of each pixel into groups, the last filled up with zeros.
///
/// # Safety
/// `x` are valid for `n` bytes, `to` for the groups' words.
#[inline(never)]
unsafe fn widen_run<const SIGNED: bool>(x: [*const u8; PIXELS], n: usize, to: *mut u32) {
    let (groups, rest) = (n / GROUP, n % GROUP);
    // SAFETY: the caller's contract. The loop writes the words, and changes registers and flags.
    unsafe {
        if groups > 0 {
            let (from, to) = (x, to);
            if SIGNED {
                widening!("sxtb16", from, to, groups);
            } else {
                widening!("uxtb16", from, to, groups);
            }
        }
        if rest > 0 {
            for (pixel, x) in x.into_iter().enumerate() {
                let mut last = 0;
                for i in (0..rest).rev() {
                    last = last << 8 | *x.add(groups * GROUP + i) as u32;
                }
                for (i, half) in widen::<SIGNED>(last).into_iter().enumerate() {
                    *to.add(groups * WORDS + i * PIXELS + pixel) = half;
                }
            }
        }
    }
}

/// Writes the loop over kernel rows that widens `n` groups of each.
macro_rules! widening_rows {
    ($extend:literal, $x:ident, $to:ident, $n:ident, $rows:ident, $step:ident) => {
        asm!(
            "push {{r6, r7}}",
            "mov r6, r4",
            "mov r7, r5",
            "3:",
            "mov r12, r7",
            "2:",
            "ldr r9, [r0], #4",
            "ldr r10, [r1], #4",
            "ldr r11, [r2], #4",
            concat!($extend, " r4, r9"),
            concat!($extend, " r5, r10"),
            concat!($extend, " r8, r11"),
            concat!($extend, " r9, r9, ror #8"),
            concat!($extend, " r10, r10, ror #8"),
            concat!($extend, " r11, r11, ror #8"),
            "stm r3!, {{r4, r5, r8, r9, r10, r11}}",
            "subs r12, #1",
            "bne 2b",
            "add r0, r0, r6",
            "add r1, r1, r6",
            "add r2, r2, r6",
            "subs lr, #1",
            "bne 3b",
            "pop {{r6, r7}}",
            inout("r0") $x[0] => _, inout("r1") $x[1] => _, inout("r2") $x[2] => _, inout("r3") $to => _,
            inout("r4") $step.wrapping_sub($n * GROUP) => _, inout("r5") $n => _, inout("lr") $rows => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
        )
    };
}

/// Widens `n` groups of each pixel in `rows` kernel rows, which are `step` bytes apart.
///
/// # Safety
/// There are groups and rows; `x` are valid for them, `to` for their words.
#[inline(never)]
unsafe fn widen_rows<const SIGNED: bool>(
    x: [*const u8; PIXELS],
    n: usize,
    rows: usize,
    step: usize,
    to: *mut u32,
) {
    // SAFETY: the caller's contract. The loops write the words, and change registers and flags.
    unsafe {
        if SIGNED {
            widening_rows!("sxtb16", x, to, n, rows, step);
        } else {
            widening_rows!("uxtb16", x, to, n, rows, step);
        }
    }
}

/// A pixel of the output.
#[derive(Clone, Copy)]
struct Pixel {
    line: Line,
    x: usize,
    /// The first tap of the window, where all of it is inside of the input and each run bytes side by side; or null.
    first: *const u8,
}

/// The pixels of a tile.
struct Pixels {
    tile: [Pixel; PIXELS],
    /// The first input channel of the group.
    channel: usize,
    /// Whether runs that are inside of their rows are bytes side by side.
    contiguous: bool,
    /// Behind the input.
    end: *const u8,
}

impl Task {
    /// Widens the window of each pixel.
    ///
    /// # Safety
    /// The pixels are the task's, and the window fits.
    #[inline(never)]
    unsafe fn widen_window<const SIGNED: bool>(
        &self,
        pixels: &Pixels,
        words: &mut Words,
        bytes: &mut Bytes,
    ) {
        let p = &self.p.conv;
        let rows = p.kernel[0] * p.kernel[1];
        let (run, packed) = (p.kernel[2] * (p.in_channels / p.groups), p.packed_row());
        // SAFETY: the caller's contract.
        unsafe {
            let from = pixels.tile.map(|pixel| pixel.first);
            if from.iter().all(|x| !x.is_null()) {
                let step = p.dilation[1] * p.input[2] * p.in_channels;
                let from = from.map(|x| x.wrapping_add(pixels.channel));
                // What is read behind a run to fill its last group meets weights of zero.
                if from[PIXELS - 1].wrapping_add((rows - 1) * step + packed) <= pixels.end {
                    let to = words.as_mut_ptr().cast();
                    widen_rows::<SIGNED>(from, packed / GROUP, rows, step, to);
                    return;
                }
            }
            if rows * packed <= GATHERED && rows > 1 {
                let window = rows * packed;
                for (to, pixel) in bytes.iter_mut().zip(&pixels.tile) {
                    // What lies between the runs meets weights of zero.
                    self.window(&pixel.line, pixel.x, pixels.channel, &mut to[..window]);
                }
                let from = bytes.each_ref().map(|b| b.as_ptr());
                widen_run::<SIGNED>(from, window, words.as_mut_ptr().cast());
                return;
            }
            for k in 0..rows {
                let to = &mut words[k * packed / GROUP * WORDS..];
                self.widen_row::<SIGNED>(pixels, k, 0..run, to, bytes);
            }
        }
    }

    /// Widens a part of each pixel's run in kernel row `k`.
    ///
    /// # Safety
    /// The pixels are the task's, the part lies in the run and begins with a group, and `to` has room for it.
    #[inline(never)]
    unsafe fn widen_row<const SIGNED: bool>(
        &self,
        pixels: &Pixels,
        k: usize,
        part: core::ops::Range<usize>,
        to: &mut [MaybeUninit<u32>],
        bytes: &mut Bytes,
    ) {
        let p = &self.p.conv;
        let (kz, ky) = (k / p.kernel[1], k % p.kernel[1]);
        let to = to.as_mut_ptr().cast::<u32>();
        let rows = pixels.tile.each_ref().map(|pixel| {
            let row = self.input_row(&pixel.line, kz, ky)?;
            Some(row.wrapping_add(pixels.channel))
        });
        for from in part.clone().step_by(GATHERED) {
            let n = (part.end - from).min(GATHERED);
            let mut sources = [core::ptr::null(); PIXELS];
            for (i, (source, bytes)) in sources.iter_mut().zip(&mut *bytes).enumerate() {
                let x = pixels.tile[i].x;
                // SAFETY: the caller's contract.
                unsafe {
                    *source = match rows[i] {
                        Some(row) if pixels.contiguous && self.inside(x) => {
                            row.add(self.column(x) as usize * p.in_channels + from)
                        }
                        row => {
                            self.gather(row, x, from, &mut bytes[..n]);
                            bytes.as_ptr()
                        }
                    };
                }
            }
            // SAFETY: the caller's contract.
            unsafe {
                let to = to.add((from - part.start) / GROUP * WORDS);
                widen_run::<SIGNED>(sources, n, to);
            }
        }
    }
}

/// A convolution's columns.
struct Outputs<'a> {
    t: &'a Task,
    starts: *const i32,
    /// Columns of a group.
    og: usize,
    /// Packed values of a column.
    window: usize,
    /// Where the columns are computed to bytes at once.
    #[cfg(arm_vfp)]
    columns: Option<Columns>,
}

/// Where a column, which is even, and the next of a group lie in the packed weights `w`.
#[inline(always)]
fn weights(w: *const i8, og: usize, window: usize, group: usize, column: usize) -> *const i8 {
    let panel = group * og.div_ceil(WIDTH) + column / WIDTH;
    w.wrapping_add(panel * window * WIDTH + column % WIDTH * GROUP)
}

impl Outputs<'_> {
    /// The weights of a column, which is even, and the next of a group.
    #[inline(always)]
    fn weights(&self, group: usize, column: usize) -> *const i8 {
        weights(self.t.w, self.og, self.window, group, column)
    }

    /// What the sums of a column and the next start from.
    ///
    /// # Safety
    /// The column exists.
    #[inline(always)]
    unsafe fn start(&self, group: usize, column: usize) -> Sums {
        let start = self.starts.wrapping_add(group * self.og + column);
        // SAFETY: the caller's contract.
        unsafe {
            let (a, b) = (
                *start,
                if column + 1 < self.og {
                    *start.add(1)
                } else {
                    0
                },
            );
            [a, b, a, b, a, b]
        }
    }

    /// Computes all columns of a group from widened windows. `at` are the places of the pixels in the outputs.
    ///
    /// # Safety
    /// The words are those of the windows, and the places exist.
    #[inline(never)]
    unsafe fn all(&mut self, group: usize, at: [usize; PIXELS], words: &Words) {
        let (x, n) = (words.as_ptr().cast::<u32>(), self.window / GROUP);
        let mut first = 0;
        // SAFETY: the caller's contract, and columns of the task.
        unsafe {
            #[cfg(arm_vfp)]
            if let (Some(columns), true) = (&mut self.columns, n > 0) {
                let end = self.og / 2 * 2;
                let channel = group * self.og;
                columns.x = x;
                columns.n = n;
                columns.starts = self.starts.add(channel);
                columns.factors = self.t.multiplier.add(channel);
                columns.y = at.map(|at| self.t.y.add(at + channel));
                while first < end {
                    let next = if WIDTH == PANEL {
                        (first + PANEL).min(end)
                    } else {
                        end
                    };
                    columns.w = weights(self.t.w, self.og, self.window, group, first);
                    columns.pairs = (next - first) / 2;
                    columns.run();
                    first = next;
                }
            }
            for column in (first..self.og).step_by(2) {
                let mut sums = self.start(group, column);
                products(&mut sums, x, self.weights(group, column), n);
                self.store(group, column, at, &sums);
            }
        }
    }

    /// Requantises and stores a column and the next. Pixels may be the same.
    ///
    /// # Safety
    /// The columns and places exist.
    #[inline(never)]
    unsafe fn store(&self, group: usize, column: usize, at: [usize; PIXELS], sums: &Sums) {
        let channel = group * self.og + column;
        let n = (self.og - column).min(2);
        for (at, sums) in at.into_iter().zip(sums.chunks_exact(2)) {
            // SAFETY: the caller's contract.
            unsafe { finish(self.t, at + channel, channel, &sums[..n]) };
        }
    }
}

impl<'a> Outputs<'a> {
    /// # Safety
    /// `t` passed its check.
    #[inline(always)]
    unsafe fn new<const SIGNED: bool>(t: &'a Task) -> Self {
        let p = &t.p.conv;
        Self {
            t,
            starts: t.starts(SIGNED),
            og: p.out_channels / p.groups,
            window: p.kernel[0] * p.kernel[1] * p.packed_row(),
            #[cfg(arm_vfp)]
            // SAFETY: the caller's contract.
            columns: unsafe { super::finish::Bytes::new(t) }
                .filter(|_| WIDTH != PANEL || t.w.addr().is_multiple_of(4))
                .map(Columns::new),
        }
    }
}

/// The pixels of a tile that begins at `first`: where there are too few, the last is computed again.
#[inline(always)]
fn tile(first: usize, pixels: usize) -> [usize; PIXELS] {
    core::array::from_fn(|i| (first + i).min(pixels - 1))
}

/// Whether a convolution is pointwise, with windows that are widened at once.
pub(in crate::quantized) const fn is_flat(p: &Conv) -> bool {
    p.is_pointwise() && p.in_channels <= CHUNK
}

/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`], its bytes are as `SIGNED` says, and it [`is_flat`].
#[inline(never)]
pub(super) unsafe fn flat<const SIGNED: bool>(t: &Task) {
    let p = &t.p.conv;
    let (x, pixels) = (
        t.x.wrapping_add(t.rows.0 * p.output[2] * p.in_channels),
        (t.rows.1 - t.rows.0) * p.output[2],
    );
    let mut words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let mut outputs = Outputs::new::<SIGNED>(t);
        for first in (0..pixels).step_by(PIXELS) {
            let tile = tile(first, pixels);
            let from = tile.map(|pixel| x.add(pixel * p.in_channels));
            widen_run::<SIGNED>(from, p.in_channels, words.as_mut_ptr().cast());
            outputs.all(0, tile.map(|pixel| pixel * p.out_channels), &words);
        }
    }
}

/// Whether a convolution's windows are widened at once in the smaller room.
pub(in crate::quantized) const fn is_short(p: &Conv) -> bool {
    p.kernel[0] * p.kernel[1] * p.packed_row() <= CHUNK
}

/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`], and its bytes are as `SIGNED` says.
pub(super) unsafe fn run<const SIGNED: bool>(t: &Task) {
    // SAFETY: the caller's contract.
    unsafe {
        if is_flat(&t.p.conv) {
            flat::<SIGNED>(t);
        } else if is_short(&t.p.conv) {
            short::<SIGNED>(t);
        } else if is_long(&t.p.conv) {
            long::<SIGNED>(t);
        } else {
            longest::<SIGNED>(t);
        }
    }
}

/// Whether they are widened at once in the larger room.
pub(in crate::quantized) const fn is_long(p: &Conv) -> bool {
    p.kernel[0] * p.kernel[1] * p.packed_row() <= LONG
}

/// # Safety
/// As for [`run`], and `t` [`is_short`].
#[inline(never)]
pub(super) unsafe fn short<const SIGNED: bool>(t: &Task) {
    let mut words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
    // SAFETY: the caller's contract.
    unsafe { windows::<SIGNED, false>(t, &mut words) }
}

/// # Safety
/// As for [`run`], and `t` [`is_long`].
#[inline(never)]
pub(super) unsafe fn long<const SIGNED: bool>(t: &Task) {
    let mut words = [MaybeUninit::uninit(); LONG / GROUP * WORDS];
    // SAFETY: the caller's contract.
    unsafe { windows::<SIGNED, false>(t, &mut words) }
}

/// # Safety
/// As for [`run`].
#[inline(never)]
pub(super) unsafe fn longest<const SIGNED: bool>(t: &Task) {
    let mut words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
    // SAFETY: the caller's contract.
    unsafe { windows::<SIGNED, true>(t, &mut words) }
}

/// Windows are widened at once, or with `PARTS` part by part.
///
/// # Safety
/// As for [`run`]; without `PARTS` the words hold a window.
#[inline(never)]
unsafe fn windows<const SIGNED: bool, const PARTS: bool>(t: &Task, words: &mut Words) {
    let t = &t.flat();
    let p = &t.p.conv;
    let ig = p.in_channels / p.groups;
    let contiguous = p.kernel[2] == 1 || (p.dilation[2] == 1 && p.groups == 1);
    // SAFETY: the caller's contract.
    let mut outputs = unsafe { Outputs::new::<SIGNED>(t) };
    let mut bytes: Bytes = [[0; GATHERED]; PIXELS];
    let end = (t.x).wrapping_add(p.batch * p.input.iter().product::<usize>() * p.in_channels);
    if p.output[2] == 0 || t.rows.0 >= t.rows.1 {
        return;
    }
    // A row, and the first of its input rows where all are rows of the input.
    let start = |row: usize| {
        let line = t.line(row);
        let last = t.input_row(&line, 0, p.kernel[1] - 1);
        let whole = contiguous && p.kernel[0] == 1 && last.is_some();
        (line, t.input_row(&line, 0, 0).filter(|_| whole))
    };
    let (mut row, mut x) = (t.rows.0, 0);
    let (mut line, mut first) = start(row);
    let mut more = true;
    // Tiles go on in the next row.
    while more {
        let tile: [Pixel; PIXELS] = core::array::from_fn(|_| {
            let pixel = Pixel {
                line,
                x,
                first: match first {
                    Some(first) if t.inside(x) => {
                        first.wrapping_add(t.column(x) as usize * p.in_channels)
                    }
                    _ => core::ptr::null(),
                },
            };
            // Where there are too few, the last is computed again.
            x += 1;
            if x == p.output[2] {
                (row, x) = (row + 1, 0);
                if row < t.rows.1 {
                    (line, first) = start(row);
                } else {
                    (row, x) = (row - 1, p.output[2] - 1);
                    more = false;
                }
            }
            pixel
        });
        let at = tile.map(|pixel| pixel.line.at + pixel.x * p.out_channels);
        for group in 0..p.groups {
            let pixels = Pixels {
                tile,
                channel: group * ig,
                contiguous,
                end,
            };
            // SAFETY: offsets stay inside the extents that `check` proved.
            unsafe {
                if PARTS {
                    parts::<SIGNED>(&outputs, group, &pixels, at, words, &mut bytes);
                } else {
                    t.widen_window::<SIGNED>(&pixels, words, &mut bytes);
                    outputs.all(group, at, words);
                }
            }
        }
    }
}

/// Computes all columns of a group where the windows are too long to be widened at once.
///
/// # Safety
/// The group, pixels and places are the task's.
#[inline(never)]
unsafe fn parts<const SIGNED: bool>(
    o: &Outputs<'_>,
    group: usize,
    pixels: &Pixels,
    at: [usize; PIXELS],
    words: &mut Words,
    bytes: &mut Bytes,
) {
    let p = &o.t.p.conv;
    let (rows, packed) = (p.kernel[0] * p.kernel[1], p.packed_row());
    let run = p.kernel[2] * (p.in_channels / p.groups);
    let room = words.len() / WORDS * GROUP;
    for panel in (0..o.og).step_by(COLUMNS) {
        let end = (panel + COLUMNS).min(o.og);
        let pairs = (panel..end).step_by(2);
        let mut block = [[0; 2 * PIXELS]; COLUMNS / 2];
        // SAFETY: the caller's contract.
        unsafe {
            for (sums, column) in block.iter_mut().zip(pairs.clone()) {
                *sums = o.start(group, column);
            }
            for k in 0..rows {
                for from in (0..run).step_by(room) {
                    let n = (run - from).min(room);
                    let part = from..from + n;
                    o.t.widen_row::<SIGNED>(pixels, k, part, words, bytes);
                    let skip = (k * packed + from) * WIDTH;
                    for (sums, column) in block.iter_mut().zip(pairs.clone()) {
                        let w = o.weights(group, column).add(skip);
                        products(sums, words.as_ptr().cast(), w, n.div_ceil(GROUP));
                    }
                }
            }
            for (sums, column) in block.iter().zip(pairs) {
                o.store(group, column, at, sums);
            }
        }
    }
}
