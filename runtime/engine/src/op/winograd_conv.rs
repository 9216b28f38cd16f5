//! `winograd_conv`: 3 x 3 convolution by Winograd's algorithm.

use crate::activation::activation;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window, check_epilogue};
use crate::{Cx, RunError, Tensor};
use cygnet_format::Axes;
use cygnet_format::op::WinogradConv;
use cygnet_kernels::Winograd;

pub(crate) fn run(op: &WinogradConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let (bias, residual) = (cx.opt_input(2)?, cx.opt_input(3)?);
    let (mut y, mut scratch) = (cx.output(0)?, cx.output(1)?);
    let kernel = Axes::new(&[3, 3]).ok_or(RunError::overflow())?;
    let ones = Axes::default();
    let window = Window::new(&x.shape, &kernel, &ones, &ones, &op.pads)?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    if x.shape.rank() != y.shape.rank() || xi.batch != yi.batch {
        return Err(RunError::shape("a convolution keeps the batch"));
    }
    let depth = xi.channels.checked_mul(9).ok_or(RunError::overflow())?;
    if *w.shape != [1, yi.channels.div_ceil(16), depth, 16] {
        return Err(RunError::shape(
            "the weights of a 3 x 3 convolution are [1, ceil(O/16), 9*C, 16]",
        ));
    }
    let kind = |t: &Option<Tensor<'_>>| t.as_ref().map(Tensor::kind);
    check_epilogue(kind(&bias), kind(&residual), &y.shape, yi.channels)?;
    if op.depth == 0 || !op.depth.is_multiple_of(16) {
        return Err(RunError::attribute("the depth is a multiple of 16"));
    }
    let p = Winograd {
        conv: window.convolution(&xi, &yi, 1, activation(&op.act)),
        depth: op.depth as usize,
    };
    if scratch.shape.count() < p.scratch(1, 1)? {
        return Err(RunError::shape(
            "the scratch of a 3 x 3 convolution holds a tile",
        ));
    }
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    let residual = residual.map(|t| t.as_slice::<f32>()).transpose()?;
    let (x, w) = (x.as_slice::<f32>()?, w.as_slice::<f32>()?);
    let (y, scratch) = (y.as_mut_slice::<f32>()?, scratch.as_mut_slice::<f32>()?);
    let parts = if y.len().saturating_mul(depth) < PARALLEL_WORK {
        1
    } else {
        cx.threads()
    };
    let spread = |n: usize, f: &(dyn Fn(usize) + Sync)| cx.parallel(n, f);
    let kernels = cx.kernels();
    Ok(kernels.winograd(&p, x, w, bias, residual, y, scratch, (parts, &spread))?)
}
