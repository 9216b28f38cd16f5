//! Plain Rust: the definition that every other body repeats bit for bit, and what machines without vectors run.
use super::{GROUP, Requantize, Sum, Task};
use crate::gemm::PANEL;

/// `clamp(round_half_even(v), low - zero..=high - zero) + zero`; the lower bound of a NaN.
#[inline(always)]
fn bounded(v: f32, zero: i32, low: i32, high: i32) -> i32 {
    let (low, high) = ((low - zero) as f32, (high - zero) as f32);
    let v = if v > low { v } else { low };
    let v = if v < high { v } else { high };
    libm::rintf(v) as i32 + zero
}

impl Requantize {
    /// The result of a sum, and of the residual's byte when there is one.
    #[inline(always)]
    pub(super) fn apply(&self, sum: i32, multiplier: f32, residual: Option<u8>) -> u8 {
        let q = bounded(sum as f32 * multiplier, self.zero, self.low, self.high);
        match residual {
            None => q as u8,
            Some(r) => self.sum.apply(q - self.zero, r),
        }
    }
}

impl Sum {
    #[inline(always)]
    fn apply(&self, q: i32, residual: u8) -> u8 {
        let r = if self.residual_signed {
            residual as i8 as i32
        } else {
            residual as i32
        };
        let v = q as f32 * self.own + (r - self.residual_zero) as f32 * self.other;
        bounded(v, self.zero, self.low, self.high) as u8
    }
}

/// An output row of a task: its image, its first input coordinates along depth and height, and where it lies.
struct Line {
    image: *const u8,
    z: i32,
    y: i32,
    at: usize,
}

impl Task {
    fn line(&self, row: usize) -> Line {
        let p = &self.p.conv;
        let image = p.input[0] * p.input[1] * p.input[2] * p.in_channels;
        let (y, rest) = (row % p.output[1], row / p.output[1]);
        let (z, n) = (rest % p.output[0], rest / p.output[0]);
        Line {
            image: self.x.wrapping_add(n * image),
            z: (z * p.stride[0]) as i32 - p.pad_begin[0] as i32,
            y: (y * p.stride[1]) as i32 - p.pad_begin[1] as i32,
            at: (row - self.rows.0) * p.output[2] * p.out_channels,
        }
    }

    /// The input pixel of tap `k` of the output at `x` of a line; `None` in the padding.
    #[inline(always)]
    fn source(&self, line: &Line, x: usize, k: [usize; 3]) -> Option<*const u8> {
        let p = &self.p.conv;
        let at = |d: usize, first: i32| {
            let at = first + (k[d] * p.dilation[d]) as i32;
            (at >= 0 && (at as usize) < p.input[d]).then_some(at as usize)
        };
        let first = (x * p.stride[2]) as i32 - p.pad_begin[2] as i32;
        let (z, y, x) = (at(0, line.z)?, at(1, line.y)?, at(2, first)?);
        let pixel = (z * p.input[1] + y) * p.input[2] + x;
        Some(line.image.wrapping_add(pixel * p.in_channels))
    }

    /// The input's byte as a signed value.
    #[inline(always)]
    fn value(&self, byte: u8) -> i32 {
        if self.p.signed {
            byte as i8 as i32
        } else {
            byte as i32 - 128
        }
    }

    /// # Safety
    /// `at` and `o` are an output's position in the task and its channel.
    #[inline(always)]
    unsafe fn finish(&self, at: usize, o: usize, sum: i32) {
        // SAFETY: the task passed its check, and the caller's contract.
        unsafe {
            let residual = if self.residual.is_null() {
                None
            } else {
                Some(*self.residual.add(at))
            };
            let q = self
                .p
                .requantize
                .apply(sum, *self.multiplier.add(o), residual);
            *self.y.add(at) = q;
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`].
pub(super) unsafe fn dense(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p.conv;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let panels = og.div_ceil(PANEL);
        let run = p.packed_row() * PANEL;
        let panel_len = p.kernel[0] * p.kernel[1] * run;
        let zero = t.value(t.p.x_zero);
        for row in t.rows.0..t.rows.1 {
            let line = t.line(row);
            for x in 0..p.output[2] {
                for g in 0..p.groups {
                    for panel in 0..panels {
                        let first = g * og + panel * PANEL;
                        let columns = (og - panel * PANEL).min(PANEL);
                        let mut sums = [0i32; PANEL];
                        for c in 0..columns {
                            sums[c] = *t.start.add(first + c);
                        }
                        let mut w = t.w.add((g * panels + panel) * panel_len);
                        for kz in 0..p.kernel[0] {
                            for ky in 0..p.kernel[1] {
                                for kx in 0..p.kernel[2] {
                                    let from = t.source(&line, x, [kz, ky, kx]);
                                    for i in 0..ig {
                                        let v = match from {
                                            Some(from) => t.value(*from.add(g * ig + i)),
                                            None => zero,
                                        };
                                        let k = kx * ig + i;
                                        let w = w.add(k / GROUP * PANEL * GROUP + k % GROUP);
                                        for c in 0..columns {
                                            let product = v * *w.add(c * GROUP) as i32;
                                            sums[c] = sums[c].wrapping_add(product);
                                        }
                                    }
                                }
                                w = w.add(run);
                            }
                        }
                        let at = line.at + x * p.out_channels + first;
                        for c in 0..columns {
                            t.finish(at + c, first + c, sums[c]);
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// `t` passed [`super::QuantizedConv::check`] for a depthwise convolution.
pub(super) unsafe fn depthwise(t: &Task) {
    // SAFETY: offsets stay inside the extents that `check` proved.
    unsafe {
        let p = &t.p.conv;
        let c = p.out_channels;
        let zero = t.value(t.p.x_zero);
        for row in t.rows.0..t.rows.1 {
            let line = t.line(row);
            for x in 0..p.output[2] {
                let at = line.at + x * c;
                let mut first = 0;
                while first < c {
                    let columns = (c - first).min(PANEL);
                    let mut sums = [0i32; PANEL];
                    for i in 0..columns {
                        sums[i] = *t.start.add(first + i);
                    }
                    let mut w = t.w.add(first);
                    for kz in 0..p.kernel[0] {
                        for ky in 0..p.kernel[1] {
                            for kx in 0..p.kernel[2] {
                                let from = t.source(&line, x, [kz, ky, kx]);
                                for i in 0..columns {
                                    let v = match from {
                                        Some(from) => t.value(*from.add(first + i)),
                                        None => zero,
                                    };
                                    sums[i] = sums[i].wrapping_add(v * *w.add(i) as i32);
                                }
                                w = w.wrapping_add(c);
                            }
                        }
                    }
                    for i in 0..columns {
                        t.finish(at + first + i, first + i, sums[i]);
                    }
                    first += columns;
                }
            }
        }
    }
}
