//! Dense convolutions: windows become runs of memory, four pixels at a time.
//!
//! A pixel's window is one run for each kernel row. Where that is short or not contiguous in memory (padding, dilation,
//! groups) it is gathered on the stack, zeros in place of what lies outside.
use super::{Axis, Task};
use crate::gemm::PANEL;
use crate::isa::{Isa, kernel_rows};
use crate::quantized::GROUP;

/// Pixels at a time: each weight that is loaded serves them all.
pub(super) const PIXELS: usize = 4;

/// Values of a window that are gathered at once: those of 3 x 3 taps of 32 channels, and a bit. Whole groups.
const CHUNK: usize = 320;

/// Runs shorter than this are gathered, several to a window.
const SHORT: usize = 32;

/// Sums of the columns of a panel for each pixel.
pub(super) type Sums = [[i32; PANEL]; PIXELS];

kernel_rows!(pub(super) ROWS = body(t: &Task));

/// Adds `n` products of each pixel's run `x` and the first columns of the packed weights `w`. What is added to further
/// columns does not matter.
///
/// # Safety
/// The instruction set exists; `x` are valid for `n` values, `w` for their groups.
#[inline(always)]
unsafe fn multiply<I: Isa>(
    sums: &mut Sums,
    columns: usize,
    x: [*const i16; PIXELS],
    w: *const i8,
    n: usize,
) {
    // SAFETY: passed on.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if matches!(I::NAME, "avx2" | "avx512") {
            return super::avx2::multiply(sums, columns, x, w, n);
        }
        #[cfg(target_arch = "aarch64")]
        if I::NAME == "neon" {
            return super::neon::multiply(sums, columns, x, w, n);
        }
        plain(sums, columns, x, w, n);
    }
}

/// Two pixels and two columns at a time: what machines with few registers hold.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn plain(sums: &mut Sums, columns: usize, x: [*const i16; PIXELS], w: *const i8, n: usize) {
    for pixel in (0..PIXELS).step_by(2) {
        let (x, y) = (x[pixel], x[pixel + 1]);
        for column in (0..columns).step_by(2) {
            let w = w.wrapping_add(column * GROUP);
            let mut s = [0i32; 4];
            for k in 0..n {
                // SAFETY: the caller's contract: a panel has an even number of columns.
                unsafe {
                    let (x, y) = (i32::from(*x.add(k)), i32::from(*y.add(k)));
                    let w = w.add(k / GROUP * PANEL * GROUP + k % GROUP);
                    let (v, w) = (i32::from(*w), i32::from(*w.add(GROUP)));
                    s[0] = s[0].wrapping_add(x * v);
                    s[1] = s[1].wrapping_add(x * w);
                    s[2] = s[2].wrapping_add(y * v);
                    s[3] = s[3].wrapping_add(y * w);
                }
            }
            for (i, s) in s.into_iter().enumerate() {
                let sum = &mut sums[pixel + i / 2][column + i % 2];
                *sum = sum.wrapping_add(s);
            }
        }
    }
}

/// What the windows of pixels in an output row need: the image, the windows along depth and height, and along width those
/// of each pixel.
#[cfg(arm_dsp)]
pub(super) struct Window {
    pub image: *const i16,
    pub axes: [Axis; 2],
    pub columns: [Axis; crate::quantized::dsp::tile::PIXELS],
}

impl Task {
    /// The same products with all pixels in one row, where the convolution is pointwise.
    pub(super) fn flat(&self) -> Task {
        let mut t = *self;
        if let Some((p, first)) = self.p.flat(self.rows) {
            t.x = t.x.wrapping_add(first * p.in_channels);
            t.rows = (0, 1);
            t.p = p;
        }
        t
    }

    /// The pixel 0 of input row `k` of a window (its planes and rows counted through); none in the padding.
    #[inline(always)]
    pub(super) fn input_row(
        &self,
        image: *const i16,
        axes: &[Axis; 2],
        k: usize,
    ) -> Option<*const i16> {
        let p = &self.p;
        let (kz, ky) = (k / p.kernel[1], k % p.kernel[1]);
        let inside = |a: &Axis, k: usize| (a.taps.0..a.taps.1).contains(&k);
        if !inside(&axes[0], kz) || !inside(&axes[1], ky) {
            return None;
        }
        let at = |d: usize, k: usize| (axes[d].first + (k * p.dilation[d]) as isize) as usize;
        let pixel = (at(0, kz) * p.input[1] + at(1, ky)) * p.input[2];
        Some(image.wrapping_add(pixel * p.in_channels))
    }

    /// Copies the values `from..from + to.len()` of a run whose columns are `axis`, in an input row at the first channel
    /// of a group (none in the padding).
    ///
    /// # Safety
    /// The range lies in the run.
    pub(super) unsafe fn gather(
        &self,
        row: Option<*const i16>,
        axis: Axis,
        from: usize,
        to: &mut [i16],
    ) {
        let p = &self.p;
        let ig = p.in_channels / p.groups;
        let mut done = 0;
        while done < to.len() {
            let (tap, i) = ((from + done) / ig, (from + done) % ig);
            let n = (ig - i).min(to.len() - done);
            let to = &mut to[done..done + n];
            match row {
                Some(row) if (axis.taps.0..axis.taps.1).contains(&tap) => {
                    let at = axis.first + (tap * p.dilation[2]) as isize;
                    // SAFETY: a pixel of the row.
                    unsafe {
                        let x = row.add(at as usize * p.in_channels + i);
                        core::ptr::copy_nonoverlapping(x, to.as_mut_ptr(), n);
                    }
                }
                _ => to.fill(0),
            }
            done += n;
        }
    }
}

/// # Safety
/// `t` passed its check; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    let t = &t.flat();
    let p = &t.p;
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let (panels, run) = (og.div_ceil(PANEL), p.kernel[2] * ig);
    let contiguous = p.kernel[2] == 1 || (p.dilation[2] == 1 && p.groups == 1);
    let rows = p.kernel[0] * p.kernel[1];
    let packed_row = run.next_multiple_of(GROUP);
    let window = rows * packed_row;
    let mut gathered = [[0i16; CHUNK]; PIXELS];
    for row in t.rows.0..t.rows.1 {
        let (image, axes) = t.line(row);
        let line = (row - t.rows.0) * p.output[2];
        for x in (0..p.output[2]).step_by(PIXELS) {
            let pixels = (p.output[2] - x).min(PIXELS);
            let xs: [Axis; PIXELS] = core::array::from_fn(|i| t.axis(2, x + i.min(pixels - 1)));
            let whole = |a: &Axis| a.taps == (0, p.kernel[2]);
            let inside = contiguous && xs.iter().all(whole);
            let direct = inside && (run >= SHORT || rows == 1);
            for block in 0..p.groups * panels {
                let (group, panel) = (block / panels, block % panels);
                let columns = (og - panel * PANEL).min(PANEL);
                let first = group * og + panel * PANEL;
                let mut sums: Sums = [[0; PANEL]; PIXELS];
                let w = t.w.wrapping_add(block * window * PANEL);
                let input = |k: usize| {
                    let row = t.input_row(image, &axes, k);
                    row.map(|row| row.wrapping_add(group * ig))
                };
                // SAFETY: offsets stay inside the extents that the check proved.
                unsafe {
                    for sums in &mut sums {
                        let bias = t.bias.add(first);
                        core::ptr::copy_nonoverlapping(bias, sums.as_mut_ptr(), columns);
                    }
                    if !direct && window <= CHUNK {
                        if panel == 0 {
                            for (to, &x) in gathered.iter_mut().zip(&xs) {
                                for k in 0..rows {
                                    let to = &mut to[k * packed_row..][..run];
                                    t.gather(input(k), x, 0, to);
                                }
                            }
                        }
                        let sources = gathered.each_ref().map(|g| g.as_ptr());
                        multiply::<I>(&mut sums, columns, sources, w, window);
                    } else {
                        for k in 0..rows {
                            let row = input(k);
                            let w = w.add(k * packed_row * PANEL);
                            let Some(from) = row else { continue };
                            if inside {
                                let x = xs.map(|x| from.add(x.first as usize * p.in_channels));
                                multiply::<I>(&mut sums, columns, x, w, run);
                                continue;
                            }
                            for from in (0..run).step_by(CHUNK) {
                                let n = (run - from).min(CHUNK);
                                for (to, &x) in gathered.iter_mut().zip(&xs) {
                                    t.gather(row, x, from, &mut to[..n]);
                                }
                                let sources = gathered.each_ref().map(|g| g.as_ptr());
                                multiply::<I>(&mut sums, columns, sources, w.add(from * PANEL), n);
                            }
                        }
                    }
                    for (i, sums) in sums[..pixels].iter().enumerate() {
                        let at = (line + x + i) * p.out_channels + first;
                        t.store(at, first, &sums[..columns]);
                    }
                }
            }
        }
    }
}
