//! Maximum and average pooling on channels-last tensors.
pub(crate) mod bytes;

use crate::error::{KernelError, at_least, exactly, product};
use crate::isa::{Isa, kernel_rows};
use crate::kernels::Kernels;
use core::ops::Range;

/// What a window yields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PoolKind {
    /// The largest value; padding does not take part.
    Max,
    /// The mean over the window's elements inside the input.
    Average,
    /// The mean over the window's elements inside the padded input.
    AverageIncludePad,
}

/// Shape of a pooling over up to three spatial dimensions of `[batch, depth, height, width, channels]`.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// What a window yields.
    pub kind: PoolKind,
    /// Images.
    pub batch: usize,
    /// Spatial input sizes.
    pub input: [usize; 3],
    /// Channels.
    pub channels: usize,
    /// Spatial output sizes.
    pub output: [usize; 3],
    /// Window sizes.
    pub kernel: [usize; 3],
    /// Steps.
    pub stride: [usize; 3],
    /// Distances of taps.
    pub dilation: [usize; 3],
    /// Padding before.
    pub pad_begin: [usize; 3],
    /// Padding after (counts only for [`PoolKind::AverageIncludePad`]; windows may reach further, as in ceil mode).
    pub pad_end: [usize; 3],
}

impl Pool {
    /// Output rows (batch x depth x height): the unit in which work is split.
    pub const fn rows(&self) -> usize {
        self.batch * self.output[0] * self.output[1]
    }

    pub(crate) fn check(&self, x: usize, y: usize, rows: &Range<usize>) -> Result<(), KernelError> {
        for d in 0..3 {
            if self.stride[d] == 0 || self.dilation[d] == 0 || self.kernel[d] == 0 {
                return Err(KernelError::Parameter);
            }
            product(&[self.output[d], self.stride[d]])?
                .checked_add(product(&[self.kernel[d], self.dilation[d]])?)
                .and_then(|n| n.checked_add(self.pad_begin[d]))
                .and_then(|n| n.checked_add(self.pad_end[d]))
                .and_then(|n| n.checked_add(self.input[d]))
                .ok_or(KernelError::Overflow)?;
        }
        product(&[
            self.batch,
            self.output[0],
            self.output[1],
            self.output[2],
            self.channels,
        ])?;
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(KernelError::Parameter);
        }
        at_least(
            x,
            product(&[
                self.batch,
                self.input[0],
                self.input[1],
                self.input[2],
                self.channels,
            ])?,
        )?;
        exactly(y, product(&[rows.len(), self.output[2], self.channels])?)
    }

    /// Range of the taps of output `o` along dimension `d` that lie inside the input, and how many lie inside the
    /// padded input.
    #[inline(always)]
    pub(crate) fn taps(&self, d: usize, o: usize) -> (usize, usize, usize) {
        let start = o * self.stride[d];
        let pads = (self.pad_begin[d], self.pad_end[d]);
        let (inside, padded) =
            taps_inside(start, self.kernel[d], self.dilation[d], pads, self.input[d]);
        (inside.start, inside.end, padded)
    }
}

/// Range of the taps of a window along one dimension that lie inside an input of `len`, and how many lie inside the
/// input and its padding `pads` (before, after). The window begins at `start`, counted from the first padding; windows
/// that round up reach beyond both. In constant time: a window may be much larger than the input.
///
/// # Panics
/// When `dilation` is zero.
#[inline(always)]
pub fn taps_inside(
    start: usize,
    kernel: usize,
    dilation: usize,
    pads: (usize, usize),
    len: usize,
) -> (Range<usize>, usize) {
    let before = |end: usize| {
        let reach = end.saturating_sub(start);
        // Divisions would be most of the time of a small window.
        let taps = match dilation {
            1 => reach,
            _ => reach.div_ceil(dilation),
        };
        taps.min(kernel)
    };
    let end = pads.0.saturating_add(len);
    (
        before(pads.0)..before(end),
        before(end.saturating_add(pads.1)),
    )
}

/// A validated piece of a pooling; `y` starts at the first row of the range.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub p: Pool,
    pub x: *const f32,
    pub y: *mut f32,
    pub rows: (usize, usize),
}

/// A validated mean over the middle axis of `[batch, pixels, channels]`.
#[derive(Clone, Copy)]
pub(crate) struct GlobalTask {
    pub x: *const f32,
    pub y: *mut f32,
    pub batch: usize,
    pub pixels: usize,
    pub channels: usize,
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));
kernel_rows!(pub(crate) GLOBAL_ROWS = global(t: &GlobalTask));

/// # Safety
/// `t` passed [`Pool::check`]; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: taps lie inside the input.
    unsafe {
        let p = &t.p;
        let c = p.channels;
        let max = p.kind == PoolKind::Max;
        let mut y = t.y;
        for row in t.rows.0..t.rows.1 {
            let (oy, oz, img) = (
                row % p.output[1],
                row / p.output[1] % p.output[0],
                row / p.output[1] / p.output[0],
            );
            let (z0, z1, zc) = p.taps(0, oz);
            let (y0, y1, yc) = p.taps(1, oy);
            for ox in 0..p.output[2] {
                let (x0, x1, xc) = p.taps(2, ox);
                let inside = (z1 - z0) * (y1 - y0) * (x1 - x0);
                let scale = match p.kind {
                    PoolKind::Max => 1.0,
                    PoolKind::Average => 1.0 / inside.max(1) as f32,
                    PoolKind::AverageIncludePad => {
                        1.0 / zc.saturating_mul(yc).saturating_mul(xc).max(1) as f32
                    }
                };
                let scale = I::splat(scale);
                let w = Window {
                    z: z0..z1,
                    y: y0..y1,
                    x: x0..x1,
                    at: [oz, oy, ox],
                    image: img,
                };
                let mut ch = 0;
                while ch + 4 * I::LANES <= c {
                    reduce::<I, 4>(t, &w, max, scale, y, ch, I::LANES);
                    ch += 4 * I::LANES;
                }
                while ch < c {
                    let n = (c - ch).min(I::LANES);
                    reduce::<I, 1>(t, &w, max, scale, y, ch, n);
                    ch += n;
                }
                y = y.add(c);
            }
        }
    }
}

/// The taps of one output that lie inside the input.
struct Window {
    z: Range<usize>,
    y: Range<usize>,
    x: Range<usize>,
    at: [usize; 3],
    image: usize,
}

/// N vectors of channels from `ch`, of which the last has `n` lanes.
#[inline(always)]
unsafe fn reduce<I: Isa, const N: usize>(
    t: &Task,
    w: &Window,
    max: bool,
    scale: I::V,
    y: *mut f32,
    ch: usize,
    n: usize,
) {
    // SAFETY: taps lie inside the input.
    unsafe {
        let p = &t.p;
        let c = p.channels;
        let mut acc = [I::splat(if max { f32::NEG_INFINITY } else { 0.0 }); N];
        if !w.x.is_empty() {
            let ix = w.at[2] * p.stride[2] + w.x.start * p.dilation[2] - p.pad_begin[2];
            for kz in w.z.start..w.z.end {
                let iz = w.at[0] * p.stride[0] + kz * p.dilation[0] - p.pad_begin[0];
                for ky in w.y.start..w.y.end {
                    let iy = w.at[1] * p.stride[1] + ky * p.dilation[1] - p.pad_begin[1];
                    let a = t.x.add(
                        (((w.image * p.input[0] + iz) * p.input[1] + iy) * p.input[2] + ix) * c
                            + ch,
                    );
                    for kx in 0..w.x.end - w.x.start {
                        let a = a.add(kx * p.dilation[2] * c);
                        for j in 0..N {
                            let a = a.add(j * I::LANES);
                            let v = if N > 1 || n == I::LANES {
                                I::load(a)
                            } else {
                                I::load_partial(a, n)
                            };
                            acc[j] = if max {
                                I::max(acc[j], v)
                            } else {
                                I::add(acc[j], v)
                            };
                        }
                    }
                }
            }
        }
        for j in 0..N {
            let v = if max { acc[j] } else { I::mul(acc[j], scale) };
            let to = y.add(ch + j * I::LANES);
            if N > 1 || n == I::LANES {
                I::store(to, v)
            } else {
                I::store_partial(to, v, n)
            }
        }
    }
}

/// # Safety
/// `x` holds `batch * pixels * channels` elements, `y` `batch * channels`; the instruction set exists.
#[inline(always)]
unsafe fn global<I: Isa>(t: &GlobalTask) {
    // SAFETY: indices stay inside the tensors.
    unsafe {
        let c = t.channels;
        let scale = I::splat(1.0 / t.pixels.max(1) as f32);
        for b in 0..t.batch {
            let x = t.x.add(b * t.pixels * c);
            let y = t.y.add(b * c);
            let mut ch = 0;
            while ch + 4 * I::LANES <= c {
                let mut acc = [I::splat(0.0); 4];
                for i in 0..t.pixels {
                    for j in 0..4 {
                        acc[j] = I::add(acc[j], I::load(x.add(i * c + ch + j * I::LANES)));
                    }
                }
                for j in 0..4 {
                    I::store(y.add(ch + j * I::LANES), I::mul(acc[j], scale));
                }
                ch += 4 * I::LANES;
            }
            while ch < c {
                let n = (c - ch).min(I::LANES);
                let mut acc = I::splat(0.0);
                for i in 0..t.pixels {
                    let p = x.add(i * c + ch);
                    acc = I::add(
                        acc,
                        if n == I::LANES {
                            I::load(p)
                        } else {
                            I::load_partial(p, n)
                        },
                    );
                }
                let v = I::mul(acc, scale);
                if n == I::LANES {
                    I::store(y.add(ch), v)
                } else {
                    I::store_partial(y.add(ch), v, n)
                }
                ch += n;
            }
        }
    }
}

impl Kernels {
    /// Pools `x` `[batch, d, h, w, channels]` for the output rows `rows` (of [`Pool::rows`]); `y` holds exactly those:
    /// `rows.len() * output[2] * channels` elements. A window without an element inside the input yields -inf or 0.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit the shape.
    pub fn pool(
        &self,
        p: &Pool,
        x: &[f32],
        y: &mut [f32],
        rows: Range<usize>,
    ) -> Result<(), KernelError> {
        p.check(x.len(), y.len(), &rows)?;
        // SAFETY: checked above.
        unsafe {
            self.row(ROWS)(&Task {
                p: *p,
                x: x.as_ptr(),
                y: y.as_mut_ptr(),
                rows: (rows.start, rows.end),
            })
        };
        Ok(())
    }

    /// Mean over the middle axis of `[batch, pixels, channels]`.
    ///
    /// # Errors
    /// [`KernelError::Length`] when a slice does not fit the shape.
    pub fn global_average(
        &self,
        batch: usize,
        pixels: usize,
        channels: usize,
        x: &[f32],
        y: &mut [f32],
    ) -> Result<(), KernelError> {
        exactly(x.len(), product(&[batch, pixels, channels])?)?;
        exactly(y.len(), product(&[batch, channels])?)?;
        // SAFETY: checked above.
        unsafe {
            self.row(GLOBAL_ROWS)(&GlobalTask {
                x: x.as_ptr(),
                y: y.as_mut_ptr(),
                batch,
                pixels,
                channels,
            })
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same as [`Pool::taps`], tap by tap.
    fn counted(p: &Pool, o: usize) -> (usize, usize) {
        let at = |k: usize| o * p.stride[2] + k * p.dilation[2];
        let (begin, end) = (p.pad_begin[2], p.pad_begin[2] + p.input[2]);
        let inside = (0..p.kernel[2]).filter(|&k| (begin..end).contains(&at(k)));
        let padded = (0..p.kernel[2]).filter(|&k| at(k) < end + p.pad_end[2]);
        (inside.count(), padded.count())
    }

    fn window(kernel: usize, stride: usize, dilation: usize, pads: (usize, usize)) -> Pool {
        Pool {
            kind: PoolKind::AverageIncludePad,
            batch: 1,
            input: [1, 1, 5],
            channels: 1,
            output: [1, 1, 1],
            kernel: [1, 1, kernel],
            stride: [1, 1, stride],
            dilation: [1, 1, dilation],
            pad_begin: [0, 0, pads.0],
            pad_end: [0, 0, pads.1],
        }
    }

    #[test]
    fn taps_are_those_inside() {
        for kernel in 1..9 {
            for (stride, dilation) in [(1, 1), (2, 1), (3, 2), (1, 7)] {
                for pads in [(0, 0), (3, 0), (0, 4), (6, 2)] {
                    let p = window(kernel, stride, dilation, pads);
                    for o in 0..12 {
                        let (first, last, padded) = p.taps(2, o);
                        assert_eq!((last - first, padded), counted(&p, o), "{p:?} at {o}");
                        if first < last {
                            let at = |k: usize| o * stride + k * dilation;
                            assert!(at(first) >= pads.0 && at(last - 1) < pads.0 + 5);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn absurd_windows_end_soon() {
        let p = Pool {
            kernel: [1 << 30; 3],
            ..window(1, 1, 1, (0, 0))
        };
        let mut y = [0.0];
        Kernels::for_features(crate::Features::NONE)
            .pool(&p, &[1., 2., 3., 4., 5.], &mut y, 0..1)
            .unwrap();
        assert_eq!(y, [3.0]);
    }
}
