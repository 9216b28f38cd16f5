//! Arm's DSP extension: SMLAD takes 16-bit activations as they are, and weights that SXTB16 widens.
use super::Task;
use super::dense::Window;
use crate::gemm::PANEL;
use crate::quantized::GROUP;
use crate::quantized::dsp::tile::{self, PIXELS, Sums, WORDS};
use crate::quantized::dsp::{lower, sxtb16, sxtb16_odd, upper};
use core::arch::asm;
use core::mem::MaybeUninit;

/// Values of a window that are arranged at once: those of 3 x 3 taps of 32 channels. Whole groups.
const CHUNK: usize = 288;

/// Values that are gathered at once. Whole groups.
const GATHERED: usize = 64;

/// Columns whose sums are kept where windows are longer.
const COLUMNS: usize = 32;

type Words = [MaybeUninit<u32>; CHUNK / GROUP * WORDS];

/// Arranges `n` values of each pixel in groups, the last filled up with zeros.
///
/// # Safety
/// `x` are valid for `n` values, `to` for the groups' words.
unsafe fn arrange(x: [*const i16; PIXELS], n: usize, to: *mut u32) {
    for (pixel, mut x) in x.into_iter().enumerate() {
        let mut to = to.wrapping_add(pixel);
        // SAFETY: the caller's contract.
        unsafe {
            let mut put = |a: u32, b: u32| {
                to.write(lower(a, b));
                to.add(PIXELS).write(upper(a, b));
                to = to.wrapping_add(WORDS);
            };
            for _ in 0..n / GROUP {
                let pair = x.cast::<u32>();
                put(pair.read_unaligned(), pair.add(1).read_unaligned());
                x = x.add(GROUP);
            }
            if n % GROUP > 0 {
                let mut last = [0u16; GROUP];
                for (i, last) in last[..n % GROUP].iter_mut().enumerate() {
                    *last = *x.add(i) as u16;
                }
                let [a, b, c, d] = last.map(u32::from);
                put(a | b << 16, c | d << 16);
            }
        }
    }
}

/// The pixels of a tile.
struct Pixels<'a> {
    window: &'a Window,
    group: usize,
    /// Whether all runs are inside of their rows, and values side by side.
    inside: bool,
}

impl Pixels<'_> {
    /// Arranges the values `from..from + n` of each pixel's run in kernel row `k`.
    ///
    /// # Safety
    /// The part lies in the run and begins with a group, and `to` has room for it.
    unsafe fn part(&self, t: &Task, k: usize, from: usize, n: usize, to: &mut [MaybeUninit<u32>]) {
        let to = to.as_mut_ptr().cast::<u32>();
        let ig = t.p.in_channels / t.p.groups;
        let row = t.input_row(self.window.image, &self.window.axes, k);
        let row = row.map(|row| row.wrapping_add(self.group * ig));
        let columns = &self.window.columns;
        // SAFETY: the caller's contract.
        unsafe {
            if let (Some(row), true) = (row, self.inside) {
                let x = columns.map(|x| row.add(x.first as usize * t.p.in_channels + from));
                return arrange(x, n, to);
            }
            let mut gathered = [[0i16; GATHERED]; PIXELS];
            for at in (0..n).step_by(GATHERED) {
                let n = (n - at).min(GATHERED);
                for (to, &x) in gathered.iter_mut().zip(columns) {
                    t.gather(row, x, from + at, &mut to[..n]);
                }
                let x = gathered.each_ref().map(|g| g.as_ptr());
                arrange(x, n, to.add(at / GROUP * WORDS));
            }
        }
    }
}

/// # Safety
/// `t` passed its check; the target has the extension.
pub(super) unsafe fn dense(t: &Task) {
    let t = &t.flat();
    let p = &t.p;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let (rows, run) = (p.kernel[0] * p.kernel[1], p.kernel[2] * ig);
    let packed = run.next_multiple_of(GROUP);
    let contiguous = p.kernel[2] == 1 || (p.dilation[2] == 1 && p.groups == 1);
    let long = rows * packed > CHUNK;
    let block = if long { COLUMNS } else { og };
    let mut words: Words = [MaybeUninit::uninit(); CHUNK / GROUP * WORDS];
    for row in t.rows.0..t.rows.1 {
        let (image, axes) = t.line(row);
        let line = (row - t.rows.0) * p.output[2];
        for x in (0..p.output[2]).step_by(PIXELS) {
            // Where there are too few, the last is computed again.
            let xs: [usize; PIXELS] = core::array::from_fn(|i| (x + i).min(p.output[2] - 1));
            let window = Window {
                image,
                axes,
                columns: xs.map(|x| t.axis(2, x)),
            };
            let whole = window.columns.iter().all(|a| a.taps == (0, p.kernel[2]));
            for group in 0..p.groups {
                let pixels = Pixels {
                    window: &window,
                    group,
                    inside: contiguous && whole,
                };
                let weights = |column: usize| {
                    let panel = group * og.div_ceil(PANEL) + column / PANEL;
                    let at = panel * rows * packed * PANEL + column % PANEL * GROUP;
                    t.w.wrapping_add(at)
                };
                // SAFETY: offsets stay inside the extents that the check proved.
                unsafe {
                    let start = |column: usize| -> Sums {
                        let bias = t.bias.add(group * og + column);
                        let (a, b) = (*bias, if column + 1 < og { *bias.add(1) } else { 0 });
                        [a, b, a, b, a, b]
                    };
                    let store = |column: usize, sums: &Sums| {
                        let (first, n) = (group * og + column, (og - column).min(2));
                        for (x, sums) in xs.iter().zip(sums.chunks_exact(2)) {
                            t.store((line + x) * p.out_channels + first, first, &sums[..n]);
                        }
                    };
                    if !long {
                        for k in 0..rows {
                            let to = &mut words[k * packed / GROUP * WORDS..];
                            pixels.part(t, k, 0, run, to);
                        }
                        for column in (0..og).step_by(2) {
                            let mut sums = start(column);
                            let n = rows * packed / GROUP;
                            tile::wide(&mut sums, words.as_ptr().cast(), weights(column), n);
                            store(column, &sums);
                        }
                        continue;
                    }
                    for first in (0..og).step_by(block) {
                        let pairs = (first..(first + block).min(og)).step_by(2);
                        let mut sums = [[0; 2 * PIXELS]; COLUMNS / 2];
                        for (sums, column) in sums.iter_mut().zip(pairs.clone()) {
                            *sums = start(column);
                        }
                        for k in 0..rows {
                            for from in (0..run).step_by(CHUNK) {
                                let n = (run - from).min(CHUNK);
                                pixels.part(t, k, from, n, &mut words);
                                let skip = (k * packed + from) * PANEL;
                                for (sums, column) in sums.iter_mut().zip(pairs.clone()) {
                                    let w = weights(column).add(skip);
                                    let n = n.div_ceil(GROUP);
                                    tile::wide(sums, words.as_ptr().cast(), w, n);
                                }
                            }
                        }
                        for (sums, column) in sums.iter().zip(pairs) {
                            store(column, sums);
                        }
                    }
                }
            }
        }
    }
}

/// Writes a multiplication of halves that adds to a sum.
macro_rules! multiply {
    ($name:ident = $text:literal) => {
        #[inline(always)]
        fn $name(sum: i32, x: u32, w: u32) -> i32 {
            let out;
            // SAFETY: arithmetic on registers; the target has the extension.
            unsafe {
                asm!($text, out = lateout(reg) out, x = in(reg) x, w = in(reg) w, sum = in(reg) sum,
                    options(pure, nomem, nostack, preserves_flags));
            }
            out
        }
    };
}

multiply!(smlabb = "smlabb {out}, {x}, {w}, {sum}");
multiply!(smlabt = "smlabt {out}, {x}, {w}, {sum}");
multiply!(smlatb = "smlatb {out}, {x}, {w}, {sum}");
multiply!(smlatt = "smlatt {out}, {x}, {w}, {sum}");

/// Adds the products of four channels over `n` taps side by side, whose values are `step` apart and whose weights `c`:
/// nine instructions for four products.
///
/// # Safety
/// The values and weights exist.
#[inline(always)]
pub(super) unsafe fn four(
    sums: &mut [i32; 4],
    mut x: *const i16,
    step: usize,
    mut w: *const i8,
    c: usize,
    n: usize,
) {
    let [mut a, mut b, mut d, mut e] = *sums;
    for _ in 0..n {
        // SAFETY: the caller's contract.
        let (low, high, weights) = unsafe {
            let pair = x.cast::<u32>();
            (
                pair.read_unaligned(),
                pair.add(1).read_unaligned(),
                w.cast::<u32>().read_unaligned(),
            )
        };
        let (even, odd) = (sxtb16(weights), sxtb16_odd(weights));
        a = smlabb(a, low, even);
        b = smlatb(b, low, odd);
        d = smlabt(d, high, even);
        e = smlatt(e, high, odd);
        x = x.wrapping_add(step);
        w = w.wrapping_add(c);
    }
    *sums = [a, b, d, e];
}
