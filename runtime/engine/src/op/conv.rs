//! `conv`: channels-last convolution with packed weights and fused epilogue.

use crate::activation::activation;
use crate::linear::{PARALLEL_WORK, gemm};
use crate::spatial::{Image, Window, check_epilogue, convolve, operands};
use crate::{Cx, RunError, TensorType};
use cygnet_format::op;
use cygnet_kernels::{Conv, Kernels};

pub(crate) fn run(op: &op::Conv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (p, o, y) = operands(cx, |x, epilogue, y| prepare(op, x, epilogue, y))?;
    if y.is_empty() {
        return Ok(());
    }
    if let Some(g) = p.product(p.rows()) {
        return gemm(cx, &g, o.x, o.weights, o.bias, o.residual, y);
    }
    let rows = p.rows();
    let depth = p.kernel.iter().product::<usize>() * (p.in_channels / p.groups);
    let work = y.len().saturating_mul(depth);
    let part = if work < PARALLEL_WORK {
        rows
    } else {
        rows.div_ceil(cx.threads() * 4)
    };
    convolve(cx, Kernels::conv, &p, o, y, part)
}

/// The kernel's parameters for operands `x, weights`, an optional bias and residual, and a result.
pub(crate) fn prepare(
    op: &op::Conv,
    [x, w]: [TensorType; 2],
    [bias, residual]: [Option<TensorType>; 2],
    y: TensorType,
) -> Result<Conv, RunError> {
    let window = Window::new(&x.shape, &op.kernel, &op.strides, &op.dilations, &op.pads)?;
    let (xi, yi) = (Image::new(&x.shape)?, Image::new(&y.shape)?);
    let groups = op.group as usize;
    let divides = groups > 0 && xi.channels % groups == 0 && yi.channels % groups == 0;
    let depth = window
        .taps()
        .and_then(|t| t.checked_mul(xi.channels))
        .ok_or(RunError::overflow())?;
    if x.shape.rank() != y.shape.rank() || xi.batch != yi.batch || !divides {
        return Err(RunError::shape(
            "a convolution keeps the batch, and the groups divide the channels",
        ));
    }
    if *w.shape
        != [
            groups,
            (yi.channels / groups).div_ceil(16),
            depth / groups,
            16,
        ]
    {
        return Err(RunError::shape(
            "convolution weights are [G, ceil(O/G/16), taps*C/G, 16]",
        ));
    }
    check_epilogue(bias, residual, &y.shape, yi.channels)?;
    Ok(window.convolution(&xi, &yi, groups, activation(&op.act)))
}
