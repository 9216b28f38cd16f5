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

/// Bytes of a window that are gathered at once. Whole groups.
const GATHERED: usize = 96;

/// Columns whose sums are kept where windows are longer.
const COLUMNS: usize = 32;

/// Runs shorter than this are gathered, several to a window.
const SHORT: usize = 16;

type Words = [MaybeUninit<u32>; CHUNK / GROUP * WORDS];

type Bytes = [[MaybeUninit<u8>; GATHERED]; PIXELS];

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

/// The pixels of a tile.
struct Pixels<'a> {
    line: &'a Line,
    x: [usize; PIXELS],
    /// The first input channel of the group.
    channel: usize,
    /// Whether all runs are inside of their rows, and bytes side by side.
    inside: bool,
}

impl Task {
    /// Widens the window of each pixel.
    ///
    /// # Safety
    /// The pixels are the task's, and the window fits.
    #[inline(never)]
    unsafe fn widen_window<const SIGNED: bool>(
        &self,
        pixels: &Pixels<'_>,
        words: &mut Words,
        bytes: &mut Bytes,
    ) {
        let p = &self.p.conv;
        let rows = p.kernel[0] * p.kernel[1];
        let (run, packed) = (p.kernel[2] * (p.in_channels / p.groups), p.packed_row());
        // SAFETY: the caller's contract.
        unsafe {
            if rows * packed <= GATHERED && rows > 1 && (run < SHORT || !pixels.inside) {
                let window = rows * packed;
                for (to, x) in bytes.iter_mut().zip(pixels.x) {
                    // What lies between the runs meets weights of zero.
                    let to = &mut to[..window];
                    to.fill(MaybeUninit::new(0));
                    self.window(pixels.line, x, pixels.channel, to.assume_init_mut());
                }
                let from = bytes.each_ref().map(|b| b.as_ptr().cast());
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
        pixels: &Pixels<'_>,
        k: usize,
        part: core::ops::Range<usize>,
        to: &mut [MaybeUninit<u32>],
        bytes: &mut Bytes,
    ) {
        let p = &self.p.conv;
        let row = self.input_row(pixels.line, k / p.kernel[1], k % p.kernel[1]);
        let row = row.map(|row| row.wrapping_add(pixels.channel));
        let to = to.as_mut_ptr().cast::<u32>();
        // SAFETY: the caller's contract.
        unsafe {
            if let (true, Some(row)) = (pixels.inside, row) {
                let at = |x| row.add(self.column(x) as usize * p.in_channels + part.start);
                widen_run::<SIGNED>(pixels.x.map(at), part.len(), to);
                return;
            }
            for from in part.clone().step_by(GATHERED) {
                let n = (part.end - from).min(GATHERED);
                for (bytes, x) in bytes.iter_mut().zip(pixels.x) {
                    let bytes = &mut bytes[..n];
                    bytes.fill(MaybeUninit::new(0));
                    self.gather(row, x, from, bytes.assume_init_mut());
                }
                let from_bytes = bytes.each_ref().map(|b| b.as_ptr().cast());
                let to = to.add((from - part.start) / GROUP * WORDS);
                widen_run::<SIGNED>(from_bytes, n, to);
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
            columns: unsafe { super::finish::Bytes::new(t) }.map(Columns::new),
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
    let mut words: Words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
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

/// # Safety
/// `t` passed [`super::super::QuantizedConv::check`], and its bytes are as `SIGNED` says.
pub(super) unsafe fn run<const SIGNED: bool>(t: &Task) {
    // SAFETY: the caller's contract.
    unsafe {
        if is_flat(&t.p.conv) {
            flat::<SIGNED>(t);
        } else {
            windows::<SIGNED>(t);
        }
    }
}

/// # Safety
/// As for [`run`].
#[inline(never)]
unsafe fn windows<const SIGNED: bool>(t: &Task) {
    let t = &t.flat();
    let p = &t.p.conv;
    let ig = p.in_channels / p.groups;
    let contiguous = p.kernel[2] == 1 || (p.dilation[2] == 1 && p.groups == 1);
    // SAFETY: the caller's contract.
    let mut outputs = unsafe { Outputs::new::<SIGNED>(t) };
    let mut words: Words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
    let mut bytes: Bytes = [[MaybeUninit::uninit(); GATHERED]; PIXELS];
    for row in t.rows.0..t.rows.1 {
        let line = &t.line(row);
        for first in (0..p.output[2]).step_by(PIXELS) {
            let x = tile(first, p.output[2]);
            let at = x.map(|x| line.at + x * p.out_channels);
            let inside = contiguous && x.iter().all(|&x| t.inside(x));
            for group in 0..p.groups {
                let pixels = Pixels {
                    line,
                    x,
                    channel: group * ig,
                    inside,
                };
                // SAFETY: offsets stay inside the extents that `check` proved.
                unsafe {
                    if outputs.window <= CHUNK {
                        t.widen_window::<SIGNED>(&pixels, &mut words, &mut bytes);
                        outputs.all(group, at, &words);
                    } else {
                        parts::<SIGNED>(&outputs, group, &pixels, at, &mut words, &mut bytes);
                    }
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
    pixels: &Pixels<'_>,
    at: [usize; PIXELS],
    words: &mut Words,
    bytes: &mut Bytes,
) {
    let p = &o.t.p.conv;
    let (rows, packed) = (p.kernel[0] * p.kernel[1], p.packed_row());
    let run = p.kernel[2] * (p.in_channels / p.groups);
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
                for from in (0..run).step_by(CHUNK) {
                    let n = (run - from).min(CHUNK);
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
