//! `softmax`, its logarithm, and hardmax, along one axis.

use crate::linear::PARALLEL_WORK;
use crate::{Cx, RunError};
use cygnet_format::op::{Softmax, SoftmaxKind};

pub(crate) fn run(op: &Softmax, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let in_place = cx.in_place(0, 0);
    let (_, shape) = cx.input_type(0)?;
    let x = if in_place { None } else { Some(cx.input(0)?) };
    let mut y = cx.output(0)?;
    if shape != y.shape {
        return Err(RunError::shape("softmax keeps the shape"));
    }
    let (_, n, inner) = shape
        .split(op.axis)
        .ok_or(RunError::attribute("the axis is out of range"))?;
    let x = x.map(|t| t.as_slice::<f32>()).transpose()?;
    let y = y.as_mut_slice::<f32>()?;
    if y.is_empty() {
        return Ok(());
    }
    let block = n * inner;
    let kernels = cx.kernels();
    let part = if y.len().saturating_mul(16) < PARALLEL_WORK {
        y.len()
    } else {
        block * (y.len() / block).div_ceil(cx.threads() * 2)
    };
    cx.parallel_chunks(y, part, &|i, y| {
        let x = x.map(|x| &x[i * part..][..y.len()]);
        let outer = y.len() / block;
        let log = op.kind == SoftmaxKind::Log;
        let _: () = match (op.kind, x) {
            (SoftmaxKind::Hard, x) => {
                if let Some(x) = x {
                    y.copy_from_slice(x);
                }
                hard(n, inner, y);
            }
            (_, Some(x)) => kernels.softmax(outer, n, inner, log, x, y)?,
            (_, None) => kernels.softmax_inplace(outer, n, inner, log, y)?,
        };
        Ok(())
    })
}

/// One at the first maximum, zero elsewhere.
fn hard(n: usize, inner: usize, y: &mut [f32]) {
    for block in y.chunks_exact_mut(n * inner) {
        for i in 0..inner {
            let mut best = 0;
            for k in 1..n {
                if block[k * inner + i] > block[best * inner + i] {
                    best = k;
                }
            }
            for k in 0..n {
                block[k * inner + i] = (k == best) as u8 as f32;
            }
        }
    }
}
