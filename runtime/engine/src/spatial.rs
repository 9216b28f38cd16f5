//! Geometry of channels-last spatial operators: `[N, S.., C]` with one to three spatial axes, as the kernels see it.

use crate::error::RunError;
use crate::shape::Shape;
use core::ops::Range;
use cygnet_format::Axes;

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
    /// or `len` (pools that round up reach beyond both). In constant time: a window may be much larger than the image.
    pub fn inside(&self, d: usize, o: usize, len: usize) -> (Range<usize>, usize) {
        let start = o.saturating_mul(self.stride[d]);
        let before = |end: usize| {
            let taps = end.saturating_sub(start).div_ceil(self.dilation[d]);
            taps.min(self.kernel[d])
        };
        let end = self.pad_begin[d].saturating_add(len);
        let padded = before(end.saturating_add(self.pad_end[d]));
        (before(self.pad_begin[d])..before(end), padded)
    }
}
