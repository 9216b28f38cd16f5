//! What a convolution is, and whether slices fit it.

use crate::activation::Activation;
use crate::error::{KernelError, at_least, exactly, fits, need, product};
use crate::gemm::{Gemm, PANEL};
use core::ops::Range;

/// Shape and epilogue of a convolution over up to three spatial dimensions (depth, height, width).
///
/// Tensors are `[batch, depth, height, width, channels]`; lower ranks have leading spatial sizes of 1.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Images.
    pub batch: usize,
    /// Spatial input sizes.
    pub input: [usize; 3],
    /// Input channels, all groups together.
    pub in_channels: usize,
    /// Spatial output sizes; together with `pad_begin` they imply the padding at the end.
    pub output: [usize; 3],
    /// Output channels, all groups together.
    pub out_channels: usize,
    /// Kernel sizes.
    pub kernel: [usize; 3],
    /// Steps.
    pub stride: [usize; 3],
    /// Distances of taps.
    pub dilation: [usize; 3],
    /// Zeros before the first element of each dimension.
    pub pad_begin: [usize; 3],
    /// Groups; divides both channel counts.
    pub groups: usize,
    /// Applied last.
    pub activation: Activation,
}

/// How weights are packed.
#[derive(Clone, Copy)]
pub(crate) enum Weights {
    /// Of floats: [`Conv::packed_len`].
    Dense,
    /// `[taps][C]`, of a convolution with `groups == in_channels == out_channels`.
    Depthwise,
    /// 8-bit: [`Conv::quantized_len`].
    Quantized,
}

impl Conv {
    /// A two-dimensional convolution of one group with unit stride and dilation, no padding and "valid" output size.
    pub fn new_2d(
        batch: usize,
        input: [usize; 2],
        in_channels: usize,
        out_channels: usize,
        kernel: [usize; 2],
    ) -> Self {
        let out = |i: usize, k: usize| (i + 1).saturating_sub(k);
        Self {
            batch,
            input: [1, input[0], input[1]],
            in_channels,
            output: [1, out(input[0], kernel[0]), out(input[1], kernel[1])],
            out_channels,
            kernel: [1, kernel[0], kernel[1]],
            stride: [1; 3],
            dilation: [1; 3],
            pad_begin: [0; 3],
            groups: 1,
            activation: Activation::None,
        }
    }

    /// Output rows (batch x depth x height): the unit in which work is split.
    pub const fn rows(&self) -> usize {
        self.batch * self.output[0] * self.output[1]
    }

    /// Elements of the packed weights `[groups][ceil(Og / 16)][taps * Ig][16]`.
    pub const fn packed_len(&self) -> usize {
        let taps = self.kernel[0] * self.kernel[1] * self.kernel[2];
        let og = self.out_channels / self.groups;
        self.groups * og.div_ceil(PANEL) * PANEL * taps * (self.in_channels / self.groups)
    }

    /// Whether the convolution is a plain matrix product of pixels and weights.
    pub const fn is_pointwise(&self) -> bool {
        let mut d = 0;
        while d < 3 {
            if self.kernel[d] != 1
                || self.stride[d] != 1
                || self.pad_begin[d] != 0
                || self.input[d] != self.output[d]
            {
                return false;
            }
            d += 1;
        }
        self.groups == 1
    }

    /// The matrix product that a pointwise convolution of `rows` output rows is.
    pub const fn product(&self, rows: usize) -> Option<Gemm> {
        if !self.is_pointwise() {
            return None;
        }
        let pixels = rows * self.output[2];
        let mut p = Gemm::new(pixels, self.out_channels, self.in_channels);
        p.activation = self.activation;
        Some(p)
    }

    /// The same products with all pixels of `rows` in one row, where the convolution is pointwise: with the first pixel.
    pub(crate) const fn flat(&self, rows: (usize, usize)) -> Option<(Conv, usize)> {
        if !self.is_pointwise() {
            return None;
        }
        let mut p = *self;
        p.batch = 1;
        p.input = [1, 1, (rows.1 - rows.0) * self.output[2]];
        p.output = p.input;
        Some((p, rows.0 * self.output[2]))
    }

    /// Checks of the geometry alone.
    pub(crate) const fn check_shape(&self) -> Result<(), KernelError> {
        if self.groups == 0
            || !self.in_channels.is_multiple_of(self.groups)
            || !self.out_channels.is_multiple_of(self.groups)
        {
            return Err(KernelError::Parameter);
        }
        let [x, y, k] = [&self.input, &self.output, &self.kernel];
        need!(product(&[self.batch, x[0], x[1], x[2], self.in_channels]));
        need!(product(&[self.batch, y[0], y[1], y[2], self.out_channels]));
        let taps = need!(product(&[k[0], k[1], k[2], self.in_channels]));
        let columns = need!(fits(self.out_channels.checked_add(PANEL * self.groups)));
        need!(fits(taps.checked_mul(columns)));
        let mut d = 0;
        while d < 3 {
            if self.stride[d] == 0 || self.dilation[d] == 0 || self.kernel[d] == 0 {
                return Err(KernelError::Parameter);
            }
            let steps = need!(product(&[self.output[d], self.stride[d]]));
            let window = need!(product(&[self.kernel[d], self.dilation[d]]));
            let reach = need!(fits(steps.checked_add(window)));
            let reach = need!(fits(reach.checked_add(self.pad_begin[d])));
            let reach = need!(fits(reach.checked_add(self.input[d])));
            // Coordinates are signed and 32 bits wide inside the kernels.
            if reach > i32::MAX as usize {
                return Err(KernelError::Overflow);
            }
            d += 1;
        }
        Ok(())
    }

    /// Checks of a piece of work against the slices at hand.
    pub(crate) const fn check(
        &self,
        x: usize,
        (w, weights): (usize, Weights),
        bias: Option<usize>,
        residual: Option<usize>,
        y: usize,
        rows: &Range<usize>,
    ) -> Result<(), KernelError> {
        let by_channel = self.in_channels == self.out_channels && self.groups == self.in_channels;
        if matches!(weights, Weights::Depthwise) && !by_channel {
            return Err(KernelError::Parameter);
        }
        need!(self.check_shape());
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(KernelError::Parameter);
        }
        let [i, o] = [&self.input, &self.output];
        let input = need!(product(&[self.batch, i[0], i[1], i[2], self.in_channels]));
        need!(at_least(x, input));
        let weights = match weights {
            Weights::Dense => self.packed_len(),
            Weights::Depthwise => {
                self.kernel[0] * self.kernel[1] * self.kernel[2] * self.in_channels
            }
            Weights::Quantized => self.quantized_len(),
        };
        need!(at_least(w, weights));
        let out = need!(product(&[rows.end - rows.start, o[2], self.out_channels]));
        need!(exactly(y, out));
        if let Some(len) = bias {
            need!(at_least(len, self.out_channels));
        }
        if let Some(len) = residual {
            need!(exactly(len, out));
        }
        Ok(())
    }
}
