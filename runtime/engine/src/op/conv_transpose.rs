//! `conv_transpose`: channels-last transposed convolution (the gradient of a convolution by its input).

use crate::activation::as_unary;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError};
use cygnet_format::op::ConvTranspose;

struct Task<'a> {
    x: &'a [f32],
    w: &'a [f32],
    bias: Option<&'a [f32]>,
    xi: Image,
    yi: Image,
    window: Window,
    groups: usize,
}

pub(crate) fn run(op: &ConvTranspose, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w, bias) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let kernels = cx.kernels();
    let mut y = cx.output(0)?;
    let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    let groups = op.group as usize;
    let divides = groups > 0 && xi.channels % groups == 0 && yi.channels % groups == 0;
    let taps = window.taps().ok_or(RunError::overflow())?;
    if x.shape.rank() != y.shape.rank() || xi.batch != yi.batch || !divides {
        return Err(RunError::shape(
            "a transposed convolution keeps the batch, and the groups divide the channels",
        ));
    }
    if *w.shape != [groups, xi.channels / groups, taps, yi.channels / groups] {
        return Err(RunError::shape(
            "transposed convolution weights are [G, C/G, taps, O/G]",
        ));
    }
    if bias.is_some_and(|b| b.shape.count() != yi.channels) {
        return Err(RunError::shape("the bias has an element a channel"));
    }
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    let task = Task {
        x: x.as_slice()?,
        w: w.as_slice()?,
        bias,
        xi,
        yi,
        window,
        groups,
    };
    let y = y.as_mut_slice::<f32>()?;
    if y.is_empty() {
        return Ok(());
    }
    let act = as_unary(&op.act);
    let (rows, row) = (yi.batch * yi.size[0] * yi.size[1], yi.size[2] * yi.channels);
    let work = x
        .shape
        .count()
        .saturating_mul(taps)
        .saturating_mul(yi.channels / groups);
    let part = if work < PARALLEL_WORK {
        rows
    } else {
        rows.div_ceil(cx.threads() * 4)
    };
    cx.parallel_chunks(y, part * row, &|i, y| {
        for (r, line) in y.chunks_exact_mut(row).enumerate() {
            task.row(i * part + r, line);
        }
        if let Some(act) = act {
            kernels.unary_inplace(act, y);
        }
        Ok(())
    })
}

impl Task<'_> {
    /// Input index that tap `k` brings to output `o` along axis `d`.
    fn source(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let at = o
            .checked_add(self.window.pad_begin[d])?
            .checked_sub(k.checked_mul(self.window.dilation[d])?)?;
        let stride = self.window.stride[d];
        (at % stride == 0 && at / stride < self.xi.size[d]).then(|| at / stride)
    }

    /// One line of outputs: gathers every tap that reaches a pixel.
    fn row(&self, row: usize, line: &mut [f32]) {
        let [depth, height, _] = self.yi.size;
        let (oy, oz, batch) = (row % height, row / height % depth, row / height / depth);
        let (c, o) = (self.xi.channels, self.yi.channels);
        let (cg, og) = (c / self.groups, o / self.groups);
        let [kd, kh, kw] = self.window.kernel;
        let taps = kd * kh * kw;
        for (ox, y) in line.chunks_exact_mut(o).enumerate() {
            match self.bias {
                Some(bias) => y.copy_from_slice(bias),
                None => y.fill(0.0),
            }
            for kz in 0..kd {
                let Some(iz) = self.source(0, oz, kz) else {
                    continue;
                };
                for ky in 0..kh {
                    let Some(iy) = self.source(1, oy, ky) else {
                        continue;
                    };
                    for kx in 0..kw {
                        let Some(ix) = self.source(2, ox, kx) else {
                            continue;
                        };
                        let tap = (kz * kh + ky) * kw + kx;
                        let [d, h, w] = self.xi.size;
                        let pixel = ((batch * d + iz) * h + iy) * w + ix;
                        debug_assert!(d > iz);
                        let x = &self.x[pixel * c..][..c];
                        for (g, y) in y.chunks_exact_mut(og).enumerate() {
                            for (i, &x) in x[g * cg..][..cg].iter().enumerate() {
                                let w = &self.w[((g * cg + i) * taps + tap) * og..][..og];
                                for (y, &w) in y.iter_mut().zip(w) {
                                    *y += x * w;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
