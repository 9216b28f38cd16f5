//! `pool`: maximum, average and Lp pooling on channels-last tensors.

use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window};
use crate::{Cx, Element, RunError, Tensor, TensorMut, TensorType};
use core::ops::Range;
use cygnet_format::DType;
use cygnet_format::op::{self, PoolKind};
use cygnet_kernels::{Pool, pool};

pub(crate) fn run(op: &op::Pool, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let kernels = cx.kernels();
    let mut y = cx.output(0)?;
    let indices = cx.opt_output(1)?;
    let (window, p) = prepare(op, x.kind(), y.kind())?;
    if y.bytes.is_empty() {
        return Ok(());
    }
    if matches!(x.dtype, DType::I8 | DType::U8) && op.kind == PoolKind::Max && indices.is_none() {
        let signed = x.dtype == DType::I8;
        return each_part(cx, &p, y.bytes, &|y, rows| {
            Ok(kernels.max_pool_bytes(&p, signed, x.bytes, y, rows)?)
        });
    }
    if x.dtype != DType::F32 || op.kind == PoolKind::Lp || indices.is_some() {
        let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
        let task = Task { op, xi, yi, window };
        return match x.dtype {
            DType::F32 => task.plain::<f32>(&x, &mut y, indices, |v| v, |v| v),
            DType::I8 => task.plain::<i8>(&x, &mut y, indices, |v| v as f32, |v| v as i8),
            DType::U8 => task.plain::<u8>(&x, &mut y, indices, |v| v as f32, |v| v as u8),
            _ => Err(RunError::unsupported("pooling of this element type")),
        };
    }
    let (x, y) = (x.as_slice::<f32>()?, y.as_mut_slice::<f32>()?);
    if op.kind == PoolKind::Average && is_global(&p) {
        let pixels = p.input.iter().product();
        return Ok(kernels.global_average(p.batch, pixels, p.channels, x, y)?);
    }
    each_part(cx, &p, y, &|y, rows| Ok(kernels.pool(&p, x, y, rows)?))
}

/// The window and the kernel's parameters; those of Lp pooling are an average's.
pub(crate) fn prepare(
    op: &op::Pool,
    x: TensorType,
    y: TensorType,
) -> Result<(Window, Pool), RunError> {
    let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    if x.shape.rank() != y.shape.rank()
        || xi.batch != yi.batch
        || xi.channels != yi.channels
        || x.dtype != y.dtype
    {
        return Err(RunError::shape(
            "pooling keeps the batch, the channels and the element type",
        ));
    }
    let kind = match op.kind {
        PoolKind::Max => pool::PoolKind::Max,
        _ if op.count_include_pad => pool::PoolKind::AverageIncludePad,
        _ => pool::PoolKind::Average,
    };
    Ok((window, window.pool(kind, &xi, yi.size)))
}

/// Whether the only window is the image.
pub(crate) fn is_global(p: &Pool) -> bool {
    p.kernel == p.input
        && p.output == [1; 3]
        && p.dilation == [1; 3]
        && (p.pad_begin, p.pad_end) == ([0; 3], [0; 3])
}

/// What fills some rows of a pooling's result.
type RowsFn<'f, T> = dyn Fn(&mut [T], Range<usize>) -> Result<(), RunError> + Sync + 'f;

/// Calls `f` for the rows of a pooling's result, on several threads where there is much to do.
pub(super) fn each_part<T: Send>(
    cx: &Cx<'_>,
    p: &Pool,
    y: &mut [T],
    f: &RowsFn<'_, T>,
) -> Result<(), RunError> {
    let (rows, row) = (p.rows(), p.output[2] * p.channels);
    if y.is_empty() {
        return Ok(());
    }
    let taps = p.kernel.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
    let work = y.len().saturating_mul(taps.ok_or(RunError::overflow())?);
    let part = if work < PARALLEL_WORK {
        rows
    } else {
        rows.div_ceil(cx.threads() * 2)
    };
    cx.parallel_chunks(y, part * row, &|i, y| {
        let first = i * part;
        let rows = first..first + y.len() / row;
        f(y, rows)
    })
}

struct Task<'a> {
    op: &'a op::Pool,
    xi: Image,
    yi: Image,
    window: Window,
}

impl Task<'_> {
    /// Every kind, with indices, any element type that single precision holds exactly.
    fn plain<T: Element>(
        &self,
        x: &Tensor<'_>,
        y: &mut TensorMut<'_>,
        indices: Option<TensorMut<'_>>,
        wide: impl Fn(T) -> f32,
        narrow: impl Fn(f32) -> T,
    ) -> Result<(), RunError> {
        if indices.as_ref().is_some_and(|t| t.shape != y.shape) {
            return Err(RunError::shape(
                "pooling indices have the shape of the result",
            ));
        }
        let (x, y) = (x.as_slice::<T>()?, y.as_mut_slice::<T>()?);
        let mut indices = indices.map(|t| t.into_mut_slice::<i64>()).transpose()?;
        let c = self.yi.channels;
        let [od, oh, ow] = self.yi.size;
        let (pixels, [_, ih, iw]) = (self.xi.pixels(), self.xi.size);
        for (at, out) in y.iter_mut().enumerate() {
            let (ch, pixel) = (at % c, at / c);
            let o = [pixel / (oh * ow) % od, pixel / ow % oh, pixel % ow];
            let batch = pixel / (od * oh * ow);
            let (mut value, mut best, mut seen) = (self.start(), 0, 0usize);
            let inside = |d: usize| self.window.inside(d, o[d], self.xi.size[d]);
            let ((rz, cz), (ry, cy), (rx, cx)) = (inside(0), inside(1), inside(2));
            for (kz, ky, kx) in taps(rz, ry, rx) {
                let source = |d: usize, k: usize| self.window.source(d, o[d], k, self.xi.size[d]);
                let (Some(z), Some(py), Some(px)) = (source(0, kz), source(1, ky), source(2, kx))
                else {
                    continue;
                };
                seen += 1;
                let v = wide(x[(((batch * self.xi.size[0] + z) * ih + py) * iw + px) * c + ch]);
                match self.op.kind {
                    PoolKind::Max => {
                        if v > value || (v.is_nan() && !value.is_nan()) || seen == 1 {
                            value = v;
                            let plane = if self.op.column_major {
                                (px * ih + py) * self.xi.size[0] + z
                            } else {
                                (z * ih + py) * iw + px
                            };
                            best = (batch * c + ch) * pixels + plane;
                        }
                    }
                    PoolKind::Average => value += v,
                    PoolKind::Lp => value += power(libm::fabsf(v), self.op.p),
                }
            }
            let count = if self.op.count_include_pad {
                cz.saturating_mul(cy).saturating_mul(cx)
            } else {
                seen
            };
            *out = narrow(match self.op.kind {
                PoolKind::Max => value,
                PoolKind::Average => value / count.max(1) as f32,
                PoolKind::Lp => root(value, self.op.p),
            });
            if let Some(indices) = &mut indices {
                indices[at] = best as i64;
            }
        }
        Ok(())
    }

    fn start(&self) -> f32 {
        if self.op.kind == PoolKind::Max {
            f32::NEG_INFINITY
        } else {
            0.0
        }
    }
}

fn taps(
    z: Range<usize>,
    y: Range<usize>,
    x: Range<usize>,
) -> impl Iterator<Item = (usize, usize, usize)> {
    z.flat_map(move |z| {
        let x = x.clone();
        y.clone()
            .flat_map(move |y| x.clone().map(move |x| (z, y, x)))
    })
}

fn power(v: f32, p: u32) -> f32 {
    match p {
        1 => v,
        2 => v * v,
        _ => libm::powf(v, p as f32),
    }
}

fn root(v: f32, p: u32) -> f32 {
    match p {
        1 => v,
        2 => libm::sqrtf(v),
        _ => libm::powf(v, 1.0 / p as f32),
    }
}
