//! `separable_conv`: expansion, depthwise convolution and projection by bands of rows.

use crate::activation::activation;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError, Tensor};
use core::ops::Range;
use cygnet_format::op::SeparableConv;
use cygnet_kernels::{Activation, Conv, Gemm, Kernels};

/// A pointwise convolution.
struct Pointwise<'a> {
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    activation: Activation,
}

struct Step<'a> {
    kernels: &'a Kernels,
    x: &'a [f32],
    expand: Option<Pointwise<'a>>,
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    project: Option<Pointwise<'a>>,
    residual: Option<&'a [f32]>,
    /// The depthwise convolution of a whole image.
    depthwise: Conv,
    in_channels: usize,
    out_channels: usize,
    band: usize,
    /// Input rows of a full band.
    band_rows: usize,
}

pub(crate) fn run(op: &SeparableConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let (w1, b1) = (cx.opt_input(1)?, cx.opt_input(2)?);
    let (w, b) = (cx.input(3)?, cx.opt_input(4)?);
    let (w2, b2, residual) = (cx.opt_input(5)?, cx.opt_input(6)?, cx.opt_input(7)?);
    let kernels = cx.kernels();
    let (mut y, mut scratch) = (cx.output(0)?, cx.output(1)?);
    let window = Window::new(
        &x.shape,
        &op.kernel,
        &op.strides,
        &Default::default(),
        &op.pads,
    )?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    let taps = window.taps().ok_or(RunError::overflow())?;
    if x.shape.rank() != 4 || y.shape.rank() != 4 || xi.batch != yi.batch || w.shape.rank() != 2 {
        return Err(RunError::shape(
            "a separable convolution is two-dimensional and keeps the batch",
        ));
    }
    let middle = w.shape[1];
    let pointwise =
        |w: &Tensor<'_>, from: usize, to: usize| *w.shape == [1, to.div_ceil(16), from, 16];
    let widths = w1.map_or(middle == xi.channels, |w| {
        pointwise(&w, xi.channels, middle)
    }) && w2.map_or(middle == yi.channels, |w| {
        pointwise(&w, middle, yi.channels)
    });
    if w.shape[0] != taps || !widths {
        return Err(RunError::shape(
            "the weights of a separable convolution fit its channels",
        ));
    }
    let fits = |b: Option<Tensor<'_>>, n: usize| b.is_none_or(|b| b.shape.count() == n);
    if !fits(b1, middle) || !fits(b, middle) || !fits(b2, yi.channels) {
        return Err(RunError::shape("a bias has an element a channel"));
    }
    if residual.is_some_and(|r| r.shape != y.shape || w2.is_none()) {
        return Err(RunError::shape(
            "the residual of a projection has the shape of the result",
        ));
    }
    // Every window meets the input, and none begins beyond it: bands are never empty.
    for axis in 1..3 {
        let (k, s) = (window.kernel[axis], window.stride[axis]);
        let last = yi.size[axis]
            .saturating_sub(1)
            .checked_mul(s)
            .ok_or(RunError::overflow())?;
        if window.pad_begin[axis] >= k
            || last >= xi.size[axis].saturating_add(window.pad_begin[axis])
        {
            return Err(RunError::attribute("the padding is below the kernel"));
        }
    }
    let (w1, b1, b, w2, b2) = (slice(w1)?, slice(b1)?, slice(b)?, slice(w2)?, slice(b2)?);
    let step = Step {
        kernels,
        x: x.as_slice::<f32>()?,
        expand: w1.map(|weights| Pointwise {
            weights,
            bias: b1,
            activation: activation(&op.expand),
        }),
        weights: w.as_slice::<f32>()?,
        bias: b,
        project: w2.map(|weights| Pointwise {
            weights,
            bias: b2,
            activation: activation(&op.project),
        }),
        residual: slice(residual)?,
        depthwise: Conv {
            batch: 1,
            in_channels: middle,
            out_channels: middle,
            ..window.convolution(&xi, &yi, middle, activation(&op.depthwise))
        },
        in_channels: xi.channels,
        out_channels: yi.channels,
        band: (op.band as usize).max(1),
        band_rows: op.band_rows(xi.size[1]),
    };
    let size = |i: &Image| [i.size[1], i.size[2]];
    let (expands, projects) = (w1.is_some(), w2.is_some());
    let scratch_len = op
        .scratch(size(&xi), size(&yi), middle, expands, projects)
        .ok_or(RunError::overflow())?;
    let workers = scratch.shape[0].max(1);
    let part = scratch.shape.count() / workers;
    if part < scratch_len {
        return Err(RunError::shape(
            "the scratch of a separable convolution holds a band",
        ));
    }
    let (rows, row) = (yi.batch * yi.size[1], yi.size[2] * yi.channels);
    let (y, scratch) = (y.as_mut_slice::<f32>()?, scratch.as_mut_slice::<f32>()?);
    if y.is_empty() {
        return Ok(());
    }
    let each = rows.div_ceil(workers.min(cx.threads()));
    cx.parallel_pairs((y, each * row), (scratch, part), &|i, y, scratch| {
        let first = i * each;
        step.rows(first..first + y.len() / row, y, scratch)
    })
}

fn slice(t: Option<Tensor<'_>>) -> Result<Option<&[f32]>, RunError> {
    t.map(|t| t.as_slice::<f32>()).transpose()
}

impl Step<'_> {
    /// Computes rows (counted over all images) into `y`, which holds exactly those.
    fn rows(&self, rows: Range<usize>, y: &mut [f32], scratch: &mut [f32]) -> Result<(), RunError> {
        let d = &self.depthwise;
        let middle = d.in_channels;
        let (in_row, mid_row) = (d.input[2] * self.in_channels, d.input[2] * middle);
        let out_row = d.output[2] * self.out_channels;
        let split = self.expand.as_ref().map_or(0, |_| self.band_rows * mid_row);
        let (expanded, filtered) = scratch.split_at_mut(split);
        // Input rows that `expanded` holds, of which image.
        let mut held = (usize::MAX, 0..0);
        let mut row = rows.start;
        while row < rows.end {
            let (image, first) = (row / d.output[1], row % d.output[1]);
            let count = self.band.min(rows.end - row).min(d.output[1] - first);
            let top = first * d.stride[1];
            let from = top.saturating_sub(d.pad_begin[1]);
            let to = (top + (count - 1) * d.stride[1] + d.kernel[1])
                .saturating_sub(d.pad_begin[1])
                .min(d.input[1]);
            let x = &self.x[image * d.input[1] * in_row..][..d.input[1] * in_row];
            let input = match &self.expand {
                None => &x[from * in_row..to * in_row],
                Some(p) => {
                    // Neighbouring bands share rows: those move to the front instead of being computed again.
                    let mut start = from;
                    if held.0 == image && held.1.contains(&from) {
                        let keep = from - held.1.start..held.1.end - held.1.start;
                        expanded.copy_within(keep.start * mid_row..keep.end * mid_row, 0);
                        start = held.1.end;
                    }
                    held = (image, from..to);
                    if start < to {
                        let g = Gemm {
                            activation: p.activation,
                            ..Gemm::new((to - start) * d.input[2], middle, self.in_channels)
                        };
                        let out = &mut expanded[(start - from) * mid_row..(to - from) * mid_row];
                        let x = &x[start * in_row..to * in_row];
                        self.kernels.gemm(&g, x, p.weights, p.bias, None, out)?;
                    }
                    &expanded[..(to - from) * mid_row]
                }
            };
            let part = Conv {
                input: [1, to - from, d.input[2]],
                output: [1, count, d.output[2]],
                pad_begin: [0, (from + d.pad_begin[1]) - top, d.pad_begin[2]],
                ..*d
            };
            let at = (row - rows.start) * out_row;
            let y = &mut y[at..at + count * out_row];
            match &self.project {
                None => self.kernels.depthwise(
                    &part,
                    input,
                    self.weights,
                    self.bias,
                    None,
                    y,
                    0..count,
                )?,
                Some(p) => {
                    let m = count * d.output[2];
                    let filtered = &mut filtered[..m * middle];
                    self.kernels.depthwise(
                        &part,
                        input,
                        self.weights,
                        self.bias,
                        None,
                        filtered,
                        0..count,
                    )?;
                    let g = Gemm {
                        activation: p.activation,
                        ..Gemm::new(m, self.out_channels, middle)
                    };
                    let residual = self.residual.map(|r| &r[row * out_row..][..y.len()]);
                    self.kernels
                        .gemm(&g, filtered, p.weights, p.bias, residual, y)?;
                }
            }
            row += count;
        }
        Ok(())
    }
}
