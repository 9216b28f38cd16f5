//! `group_norm` on channels-last tensors; instance norm is one group a channel.

use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::op::GroupNorm;

/// Channels that are summed side by side.
const WIDTH: usize = 64;

pub(crate) fn run(op: &GroupNorm, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, scale, bias) = (cx.input(0)?, cx.opt_input(1)?, cx.opt_input(2)?);
    let mut y = cx.output(0)?;
    let rank = x.shape.rank();
    if rank < 2 || x.shape != y.shape {
        return Err(RunError::shape("a group norm keeps the shape [N, S.., C]"));
    }
    let (c, groups) = (x.shape[rank - 1], op.groups as usize);
    if groups == 0 || c % groups != 0 {
        return Err(RunError::attribute("the groups divide the channels"));
    }
    if [&scale, &bias]
        .into_iter()
        .flatten()
        .any(|t| t.shape.count() != c)
    {
        return Err(RunError::shape("scale and bias have an element a channel"));
    }
    let scale = scale.map(|t| t.as_slice::<f32>()).transpose()?;
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    let image: usize = x.shape[1..].iter().product();
    let (x, y) = (x.as_slice::<f32>()?, y.as_mut_slice::<f32>()?);
    if y.is_empty() {
        return Ok(());
    }
    let part = if y.len() < PARALLEL_WORK {
        y.len()
    } else {
        image
    };
    cx.parallel_chunks(y, part, &|i, y| {
        let x = &x[i * part..][..y.len()];
        for (x, y) in x.chunks_exact(image).zip(y.chunks_exact_mut(image)) {
            let width = c / groups;
            if width > WIDTH {
                (0..groups).for_each(|g| wide(x, y, c, g * width, width, op.epsilon, scale, bias));
            } else {
                let step = WIDTH / width * width;
                for first in (0..c).step_by(step) {
                    narrow(
                        x,
                        y,
                        c,
                        first,
                        step.min(c - first),
                        width,
                        op.epsilon,
                        scale,
                        bias,
                    );
                }
            }
        }
        Ok(())
    })
}

/// One group of channels `first .. first + width`.
fn wide(
    x: &[f32],
    y: &mut [f32],
    c: usize,
    first: usize,
    width: usize,
    epsilon: f32,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
) {
    let range = first..first + width;
    let count = (x.len() / c * width) as f64;
    let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
        let pixel = |p: &[f32]| p[range.clone()].iter().map(|&v| f(v as f64)).sum::<f64>();
        x.chunks_exact(c).map(pixel).sum()
    };
    let mean = sum(&|v| v) / count;
    let inverse = 1.0 / libm::sqrt(sum(&|v| (v - mean) * (v - mean)) / count + epsilon as f64);
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        for ch in range.clone() {
            let v = (x[ch] - mean as f32) * inverse as f32;
            y[ch] = v * scale.map_or(1.0, |s| s[ch]) + bias.map_or(0.0, |b| b[ch]);
        }
    }
}

/// Several groups of `width` channels, `count` channels from `first`.
fn narrow(
    x: &[f32],
    y: &mut [f32],
    c: usize,
    first: usize,
    count: usize,
    width: usize,
    epsilon: f32,
    scale: Option<&[f32]>,
    bias: Option<&[f32]>,
) {
    let elements = (x.len() / c * width) as f64;
    let spread = |sums: &mut [f64]| {
        for group in sums.chunks_exact_mut(width) {
            let total = group.iter().sum::<f64>() / elements;
            group.fill(total);
        }
    };
    let mut mean = [0f64; WIDTH];
    let mean = &mut mean[..count];
    for x in x.chunks_exact(c) {
        for (m, &v) in mean.iter_mut().zip(&x[first..]) {
            *m += v as f64;
        }
    }
    spread(mean);
    let mut variance = [0f64; WIDTH];
    let variance = &mut variance[..count];
    for x in x.chunks_exact(c) {
        for ((s, &m), &v) in variance.iter_mut().zip(&*mean).zip(&x[first..]) {
            *s += (v as f64 - m) * (v as f64 - m);
        }
    }
    spread(variance);
    let (mut factor, mut offset) = ([0f32; WIDTH], [0f32; WIDTH]);
    for ch in 0..count {
        let f = 1.0 / libm::sqrt(variance[ch] + epsilon as f64)
            * scale.map_or(1.0, |s| s[first + ch] as f64);
        factor[ch] = f as f32;
        offset[ch] = bias.map_or(0.0, |b| b[first + ch]);
    }
    for (x, y) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)) {
        let (x, y) = (&x[first..first + count], &mut y[first..first + count]);
        for ch in 0..count {
            y[ch] = (x[ch] - mean[ch] as f32) * factor[ch] + offset[ch];
        }
    }
}
