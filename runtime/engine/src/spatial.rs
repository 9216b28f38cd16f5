//! Geometry of channels-last spatial operators: `[N, S.., C]` with one to three spatial axes, as the kernels see it.

use crate::cx::Cx;
use crate::error::RunError;
use crate::shape::Shape;
use crate::tensor::TensorType;
use core::ops::Range;
use cygnet_format::Axes;
use cygnet_kernels::{Activation, Conv, KernelError, Kernels, Pool, PoolKind, taps_inside};

/// Sizes of a channels-last tensor; leading spatial sizes are 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub batch: usize,
    pub size: [usize; 3],
    pub channels: usize,
}

impl Image {
    /// The sizes of a tensor of rank 3 to 5.
    pub fn new(shape: &Shape) -> Result<Image, RunError> {
        let rank = shape.rank();
        if !(3..=5).contains(&rank) {
            return Err(RunError::shape(
                "a spatial tensor has one to three spatial axes",
            ));
        }
        let mut size = [1; 3];
        size[5 - rank..].copy_from_slice(&shape[1..rank - 1]);
        Ok(Image {
            batch: shape[0],
            size,
            channels: shape[rank - 1],
        })
    }

    /// Spatial positions.
    pub fn pixels(&self) -> usize {
        self.size.iter().product()
    }
}

/// Kernel, strides, dilations and padding, with leading spatial axes filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub dilation: [usize; 3],
    pub pad_begin: [usize; 3],
    pub pad_end: [usize; 3],
}

fn axes(
    values: &[i32],
    spatial: usize,
    default: usize,
    least: i32,
) -> Result<[usize; 3], RunError> {
    let mut out = [default; 3];
    if values.is_empty() {
        return Ok(out);
    }
    if values.len() != spatial || values.iter().any(|&v| v < least) {
        return Err(RunError::attribute(
            "kernel, strides, dilations and pads have an entry a spatial axis",
        ));
    }
    for (to, &from) in out[3 - spatial..].iter_mut().zip(values) {
        *to = from as usize;
    }
    Ok(out)
}

impl Window {
    /// The window of an operator on tensors of this rank. Empty strides and dilations are ones, empty pads zeros.
    pub fn new(
        shape: &Shape,
        kernel: &Axes,
        strides: &Axes,
        dilations: &Axes,
        pads: &Axes,
    ) -> Result<Window, RunError> {
        let spatial = shape.rank().saturating_sub(2);
        if kernel.len() != spatial || !(1..=3).contains(&spatial) {
            return Err(RunError::attribute(
                "the kernel has an entry a spatial axis",
            ));
        }
        let begin = if pads.is_empty() {
            &[]
        } else {
            pads.get(..spatial).unwrap_or(&[-1])
        };
        let end = if pads.is_empty() {
            &[]
        } else {
            &pads[begin.len()..]
        };
        let pad = |v: &[i32]| -> Result<[usize; 3], RunError> { axes(v, spatial, 0, 0) };
        if !pads.is_empty() && pads.len() != 2 * spatial {
            return Err(RunError::attribute("pads have two entries a spatial axis"));
        }
        Ok(Window {
            kernel: axes(kernel, spatial, 1, 1)?,
            stride: axes(strides, spatial, 1, 1)?,
            dilation: axes(dilations, spatial, 1, 1)?,
            pad_begin: pad(begin)?,
            pad_end: pad(end)?,
        })
    }

    /// Number of taps; `None` on overflow.
    pub fn taps(&self) -> Option<usize> {
        self.kernel[0]
            .checked_mul(self.kernel[1])?
            .checked_mul(self.kernel[2])
    }

    /// Input position of tap `k` of output `o` along spatial axis `d`, when inside `len`.
    pub fn source(&self, d: usize, o: usize, k: usize, len: usize) -> Option<usize> {
        let at = o
            .checked_mul(self.stride[d])?
            .checked_add(k.checked_mul(self.dilation[d])?)?;
        at.checked_sub(self.pad_begin[d]).filter(|&at| at < len)
    }

    /// Range of the taps of output `o` along spatial axis `d` that lie inside `len`, and how many lie inside the padding
    /// or `len` (see [`taps_inside`]).
    pub fn inside(&self, d: usize, o: usize, len: usize) -> (Range<usize>, usize) {
        let start = o.saturating_mul(self.stride[d]);
        let pads = (self.pad_begin[d], self.pad_end[d]);
        taps_inside(start, self.kernel[d], self.dilation[d], pads, len)
    }

    /// The window that covers an image, or has one tap along axes without pixels.
    pub fn whole(image: &Image) -> Window {
        Window {
            kernel: image.size.map(|n| n.max(1)),
            stride: [1; 3],
            dilation: [1; 3],
            pad_begin: [0; 3],
            pad_end: [0; 3],
        }
    }

    /// The pooling with this window of images `x` to images of `output` pixels.
    pub fn pool(&self, kind: PoolKind, x: &Image, output: [usize; 3]) -> Pool {
        Pool {
            kind,
            batch: x.batch,
            input: x.size,
            channels: x.channels,
            output,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            pad_begin: self.pad_begin,
            pad_end: self.pad_end,
        }
    }

    /// The convolution with this window of images `x` to images `y`.
    pub fn convolution(&self, x: &Image, y: &Image, groups: usize, activation: Activation) -> Conv {
        Conv {
            batch: x.batch,
            input: x.size,
            in_channels: x.channels,
            output: y.size,
            out_channels: y.channels,
            kernel: self.kernel,
            stride: self.stride,
            dilation: self.dilation,
            pad_begin: self.pad_begin,
            groups,
            activation,
        }
    }
}

/// A convolution kernel of [`Kernels`], dense or depthwise.
type ConvolutionKernel = fn(
    &Kernels,
    &Conv,
    &[f32],
    &[f32],
    Option<&[f32]>,
    Option<&[f32]>,
    &mut [f32],
    Range<usize>,
) -> Result<(), KernelError>;

/// The operands of a convolution: input, weights, bias and residual.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub x: &'a [f32],
    pub weights: &'a [f32],
    pub bias: Option<&'a [f32]>,
    pub residual: Option<&'a [f32]>,
}

/// The parameters, operands and result of a float convolution; `prepare` finds the parameters from the types of
/// `x, weights`, of the bias and the residual, and of the result.
pub(crate) fn operands<'a>(
    cx: &mut Cx<'a>,
    prepare: impl FnOnce([TensorType; 2], [Option<TensorType>; 2], TensorType) -> Result<Conv, RunError>,
) -> Result<(Conv, Operands<'a>, &'a mut [f32]), RunError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let epilogue = [cx.opt_input(2)?, cx.opt_input(3)?];
    let y = cx.output(0)?;
    let kinds = epilogue.map(|t| t.map(|t| t.kind()));
    let p = prepare([x.kind(), w.kind()], kinds, y.kind())?;
    let [bias, residual] = epilogue;
    let operands = Operands {
        x: x.as_slice()?,
        weights: w.as_slice()?,
        bias: bias.map(|t| t.as_slice()).transpose()?,
        residual: residual.map(|t| t.as_slice()).transpose()?,
    };
    Ok((p, operands, y.into_mut_slice()?))
}

/// Runs a convolution on all rows of `y`, `part` rows at a time on several threads where the session has them.
pub(crate) fn convolve(
    cx: &Cx<'_>,
    kernel: ConvolutionKernel,
    p: &Conv,
    o: Operands<'_>,
    y: &mut [f32],
    part: usize,
) -> Result<(), RunError> {
    let kernels = cx.kernels();
    let (rows, row) = (p.rows(), p.output[2] * p.out_channels);
    if cx.threads() == 1 || part >= rows {
        return Ok(kernel(
            kernels,
            p,
            o.x,
            o.weights,
            o.bias,
            o.residual,
            y,
            0..rows,
        )?);
    }
    cx.parallel_chunks(y, part * row, &|i, y| {
        let (first, count) = (i * part, y.len() / row);
        let residual = o.residual.map(|r| &r[first * row..][..y.len()]);
        let rows = first..first + count;
        Ok(kernel(
            kernels, p, o.x, o.weights, o.bias, residual, y, rows,
        )?)
    })
}

/// Refuses a bias or residual that does not fit the result of a convolution.
pub(crate) fn check_epilogue(
    bias: Option<TensorType>,
    residual: Option<TensorType>,
    shape: &Shape,
    channels: usize,
) -> Result<(), RunError> {
    let fits = bias.is_none_or(|b| b.shape.count() == channels)
        && residual.is_none_or(|r| r.shape == *shape);
    if fits {
        Ok(())
    } else {
        Err(RunError::shape(
            "the bias has an element a channel, the residual the shape of the result",
        ))
    }
}
