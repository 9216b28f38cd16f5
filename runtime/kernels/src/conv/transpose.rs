//! Transposed convolution (gradient of a convolution with respect to its input).
use crate::conv::{Conv, Task};
use crate::gemm::PANEL;
use crate::isa::{Isa, kernel_rows};

/// Elements of the packed weights `[groups][ceil(Og / 16)][taps * Ig][16]`, the same form as a convolution's, with the
/// kernel not flipped: tap t adds `x[i] * w[t]` to output `i * stride - pad_begin + t * dilation`.
pub const fn packed_len(p: &Conv) -> usize {
    p.packed_len()
}

kernel_rows!(pub(crate) ROWS = body(t: &Task));

/// The input index that tap `k` brings to output `o`, if any.
#[inline(always)]
fn source(
    o: usize,
    pad: usize,
    k: usize,
    dilation: usize,
    stride: usize,
    len: usize,
) -> Option<usize> {
    let at = (o + pad).checked_sub(k * dilation)?;
    (at.is_multiple_of(stride) && at / stride < len).then_some(at / stride)
}

/// Gathers: every output pixel sums the taps that reach it, 16 output channels in registers.
///
/// # Safety
/// `t` passed [`Conv::check`]; the instruction set exists.
#[inline(always)]
unsafe fn body<I: Isa>(t: &Task) {
    // SAFETY: `source` yields indices inside the input; panels lie inside the packed weights.
    unsafe {
        let p = &t.p;
        let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
        let taps = p.kernel[0] * p.kernel[1] * p.kernel[2];
        let panels = og.div_ceil(PANEL);
        let (lo, hi, rest) = p.activation.split();
        let mut y = t.y;
        for row in t.rows.0..t.rows.1 {
            let (oy, oz, img) = (
                row % p.output[1],
                row / p.output[1] % p.output[0],
                row / p.output[1] / p.output[0],
            );
            for ox in 0..p.output[2] {
                for g in 0..p.groups {
                    for panel in 0..panels {
                        let cols = (og - panel * PANEL).min(PANEL);
                        let w = t.w.add((g * panels + panel) * taps * ig * PANEL);
                        let mut acc = [I::splat(0.0); PANEL];
                        let nv = PANEL / I::LANES;
                        for kz in 0..p.kernel[0] {
                            let Some(z) = source(
                                oz,
                                p.pad_begin[0],
                                kz,
                                p.dilation[0],
                                p.stride[0],
                                p.input[0],
                            ) else {
                                continue;
                            };
                            for ky in 0..p.kernel[1] {
                                let Some(iy) = source(
                                    oy,
                                    p.pad_begin[1],
                                    ky,
                                    p.dilation[1],
                                    p.stride[1],
                                    p.input[1],
                                ) else {
                                    continue;
                                };
                                for kx in 0..p.kernel[2] {
                                    let Some(ix) = source(
                                        ox,
                                        p.pad_begin[2],
                                        kx,
                                        p.dilation[2],
                                        p.stride[2],
                                        p.input[2],
                                    ) else {
                                        continue;
                                    };
                                    let a = t.x.add(
                                        (((img * p.input[0] + z) * p.input[1] + iy) * p.input[2]
                                            + ix)
                                            * p.in_channels
                                            + g * ig,
                                    );
                                    let b = w.add(
                                        ((kz * p.kernel[1] + ky) * p.kernel[2] + kx) * ig * PANEL,
                                    );
                                    for i in 0..ig {
                                        let av = I::splat(*a.add(i));
                                        for j in 0..nv {
                                            acc[j] = I::fma(
                                                av,
                                                I::load(b.add(i * PANEL + j * I::LANES)),
                                                acc[j],
                                            );
                                        }
                                    }
                                }
                            }
                        }
                        let o = g * og + panel * PANEL;
                        let mut j = 0;
                        while j * I::LANES < cols {
                            let at = j * I::LANES;
                            let n = (cols - at).min(I::LANES);
                            let part = n < I::LANES;
                            let bias = if t.bias.is_null() {
                                I::splat(0.0)
                            } else if part {
                                I::load_partial(t.bias.add(o + at), n)
                            } else {
                                I::load(t.bias.add(o + at))
                            };
                            let v =
                                I::min(I::splat(hi), I::max(I::splat(lo), I::add(acc[j], bias)));
                            if part {
                                I::store_partial(y.add(o + at), v, n)
                            } else {
                                I::store(y.add(o + at), v)
                            }
                            j += 1;
                        }
                    }
                }
                if let Some(act) = rest {
                    (t.finish)(act, y, p.out_channels, 1, p.out_channels);
                }
                y = y.add(p.out_channels);
            }
        }
    }
}
