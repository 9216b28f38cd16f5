//! Convolutions: forward, and the gradients with respect to input and weights.
use super::shape::{Geometry, Kind};
use super::work::{by_rows, floats, kernels, parts, refused, sum_parts};
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use cygnet_kernels::conv::{pack_weights, transpose};
use cygnet_kernels::gemm::{pack_b, packed_len};
use cygnet_kernels::{Conv, gradient};
use rayon::prelude::*;
use std::cell::RefCell;

/// The convolution of `x` `[batch, height, width, in]` with `w`: `[batch, height', width', out]`.
///
/// # Errors
/// Shapes that do not fit, see [`Geometry::shape`].
pub fn convolve(x: &Tensor, w: &Tensor, geometry: Geometry) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return geometry.by_candle(x, w);
    }
    x.contiguous()?
        .apply_op2(&w.contiguous()?, Convolve { geometry })
}

struct Convolve {
    geometry: Geometry,
}

impl CustomOp2 for Convolve {
    fn name(&self) -> &'static str {
        "convolve"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let p = self.geometry.shape(lx.dims(), lw.dims())?;
        let y = forward(&p, floats(x, lx)?, floats(w, lw)?)?;
        Ok((CpuStorage::F32(y), output_shape(&p)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let p = self.geometry.shape(x.dims(), w.dims())?;
        let dy = dy.contiguous()?;
        let (dy, ly) = dy.storage_and_layout();
        let (sx, lx) = x.storage_and_layout();
        let (sw, lw) = w.storage_and_layout();
        let cpu = |s| match s {
            &candle_core::Storage::Cpu(ref s) => Ok(s),
            _ => candle_core::bail!("the gradient of a convolution lies on another device"),
        };
        let dy = floats(cpu(&dy)?, ly)?;
        let dx = if x.track_op() {
            let dx = input_gradient(&p, dy, floats(cpu(&sw)?, lw)?)?;
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dw = if w.track_op() {
            let dw = weights_gradient(&p, floats(cpu(&sx)?, lx)?, dy)?;
            Some(Tensor::from_vec(dw, w.shape(), w.device())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

pub(super) fn output_shape(p: &Conv) -> Shape {
    Shape::from((p.batch, p.output[1], p.output[2], p.out_channels))
}

fn is_depthwise(p: &Conv) -> bool {
    p.groups > 1 || (p.in_channels == 1 && p.out_channels == 1)
}

/// Calls `f` with `len` elements of memory that a thread keeps.
fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            scratch.resize(len, 0.0);
        }
        f(&mut scratch[..len])
    })
}

pub(super) fn forward(p: &Conv, x: &[f32], w: &[f32]) -> Result<Vec<f32>> {
    let width = p.output[2] * p.out_channels;
    let mut y = vec![0.0; p.rows() * width];
    if is_depthwise(p) {
        by_rows(&mut y, width, |rows, y| {
            kernels().depthwise(p, x, w, None, None, y, rows)
        })?;
        return Ok(y);
    }
    let k = w.len() / p.out_channels;
    let mut packed = vec![0.0; packed_len(k, p.out_channels)];
    pack_b(w, k, p.out_channels, p.out_channels, 1, &mut packed).map_err(refused)?;
    by_rows(&mut y, width, |rows, y| {
        kernels().conv(p, x, &packed, None, None, y, rows)
    })?;
    Ok(y)
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

pub(super) fn input_gradient(p: &Conv, dy: &[f32], w: &[f32]) -> Result<Vec<f32>> {
    let (i, o) = (p.in_channels, p.out_channels);
    let width = p.input[2] * i;
    let mut dx = vec![0.0; p.batch * p.input[1] * width];
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

pub(super) fn weights_gradient(p: &Conv, x: &[f32], dy: &[f32]) -> Result<Vec<f32>> {
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

impl Geometry {
    /// Inputs that one output is made from.
    pub fn fan_in(&self, w: &[usize]) -> usize {
        match self.kind {
            Kind::Dense => w[..w.len() - 1].iter().product(),
            Kind::Depthwise => w[0] * w[1],
        }
    }
}
