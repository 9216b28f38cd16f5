//! `unique`: distinct elements or slices.

use crate::Tensor;
use crate::{Cx, RunError};
use cygnet_format::op::Unique;
use cygnet_kernels::sort::{self, Comparison};

pub(crate) fn run(op: &Unique, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let (outer, n, inner) = if op.axis < 0 {
        (1, x.shape.count(), 1)
    } else {
        x.shape
            .split(op.axis)
            .ok_or(RunError::attribute("the axis does not exist"))?
    };
    let c = Comparison::of(x.dtype).ok_or(RunError::dtype("unique takes numbers and booleans"))?;
    by_size!(x.dtype, |N| find::<N>(op, cx, &x, c, outer, n, inner))
}

fn find<const N: usize>(
    op: &Unique,
    cx: &mut Cx<'_>,
    tensor: &Tensor<'_>,
    c: Comparison,
    outer: usize,
    n: usize,
    inner: usize,
) -> Result<(), RunError> {
    let x = tensor.bytes.as_chunks::<N>().0;
    let axis = op.axis.max(0) as usize;
    let flat = outer == 1 && inner == 1;
    let mut count = 0;
    if flat {
        // Sorted in the output itself, whose dimension is set once the count is known.
        cx.set_dim(0, axis, n)?;
    } else {
        let mut last = None;
        while let Some(i) = sort::next_row(c, x, outer, n, inner, op.sorted, last) {
            (last, count) = (Some(i), count + 1);
        }
        cx.set_dim(0, axis, count)?;
    }
    let y = cx.output(0)?;
    super::types::same_type(tensor, &y)?;
    let y = y.bytes.as_chunks_mut::<N>().0;
    if flat {
        super::types::fits(y.len() == n)?;
        y.copy_from_slice(x);
        count = if op.sorted {
            sort::sort_distinct(y, c)
        } else {
            sort::distinct_in_order(y, c)
        };
        cx.set_dim(0, axis, count)?;
    } else {
        super::types::fits(y.len() == outer * count * inner)?;
        let mut last = None;
        for to in 0..count {
            let Some(i) = sort::next_row(c, x, outer, n, inner, op.sorted, last) else {
                break;
            };
            for o in 0..outer {
                y[(o * count + to) * inner..][..inner]
                    .copy_from_slice(&x[(o * n + i) * inner..][..inner]);
            }
            last = Some(i);
        }
    }
    let y = &*y;
    let place = |i: usize| {
        let found = if flat {
            sort::find(&y[..count], x[i], op.sorted, c)
        } else {
            sort::find_row(c, x, n, i, y, count, outer, inner, op.sorted)
        };
        found.unwrap_or(0)
    };
    for out in [1, 3] {
        if cx.has_output(out) {
            cx.set_dim(out, 0, count)?;
        }
    }
    let (first, inverse, counts) = (cx.opt_output(1)?, cx.opt_output(2)?, cx.opt_output(3)?);
    if let Some(inverse) = inverse {
        let inverse = inverse.into_mut_slice::<i64>()?;
        super::types::fits(inverse.len() == n)?;
        inverse
            .iter_mut()
            .enumerate()
            .for_each(|(i, v)| *v = place(i) as i64);
    }
    let first = first.map(|t| t.into_mut_slice::<i64>()).transpose()?;
    let counts = counts.map(|t| t.into_mut_slice::<i64>()).transpose()?;
    if first.is_some() || counts.is_some() {
        sort::fill_first(&mut (0..n).map(place), first, counts);
    }
    Ok(())
}
