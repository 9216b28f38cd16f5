//! Depthwise convolution on channels-last tensors: weights `[taps][C]`, several output pixels times a channel vector.
#[cfg(target_arch = "aarch64")]
mod neon;

use crate::conv::Task;
use crate::gemm::tile::offset;
use crate::isa::{Isa, kernel_rows};
use core::ops::Range;

kernel_rows!(pub(crate) ROWS = body(t: &Task), neon = neon::body);

/// # Safety
/// `t` passed [`crate::conv::Conv::check`] for depthwise weights; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: passed on.
    unsafe { windows::<I, true>(t) }
}

/// Without `THREE`, windows three wide take the general path: the instruction set has them elsewhere.
#[inline(always)]
unsafe fn windows<I: Isa, const THREE: bool>(t: &Task) {
    // SAFETY: each row handles coordinates inside the input only.
    unsafe {
        let p = &t.p;
        let (kw, stride, ow) = (p.kernel[2], p.stride[2], p.output[2]);
        // What the last window needs beyond the input.
        let beyond = ((ow.max(1) - 1) * stride + kw).saturating_sub(p.input[2] + p.pad_begin[2]);
        // Narrow rows, spread taps, wide padding and very tall kernels take the general path.
        let plain = p.dilation[2] == 1
            && ow >= 4
            && p.input[2] >= kw
            && p.pad_begin[2] <= kw / 2
            && beyond <= kw / 2
            && p.kernel[0] * p.kernel[1] <= MAX_LINES;
        // Long blocks hide the latency of the multiply-add and reuse weights; outputs computed twice cost.
        let cost = |p: usize| ow.div_ceil(p) * (p + 2);
        // Plain Rust is for want of better: one length keeps it small.
        let long = if ow < 7 || I::MR < 3 {
            4
        } else if ow < 8 || cost(7) <= cost(8) {
            7
        } else {
            8
        };
        match (kw, stride, plain, long) {
            (3, 1, true, 8) if THREE => image::<I, 3, 1, 8>(t),
            (3, 1, true, 7) if THREE => image::<I, 3, 1, 7>(t),
            (3, 1, true, _) if THREE => image::<I, 3, 1, 4>(t),
            (3, 2, true, 8) if THREE => image::<I, 3, 2, 8>(t),
            (3, 2, true, 7) if THREE => image::<I, 3, 2, 7>(t),
            (3, 2, true, _) if THREE => image::<I, 3, 2, 4>(t),
            (5, 1, true, 8) => image::<I, 5, 1, 8>(t),
            (5, 1, true, 7) => image::<I, 5, 1, 7>(t),
            (5, 1, true, _) => image::<I, 5, 1, 4>(t),
            (5, 2, true, 8) => image::<I, 5, 2, 8>(t),
            (5, 2, true, 7) => image::<I, 5, 2, 7>(t),
            (5, 2, true, _) => image::<I, 5, 2, 4>(t),
            _ => image::<I, 0, 1, 1>(t),
        }
    }
}

/// Floats of input that the channels of one pass should touch, to stay in the first-level cache with their weights.
const PASS: usize = 4096;

/// Kernel rows that a row of outputs sees, gathered once per output row.
const MAX_LINES: usize = 32;

struct Lines {
    x: [*const f32; MAX_LINES],
    w: [*const f32; MAX_LINES],
    n: usize,
}

/// `KW == 0` is the general case.
#[inline(always)]
unsafe fn image<I: Isa, const KW: usize, const S: usize, const P: usize>(t: &Task) {
    // SAFETY: only lines inside the input are gathered, and only interior pixels use the blocked path.
    unsafe {
        let p = &t.p;
        let c = p.in_channels;
        let ow = p.output[2];
        let kw = p.kernel[2];
        let (lo, hi, rest) = p.activation.split();
        // Outputs whose whole window lies inside the row.
        let first = p.pad_begin[2].div_ceil(p.stride[2]).min(ow);
        let last_start = (p.input[2] + p.pad_begin[2]).checked_sub((kw - 1) * p.dilation[2] + 1);
        let last = last_start
            .map_or(0, |s| s / p.stride[2] + 1)
            .clamp(first, ow);
        let pass = (PASS / (p.kernel[0] * p.kernel[1] * p.input[2]).max(1) / 16 * 16).max(16);
        for row in t.rows.0..t.rows.1 {
            let (oy, oz, img) = (
                row % p.output[1],
                row / p.output[1] % p.output[0],
                row / p.output[1] / p.output[0],
            );
            let at = (row - t.rows.0) * ow * c;
            let y = t.y.add(at);
            let residual = if t.residual.is_null() {
                t.residual
            } else {
                t.residual.add(at)
            };
            let mut lines = Lines {
                x: [t.x; MAX_LINES],
                w: [t.w; MAX_LINES],
                n: 0,
            };
            let mut more = false;
            for kz in 0..p.kernel[0] {
                let z = (oz * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                if z >= p.input[0] {
                    continue;
                }
                for ky in 0..p.kernel[1] {
                    let iy = (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    if iy >= p.input[1] {
                        continue;
                    }
                    if lines.n == MAX_LINES {
                        more = true;
                        break;
                    }
                    lines.x[lines.n] =
                        t.x.add(((img * p.input[0] + z) * p.input[1] + iy) * p.input[2] * c);
                    lines.w[lines.n] = t.w.add((kz * p.kernel[1] + ky) * kw * c);
                    lines.n += 1;
                }
            }
            if KW == 0 && more {
                // More kernel rows than the list holds: every pixel works its taps out.
                for ox in 0..ow {
                    far::<I>(
                        t,
                        img,
                        oz,
                        oy,
                        ox,
                        y.add(ox * c),
                        offset(residual, ox * c),
                        lo,
                        hi,
                    );
                }
            } else {
                let mut ox = 0;
                // A pass covers the row for some channels: neighbouring blocks share columns, which stay in the cache.
                let mut ch = 0;
                while KW > 0 && ch < c {
                    let end = (ch + pass).min(c);
                    let mut ox = 0;
                    // The last block steps back to stay inside the row: a few outputs are computed twice.
                    while ox < ow {
                        let o = ox.min(ow - P);
                        let (y, residual) = (y.add(o * c), offset(residual, o * c));
                        if o >= first && o + P <= last {
                            block::<I, KW, S, P, false>(t, &lines, o, ch..end, y, residual, lo, hi);
                        } else {
                            block::<I, KW, S, P, true>(t, &lines, o, ch..end, y, residual, lo, hi);
                        }
                        ox += P;
                    }
                    ch = end;
                }
                while KW == 0 && ox < ow {
                    edge::<I>(
                        t,
                        &lines,
                        ox,
                        y.add(ox * c),
                        offset(residual, ox * c),
                        lo,
                        hi,
                    );
                    ox += 1;
                }
            }
            if let Some(act) = rest {
                (t.finish)(act, y, c, ow, c);
            }
        }
    }
}

#[inline(always)]
unsafe fn load<I: Isa>(p: *const f32, n: usize) -> I::V {
    // SAFETY: `n` elements are valid.
    unsafe {
        if n >= I::LANES {
            I::load(p)
        } else {
            I::load_partial(p, n)
        }
    }
}

#[inline(always)]
unsafe fn finish<I: Isa>(v: I::V, residual: *const f32, y: *mut f32, n: usize, lo: f32, hi: f32) {
    // SAFETY: `n` elements are valid.
    unsafe {
        let v = if residual.is_null() {
            v
        } else {
            I::add(v, load::<I>(residual, n))
        };
        let v = I::min(I::splat(hi), I::max(I::splat(lo), v));
        if n >= I::LANES {
            I::store(y, v)
        } else {
            I::store_partial(y, v, n)
        }
    }
}

/// Bases of the columns of a block, three columns each: at most 8 outputs, stride 2, 5 taps.
const BASES: usize = 7;

/// P neighbouring outputs from `ox` for some channels; with `EDGE`, the first and last columns may lie outside the row
/// (as many as half a kernel) and are left out.
#[inline(always)]
unsafe fn block<I: Isa, const KW: usize, const S: usize, const P: usize, const EDGE: bool>(
    t: &Task,
    lines: &Lines,
    ox: usize,
    channels: Range<usize>,
    y: *mut f32,
    residual: *const f32,
    lo: f32,
    hi: f32,
) {
    // SAFETY: only columns inside the input are read, `ch` stays inside the channels.
    unsafe {
        let c = t.p.in_channels;
        let columns = (P - 1) * S + KW;
        // Column i of the block is input column `ox * S - pad + i`; those in from..to lie inside.
        let from = t.p.pad_begin[2].saturating_sub(ox * S);
        let to = (t.p.input[2] + t.p.pad_begin[2])
            .saturating_sub(ox * S)
            .min(columns);
        let off = (ox * S).wrapping_sub(t.p.pad_begin[2]).wrapping_mul(c);
        let (lo, hi) = (I::splat(lo), I::splat(hi));
        let mut ch = channels.start;
        while ch < channels.end {
            let n = channels.end - ch;
            let bias = if t.bias.is_null() {
                I::splat(0.0)
            } else {
                load::<I>(t.bias.add(ch), n)
            };
            let mut acc = [bias; P];
            let full = n >= I::LANES;
            for l in 0..lines.n {
                let x = lines.x[l].wrapping_add(off.wrapping_add(ch));
                let w = lines.w[l].add(ch);
                if full {
                    let mut wv = [bias; KW];
                    for k in 0..KW {
                        wv[k] = I::load(w.add(k * c));
                    }
                    // Three columns from each base: [base], [base + c], [base + 2c] are addressing modes.
                    let mut base = [x; BASES];
                    for j in 1..BASES {
                        base[j] = base[j - 1].wrapping_add(3 * c);
                    }
                    // Taps outermost: consecutive multiply-adds are independent.
                    for k in 0..KW {
                        for o in 0..P {
                            let i = o * S + k;
                            let border = i < KW / 2 || i + KW / 2 >= (P - 1) * S + KW;
                            if EDGE && border && (i < from || i >= to) {
                                continue;
                            }
                            let xv = I::load(base[i / 3].wrapping_add(i % 3 * c));
                            acc[o] = I::fma(xv, wv[k], acc[o]);
                        }
                    }
                } else {
                    rest::<I, KW, S, P>(&mut acc, x, w, c, n, from..to);
                }
            }
            for o in 0..P {
                let at = o * c + ch;
                let mut v = acc[o];
                if !residual.is_null() {
                    v = I::add(v, load::<I>(residual.add(at), n));
                }
                let v = I::min(hi, I::max(lo, v));
                if full {
                    I::store(y.add(at), v)
                } else {
                    I::store_partial(y.add(at), v, n)
                }
            }
            ch += I::LANES;
        }
    }
}

/// One kernel row for the last `n` channels, fewer than a vector, of a block.
#[inline(always)]
unsafe fn rest<I: Isa, const KW: usize, const S: usize, const P: usize>(
    acc: &mut [I::V; P],
    x: *const f32,
    w: *const f32,
    c: usize,
    n: usize,
    inside: Range<usize>,
) {
    // SAFETY: as for `block`.
    unsafe {
        for o in 0..P {
            for k in 0..KW {
                let i = o * S + k;
                if inside.contains(&i) {
                    let (xv, wv) = (
                        I::load_partial(x.wrapping_add(i * c), n),
                        I::load_partial(w.add(k * c), n),
                    );
                    acc[o] = I::fma(xv, wv, acc[o]);
                }
            }
        }
    }
}

/// One output whose window may leave the row; any kernel width, dilation and stride.
#[inline(always)]
unsafe fn edge<I: Isa>(
    t: &Task,
    lines: &Lines,
    ox: usize,
    y: *mut f32,
    residual: *const f32,
    lo: f32,
    hi: f32,
) {
    // SAFETY: taps outside the row are left out.
    unsafe {
        let p = &t.p;
        let c = p.in_channels;
        let mut ch = 0;
        while ch < c {
            let n = c - ch;
            let mut acc = if t.bias.is_null() {
                I::splat(0.0)
            } else {
                load::<I>(t.bias.add(ch), n)
            };
            for l in 0..lines.n {
                for k in 0..p.kernel[2] {
                    let ix = (ox * p.stride[2] + k * p.dilation[2]).wrapping_sub(p.pad_begin[2]);
                    if ix < p.input[2] {
                        acc = I::fma(
                            load::<I>(lines.x[l].add(ix * c + ch), n),
                            load::<I>(lines.w[l].add(k * c + ch), n),
                            acc,
                        );
                    }
                }
            }
            finish::<I>(acc, offset(residual, ch), y.add(ch), n, lo, hi);
            ch += I::LANES;
        }
    }
}

/// One output with all its coordinates worked out here.
#[inline(always)]
unsafe fn far<I: Isa>(
    t: &Task,
    img: usize,
    oz: usize,
    oy: usize,
    ox: usize,
    y: *mut f32,
    residual: *const f32,
    lo: f32,
    hi: f32,
) {
    // SAFETY: taps outside the input are left out.
    unsafe {
        let p = &t.p;
        let c = p.in_channels;
        let mut ch = 0;
        while ch < c {
            let n = c - ch;
            let mut acc = if t.bias.is_null() {
                I::splat(0.0)
            } else {
                load::<I>(t.bias.add(ch), n)
            };
            for kz in 0..p.kernel[0] {
                let z = (oz * p.stride[0] + kz * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                for ky in 0..p.kernel[1] {
                    let iy = (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                    if z >= p.input[0] || iy >= p.input[1] {
                        continue;
                    }
                    for k in 0..p.kernel[2] {
                        let ix =
                            (ox * p.stride[2] + k * p.dilation[2]).wrapping_sub(p.pad_begin[2]);
                        if ix < p.input[2] {
                            let x = t.x.add(
                                (((img * p.input[0] + z) * p.input[1] + iy) * p.input[2] + ix) * c
                                    + ch,
                            );
                            let w =
                                t.w.add(((kz * p.kernel[1] + ky) * p.kernel[2] + k) * c + ch);
                            acc = I::fma(load::<I>(x, n), load::<I>(w, n), acc);
                        }
                    }
                }
            }
            finish::<I>(acc, offset(residual, ch), y.add(ch), n, lo, hi);
            ch += I::LANES;
        }
    }
}
