//! `layer_norm` and RMS norm over the trailing axes.

use crate::broadcast::{Rows, strides};
use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError, Shape, Tensor};
use cygnet_format::op::LayerNorm;

pub(crate) fn run(op: &LayerNorm, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, scale, bias) = (cx.input(0)?, cx.opt_input(1)?, cx.opt_input(2)?);
    let mut y = cx.output(0)?;
    let axis = usize::try_from(op.axis)
        .ok()
        .filter(|&a| a <= x.shape.rank());
    let axis = axis.ok_or(RunError::attribute("the axis is out of range"))?;
    if x.shape != y.shape {
        return Err(RunError::shape("a norm keeps the shape"));
    }
    let shape = y.shape;
    let (rows, n) = (
        shape[..axis].iter().product::<usize>(),
        shape[axis..].iter().product::<usize>(),
    );
    let mut mean = cx.opt_output(1)?;
    let mut inverse = cx.opt_output(2)?;
    let (source, y) = (x.as_slice::<f32>()?, y.as_mut_slice::<f32>()?);
    if y.is_empty() {
        return Ok(());
    }
    let plain = |t: &Option<Tensor<'_>>| {
        t.is_none_or(|t| t.shape.count() == n && suffix(&t.shape, &shape, axis))
    };
    if mean.is_none()
        && inverse.is_none()
        && plain(&scale)
        && plain(&bias)
        && !(op.rms && bias.is_some())
    {
        let scale = scale.map(|t| t.as_slice::<f32>()).transpose()?;
        let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
        let kernels = cx.kernels();
        let part = if y.len().saturating_mul(8) < PARALLEL_WORK {
            rows
        } else {
            rows.div_ceil(cx.threads() * 2)
        };
        return cx.parallel_chunks(y, part * n, &|i, y| {
            let x = &source[i * part * n..][..y.len()];
            let rows = y.len() / n;
            let _: () = match op.rms {
                true => kernels.rms_norm(rows, n, op.epsilon, scale, x, y)?,
                false => kernels.layer_norm(rows, n, op.epsilon, scale, bias, x, y)?,
            };
            Ok(())
        });
    }
    let mean = mean.as_mut().map(|t| t.as_mut_slice::<f32>()).transpose()?;
    let inverse = inverse
        .as_mut()
        .map(|t| t.as_mut_slice::<f32>())
        .transpose()?;
    let statistics = |t: &Option<&mut [f32]>| t.as_ref().is_none_or(|t| t.len() == rows);
    if !statistics(&mean) || !statistics(&inverse) {
        return Err(RunError::shape(
            "the statistics of a norm have an element a row",
        ));
    }
    let (mut mean, mut inverse) = (mean, inverse);
    for (r, (x, y)) in source
        .chunks_exact(n)
        .zip(y.chunks_exact_mut(n))
        .enumerate()
    {
        let m = if op.rms {
            0.0
        } else {
            x.iter().map(|&v| v as f64).sum::<f64>() / n as f64
        };
        let variance = x
            .iter()
            .map(|&v| (v as f64 - m) * (v as f64 - m))
            .sum::<f64>()
            / n as f64;
        let inv = 1.0 / libm::sqrt(variance + op.epsilon as f64);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = ((x as f64 - m) * inv) as f32;
        }
        if let Some(mean) = &mut mean {
            mean[r] = m as f32;
        }
        if let Some(inverse) = &mut inverse {
            inverse[r] = inv as f32;
        }
    }
    apply(&shape, &scale, y, |y, s| *y *= s)?;
    apply(&shape, &bias, y, |y, b| *y += b)
}

/// True when the operand is exactly the normalised axes, perhaps behind axes of length one.
fn suffix(t: &Shape, shape: &Shape, axis: usize) -> bool {
    let own = shape.rank() - axis;
    t.rank() >= own && t[t.rank() - own..] == shape[axis..] && t.rank() <= shape.rank()
}

fn apply(
    shape: &Shape,
    t: &Option<Tensor<'_>>,
    y: &mut [f32],
    f: impl Fn(&mut f32, f32),
) -> Result<(), RunError> {
    let Some(t) = t else { return Ok(()) };
    let values = t.as_slice::<f32>()?;
    let rows = Rows::new(shape, &[strides(&t.shape, shape)?]);
    rows.each(|at, [mut from]| {
        for y in &mut y[at..at + rows.len()] {
            f(y, values[from]);
            from += rows.step(0);
        }
    });
    Ok(())
}
