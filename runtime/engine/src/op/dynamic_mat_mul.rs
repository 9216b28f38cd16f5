//! `dynamic_mat_mul`: a product of 8-bit integers, whose left operand is quantised row by row.

use crate::activation::activation;
use crate::linear::PARALLEL_WORK;
use crate::parallel::SharedMut;
use crate::{Cx, RunError, RunErrorKind};
use core::sync::atomic::{AtomicBool, Ordering};
use cygnet_format::op::DynamicMatMul;
use cygnet_kernels::quantized::dynamic::{Columns, DynamicGemm, HEAD, row_words};

/// Rows of a part are a multiple of this: whole tiles of three and of four.
const ROW_GRAIN: usize = 12;

pub(crate) fn run(op: &DynamicMatMul, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w, sums, scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
    let (bias, residual) = (cx.opt_input(4)?, cx.opt_input(5)?);
    let (mut y, mut scratch) = (cx.output(0)?, cx.output(1)?);
    let wrong = || RunError::shape("a dynamic product takes [.., K] to [.., N]");
    let (Some((&k, lead)), Some((&n, rows))) = (x.shape.split_last(), y.shape.split_last()) else {
        return Err(wrong());
    };
    if lead != rows {
        return Err(wrong());
    }
    let m: usize = rows.iter().product();
    if *w.shape != [n.div_ceil(16), k.div_ceil(4), 16, 4] {
        return Err(RunError::shape(
            "the weights of a dynamic product are [ceil(N/16), ceil(K/4), 16, 4]",
        ));
    }
    let column = |count: usize| count == n;
    if !column(sums.shape.count())
        || !column(scale.shape.count())
        || bias.is_some_and(|b| !column(b.shape.count()))
        || residual.is_some_and(|r| r.shape != y.shape)
    {
        return Err(RunError::shape(
            "sums, scales and the bias have an element a column, the residual the shape of the result",
        ));
    }
    let columns = Columns {
        weights: w.as_slice()?,
        sums: sums.as_slice()?,
        scale: scale.as_slice()?,
        bias: bias.map(|t| t.as_slice()).transpose()?,
    };
    let residual = residual.map(|t| t.as_slice::<f32>()).transpose()?;
    let x = x.as_slice::<f32>()?;
    let y = y.as_mut_slice::<f32>()?;
    if y.is_empty() {
        return Ok(());
    }
    let words = row_words(k);
    let need = m.checked_mul(words + HEAD).ok_or(RunError::overflow())?;
    let scratch = scratch.as_mut_slice::<i32>()?;
    if scratch.len() < need {
        return Err(RunError::shape(
            "the scratch of a dynamic product holds the quantised rows",
        ));
    }
    let (heads, values) = scratch[..need].split_at_mut(m * HEAD);
    let kernels = cx.kernels();
    let threads = cx.threads();
    let work = m.saturating_mul(n).saturating_mul(k);
    let alone = threads == 1 || work < PARALLEL_WORK;
    let each = if alone { m } else { m.div_ceil(threads) };
    cx.parallel_pairs(
        (&mut *heads, each * HEAD),
        (&mut *values, each * words),
        &|i, heads, values| {
            let rows = heads.len() / HEAD;
            Ok(kernels.quantise_rows(k, &x[i * each * k..][..rows * k], heads, values)?)
        },
    )?;
    let p = DynamicGemm {
        m,
        n,
        k,
        activation: activation(&op.act),
    };
    let panels = n.div_ceil(16);
    let by_rows = m >= threads * 2 * ROW_GRAIN;
    let (count, grain) = if by_rows { (m, ROW_GRAIN) } else { (panels, 1) };
    let part = if alone {
        count
    } else {
        // Two parts a thread even out cores of different speed.
        count.div_ceil(threads * 2).next_multiple_of(grain)
    };
    let c = SharedMut(y.as_mut_ptr());
    let rows: (&[i32], &[i32]) = (heads, values);
    let failed = AtomicBool::new(false);
    cx.parallel(count.div_ceil(part), &|i| {
        let range = i * part..((i + 1) * part).min(count);
        let (r, columns_of) = if by_rows {
            (range, 0..panels)
        } else {
            (0..m, range)
        };
        // SAFETY: `y` is borrowed exclusively and has m rows of n columns; parts are disjoint in rows or in columns.
        let done = unsafe {
            kernels.dynamic_gemm_part(&p, rows, &columns, residual, c.get(), r, columns_of)
        };
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if failed.into_inner() {
        Err(RunErrorKind::Kernel.into())
    } else {
        Ok(())
    }
}
