//! `mat_mul`: batched matrix product with packed right operand and fused epilogue.

use crate::activation::activation;
use crate::broadcast::batch_position;
use crate::linear::{PARALLEL_WORK, gemm};
use crate::{Cx, RunError, TensorType};
use cygnet_format::op::MatMul;
use cygnet_kernels::Gemm;

pub(crate) fn run(op: &MatMul, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (bias, residual) = (cx.opt_input(2)?, cx.opt_input(3)?);
    let mut y = cx.output(0)?;
    let wrong = || RunError::shape("a matrix product takes [.., M, K] and [.., ceil(N/16), K, 16]");
    let (ar, br, yr) = (a.shape.rank(), b.shape.rank(), y.shape.rank());
    if ar < 2 || br < 3 || yr < 2 {
        return Err(wrong());
    }
    let (m, k, n) = (a.shape[ar - 2], a.shape[ar - 1], y.shape[yr - 1]);
    if y.shape[yr - 2] != m || b.shape[br - 3..] != [n.div_ceil(16), k, 16] {
        return Err(wrong());
    }
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    if bias.is_some_and(|bias| bias.len() != n) {
        return Err(RunError::shape("the bias has an element a column"));
    }
    if residual.is_some_and(|r| r.shape != y.shape) {
        return Err(RunError::shape("the residual has the shape of the result"));
    }
    let residual = residual.map(|t| t.as_slice::<f32>()).transpose()?;
    let shape = y.shape;
    let (batch, a_batch, b_batch) = (&shape[..yr - 2], &a.shape[..ar - 2], &b.shape[..br - 3]);
    let batches: usize = batch.iter().product();
    let (a, b, y) = (
        a.as_slice::<f32>()?,
        b.as_slice::<f32>()?,
        y.as_mut_slice::<f32>()?,
    );
    if y.is_empty() {
        return Ok(());
    }
    let params = |m| parameters(op, m, n, k);
    if batch_position(batch, a_batch, 0).is_none() || batch_position(batch, b_batch, 0).is_none() {
        return Err(wrong());
    }
    // One right operand for all rows: the batch is more rows.
    if b_batch.iter().all(|&d| d == 1) && a_batch.iter().product::<usize>() == batches {
        return gemm(cx, &params(batches * m), a, b, bias, residual, y);
    }
    let panels = b.len() / b_batch.iter().product::<usize>().max(1);
    let kernels = cx.kernels();
    let product = |i: usize, y: &mut [f32], split: Option<&Cx<'_>>| -> Result<(), RunError> {
        let at = |dims| batch_position(batch, dims, i).ok_or_else(wrong);
        let (a, b) = (
            &a[at(a_batch)? * m * k..][..m * k],
            &b[at(b_batch)? * panels..][..panels],
        );
        let residual = residual.map(|r| &r[i * m * n..][..m * n]);
        match split {
            Some(cx) => gemm(cx, &params(m), a, b, bias, residual, y),
            None => Ok(kernels.gemm(&params(m), a, b, bias, residual, y)?),
        }
    };
    let work = batches
        .saturating_mul(m)
        .saturating_mul(n)
        .saturating_mul(k);
    if work >= PARALLEL_WORK && batches >= 2 * cx.threads() {
        return cx.parallel_chunks(y, m * n, &|i, y| product(i, y, None));
    }
    y.chunks_exact_mut(m * n)
        .enumerate()
        .try_for_each(|(i, y)| product(i, y, Some(cx)))
}

fn parameters(op: &MatMul, m: usize, n: usize, k: usize) -> Gemm {
    Gemm {
        alpha: op.alpha,
        activation: activation(&op.act),
        ..Gemm::new(m, n, k)
    }
}

/// The kernel's parameters where one right operand serves all rows, for operands of types that a program may have.
pub(crate) fn prepare(
    op: &MatMul,
    [a, b]: [TensorType; 2],
    y: TensorType,
) -> Result<Gemm, RunError> {
    let (Some(&k), Some(&n), [batch @ .., _, _, _]) =
        (a.shape.last(), y.shape.last(), &b.shape[..])
    else {
        return Err(RunError::shape("a matrix product has two axes or more"));
    };
    let rows = y.shape.count() / n.max(1);
    if batch.iter().any(|&d| d != 1) || a.shape.count() != rows * k {
        return Err(RunError::unsupported("a right operand for each matrix"));
    }
    Ok(parameters(op, rows, n, k))
}
