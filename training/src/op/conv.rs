//! Convolutions: forward, and the gradients with respect to input and weights.
use super::memory::Memory;
use super::work::{by_rows, kernels, parts, refused, sum_parts, with_scratch};
use candle_core::Result;
use cygnet_kernels::conv::{pack_weights, transpose};
use cygnet_kernels::gemm::{pack_b, packed_len};
use cygnet_kernels::{Conv, KernelError, gradient};
use rayon::prelude::*;

fn is_depthwise(p: &Conv) -> bool {
    p.groups > 1 || (p.in_channels == 1 && p.out_channels == 1)
}

/// The convolution; `each` sees every piece of output rows while it is in the cache, and what it returns comes back in
/// order.
pub(crate) fn forward<R: Send>(
    p: &Conv,
    x: &[f32],
    w: &[f32],
    memory: &mut Memory,
    each: impl Fn(&[f32]) -> std::result::Result<R, KernelError> + Sync,
) -> Result<(Vec<f32>, Vec<R>)> {
    let width = p.output[2] * p.out_channels;
    let mut y = memory.take(p.rows() * width);
    if is_depthwise(p) {
        let seen = by_rows(&mut y, width, |rows, y| {
            kernels().depthwise(p, x, w, None, None, y, rows)?;
            each(y)
        })?;
        return Ok((y, seen));
    }
    let k = w.len() / p.out_channels;
    let mut packed = memory.take(packed_len(k, p.out_channels));
    pack_b(w, k, p.out_channels, p.out_channels, 1, &mut packed).map_err(refused)?;
    let seen = by_rows(&mut y, width, |rows, y| {
        kernels().conv(p, x, &packed, None, None, y, rows)?;
        each(y)
    })?;
    memory.give(packed);
    Ok((y, seen))
}

/// The convolution with flipped kernels that the gradient of a unit-stride convolution is.
fn mirrored(p: &Conv) -> Conv {
    let mut q = *p;
    (q.input, q.output) = (p.output, p.input);
    (q.in_channels, q.out_channels) = (p.out_channels, p.in_channels);
    for d in 0..3 {
        q.pad_begin[d] = ((p.kernel[d] - 1) * p.dilation[d]).wrapping_sub(p.pad_begin[d]);
    }
    q
}

/// The gradient with respect to the input.
pub(crate) fn input_gradient(
    p: &Conv,
    dy: &[f32],
    w: &[f32],
    memory: &mut Memory,
) -> Result<Vec<f32>> {
    let (i, o) = (p.in_channels, p.out_channels);
    let width = p.input[2] * i;
    let mut dx = memory.take(p.batch * p.input[1] * width);
    let unit = p.stride == [1; 3] && (0..3).all(|d| p.pad_begin[d] < p.kernel[d]);
    let taps = p.kernel[1] * p.kernel[2];
    if is_depthwise(p) {
        if unit {
            let flipped: Vec<f32> = w.rchunks(i).flatten().copied().collect();
            let q = mirrored(p);
            by_rows(&mut dx, width, |rows, dx| {
                kernels().depthwise(&q, dy, &flipped, None, None, dx, rows)
            })?;
        } else {
            by_rows(&mut dx, width, |rows, dx| {
                kernels().depthwise_input_gradient(p, dy, w, dx, rows)
            })?;
        }
        return Ok(dx);
    }
    let mut q = mirrored(p);
    let mut packed;
    if unit {
        if taps == 1 {
            packed = vec![0.0; packed_len(o, i)];
            pack_b(w, o, i, 1, o, &mut packed).map_err(refused)?;
        } else {
            packed = vec![0.0; q.packed_len()];
            pack_weights(
                &q,
                |to, tap, from| w[((taps - 1 - tap) * i + to) * o + from],
                &mut packed,
            )
            .map_err(refused)?;
        }
        by_rows(&mut dx, width, |rows, dx| {
            kernels().conv(&q, dy, &packed, None, None, dx, rows)
        })?;
    } else {
        q.pad_begin = p.pad_begin;
        packed = vec![0.0; transpose::packed_len(&q)];
        pack_weights(
            &q,
            |to, tap, from| w[(tap * i + to) * o + from],
            &mut packed,
        )
        .map_err(refused)?;
        by_rows(&mut dx, width, |rows, dx| {
            kernels().conv_transpose(&q, dy, &packed, None, dx, rows)
        })?;
    }
    Ok(dx)
}

/// Weights up to which every part of the batch has a gradient of its own; beyond, threads share the weights.
const OWN: usize = 1 << 16;

/// The gradient with respect to the weights.
pub(crate) fn weights_gradient(p: &Conv, x: &[f32], dy: &[f32]) -> Result<Vec<f32>> {
    let taps = p.kernel[1] * p.kernel[2];
    let i = p.in_channels;
    if is_depthwise(p) {
        let parts = parts(p.rows(), (4096 / p.output[2].max(1)).max(1));
        return sum_parts(&parts, taps * i, |rows, dw| {
            kernels().depthwise_weights_gradient(p, x, dy, dw, rows)
        });
    }
    let o = p.out_channels;
    let len = taps * i * o;
    if len <= OWN && p.batch > 1 {
        let (image_x, image_y) = (p.input[1] * p.input[2] * i, p.output[1] * p.output[2] * o);
        return sum_parts(&parts(p.batch, 1), len, |images, dw| {
            let mut p = *p;
            p.batch = images.len();
            let x = &x[images.start * image_x..images.end * image_x];
            let dy = &dy[images.start * image_y..images.end * image_y];
            with_scratch(gradient::scratch_len(&p), |scratch| {
                kernels().conv_weights_gradient(&p, x, dy, dw, 0..taps * i, scratch)
            })
        });
    }
    let mut dw = vec![0.0; len];
    let piece = (taps * i)
        .div_ceil(2 * rayon::current_num_threads())
        .next_multiple_of(48);
    dw.par_chunks_mut(piece * o)
        .enumerate()
        .try_for_each(|(n, dw)| {
            let rows = n * piece..n * piece + dw.len() / o;
            with_scratch(gradient::scratch_len(p), |scratch| {
                kernels().conv_weights_gradient(p, x, dy, dw, rows, scratch)
            })
        })
        .map_err(refused)?;
    Ok(dw)
}
