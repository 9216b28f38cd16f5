//! Gradients of depthwise convolutions.
use crate::conv::Conv;
use crate::isa::{Isa, kernel_rows};

/// Taps that a pixel of the input has at most on the fast path.
const MAX_TAPS: usize = 32;

kernel_rows!(pub(crate) INPUT_ROWS = input(p: &Conv, dy: *const f32, w: *const f32, dx: *mut f32, begin: usize, end: usize));
kernel_rows!(pub(crate) WEIGHTS_ROWS = weights(p: &Conv, x: *const f32, dy: *const f32, dw: *mut f32, begin: usize, end: usize));

/// The output index that tap `k` of input `i` belongs to, if there is one.
#[inline(always)]
fn output_of(i: usize, k: usize, d: usize, p: &Conv) -> Option<usize> {
    let at = (i + p.pad_begin[d]).checked_sub(k * p.dilation[d])?;
    (at.is_multiple_of(p.stride[d]) && at / p.stride[d] < p.output[d]).then_some(at / p.stride[d])
}

/// Calls `$f` with the vector operations of a whole vector, then of the rest of the channels.
macro_rules! by_vector {
    ($I:ident, $c:expr, |$at:ident, $load:ident, $store:ident| $body:block) => {{
        let mut $at = 0;
        macro_rules! $load {
            ($p:expr) => {
                $I::load($p)
            };
        }
        macro_rules! $store {
            ($p:expr, $v:expr) => {
                $I::store($p, $v)
            };
        }
        while $at + $I::LANES <= $c {
            $body
            $at += $I::LANES;
        }
        if $at < $c {
            let left = $c - $at;
            macro_rules! $load {
                ($p:expr) => {
                    $I::load_partial($p, left)
                };
            }
            macro_rules! $store {
                ($p:expr, $v:expr) => {
                    $I::store_partial($p, $v, left)
                };
            }
            $body
        }
    }};
}
pub(crate) use by_vector;

#[inline(always)]
unsafe fn input<I: Isa>(
    p: &Conv,
    dy: *const f32,
    w: *const f32,
    dx: *mut f32,
    begin: usize,
    end: usize,
) {
    // SAFETY: the caller checked slices against the shape; taps outside the output are left out.
    unsafe {
        let c = p.in_channels;
        let (h, width) = (p.input[1], p.input[2]);
        for row in begin..end {
            let (iy, image) = (row % h, row / h);
            for ix in 0..width {
                let out = dx.add(((row - begin) * width + ix) * c);
                let mut taps = [(dy, w); MAX_TAPS];
                let mut n = 0;
                let mut first = true;
                for ky in 0..p.kernel[1] {
                    let Some(oy) = output_of(iy, ky, 1, p) else {
                        continue;
                    };
                    for kx in 0..p.kernel[2] {
                        let Some(ox) = output_of(ix, kx, 2, p) else {
                            continue;
                        };
                        if n == MAX_TAPS {
                            sum::<I>(&taps, c, out, first);
                            (n, first) = (0, false);
                        }
                        let pixel = (image * p.output[1] + oy) * p.output[2] + ox;
                        taps[n] = (dy.add(pixel * c), w.add((ky * p.kernel[2] + kx) * c));
                        n += 1;
                    }
                }
                sum::<I>(&taps[..n], c, out, first);
            }
        }
    }
}

/// `out = sum of products of the taps`, or added to `out` unless it is the `first` sum.
#[inline(always)]
unsafe fn sum<I: Isa>(taps: &[(*const f32, *const f32)], c: usize, out: *mut f32, first: bool) {
    // SAFETY: every pointer has `c` elements.
    unsafe {
        by_vector!(I, c, |at, load, store| {
            let mut acc = if first {
                I::splat(0.0)
            } else {
                load!(out.add(at))
            };
            for (dy, w) in taps {
                acc = I::fma(load!(dy.add(at)), load!(w.add(at)), acc);
            }
            store!(out.add(at), acc);
        });
    }
}

#[inline(always)]
unsafe fn weights<I: Isa>(
    p: &Conv,
    x: *const f32,
    dy: *const f32,
    dw: *mut f32,
    begin: usize,
    end: usize,
) {
    // SAFETY: the caller checked slices against the shape; taps in the padding are left out.
    unsafe {
        let c = p.in_channels;
        let (oh, ow, kw) = (p.output[1], p.output[2], p.kernel[2]);
        let (stride, pad) = (p.stride[2], p.pad_begin[2]);
        // Outputs whose whole window lies inside the line.
        let reach = (kw - 1) * p.dilation[2];
        let first = pad.div_ceil(stride).min(ow);
        let last = (p.input[2] + pad)
            .checked_sub(reach + 1)
            .map_or(0, |start| start / stride + 1)
            .clamp(first, ow);
        for row in begin..end {
            let (oy, image) = (row % oh, row / oh);
            let dy = dy.add(row * ow * c);
            for ky in 0..p.kernel[1] {
                let iy = (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                if iy >= p.input[1] {
                    continue;
                }
                let x = x.add((image * p.input[1] + iy) * p.input[2] * c);
                let dw = dw.add(ky * kw * c);
                let inside = if first < last {
                    x.add((first * stride - pad) * c)
                } else {
                    x
                };
                let span = (dy.add(first * c), last - first);
                match (kw, p.dilation[2]) {
                    (3, 1) => line::<I, 3>(inside, stride * c, span, dw, c),
                    (5, 1) => line::<I, 5>(inside, stride * c, span, dw, c),
                    _ => {
                        for kx in 0..kw {
                            let x = inside.wrapping_add(kx * p.dilation[2] * c);
                            line::<I, 1>(x, stride * c, span, dw.add(kx * c), c);
                        }
                    }
                }
                for ox in (0..first).chain(last..ow) {
                    for kx in 0..kw {
                        let ix = (ox * stride + kx * p.dilation[2]).wrapping_sub(pad);
                        if ix < p.input[2] {
                            let span = (dy.add(ox * c), 1);
                            line::<I, 1>(x.add(ix * c), 0, span, dw.add(kx * c), c);
                        }
                    }
                }
            }
        }
    }
}

/// `dw[k][c] += sum over n outputs of x[step * i + k * c + c] * dy[i * c + c]` for `KW` neighbouring taps.
#[inline(always)]
unsafe fn line<I: Isa, const KW: usize>(
    x: *const f32,
    step: usize,
    (dy, n): (*const f32, usize),
    dw: *mut f32,
    c: usize,
) {
    // SAFETY: the caller's spans lie inside the line of the input and of the output.
    unsafe {
        by_vector!(I, c, |at, load, store| {
            let mut acc = [I::splat(0.0); KW];
            let (mut x, mut dy) = (x.add(at), dy.add(at));
            for _ in 0..n {
                let g = load!(dy);
                for k in 0..KW {
                    acc[k] = I::fma(load!(x.add(k * c)), g, acc[k]);
                }
                x = x.wrapping_add(step);
                dy = dy.wrapping_add(c);
            }
            for k in 0..KW {
                let to = dw.add(k * c + at);
                store!(to, I::add(load!(to), acc[k]));
            }
        });
    }
}
