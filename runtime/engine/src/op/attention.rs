//! `attention`: `softmax(scale*q*k^T + mask) v` for every head, without a score matrix.

use crate::broadcast::batch_position;
use crate::{Cx, RunError};
use cygnet_format::op;
use cygnet_kernels::Attention;

pub(crate) fn run(op: &op::Attention, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (q, k, v, mask) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.opt_input(3)?);
    let kernels = cx.kernels();
    let mut y = cx.output(0)?;
    let wrong =
        || RunError::shape("attention takes q[..,S,D], k[..,T,D], v[..,T,E] and gives [..,S,E]");
    let rank = q.shape.rank();
    if rank < 2 || [k.shape.rank(), v.shape.rank(), y.shape.rank()] != [rank; 3] {
        return Err(wrong());
    }
    let lead = rank - 2;
    let shape = y.shape;
    let batch = &shape[..lead];
    let (s, d, t, e) = (
        q.shape[lead],
        q.shape[lead + 1],
        k.shape[lead],
        v.shape[lead + 1],
    );
    let same = q.shape[..lead] == *batch && k.shape[..lead] == *batch && v.shape[..lead] == *batch;
    if !same || k.shape[lead + 1] != d || v.shape[lead] != t || shape[lead..] != [s, e] {
        return Err(wrong());
    }
    let mask = match mask {
        Some(m) => {
            let mr = m.shape.rank();
            let (rows, columns) = (
                mr.checked_sub(2).map_or(1, |i| m.shape[i]),
                mr.checked_sub(1).map_or(1, |i| m.shape[i]),
            );
            let dims = m.shape;
            let lead_dims = mr.saturating_sub(2);
            batch_position(batch, &dims[..lead_dims], 0).ok_or_else(wrong)?;
            if (rows != 1 && rows != s) || (columns != 1 && columns != t) {
                return Err(RunError::shape("the mask broadcasts to [.., S, T]"));
            }
            Some((m.as_slice::<f32>()?, dims, lead_dims, rows, columns))
        }
        None => None,
    };
    let (q, k, v, y) = (
        q.as_slice::<f32>()?,
        k.as_slice::<f32>()?,
        v.as_slice::<f32>()?,
        y.as_mut_slice::<f32>()?,
    );
    if y.is_empty() {
        return Ok(());
    }
    let plain = op.softcap == 0.0 && mask.as_ref().is_none_or(|m| m.4 == t);
    let p = Attention {
        queries: s,
        keys: t,
        depth: d,
        value_depth: e,
        q_stride: d,
        k_stride: d,
        v_stride: e,
        out_stride: e,
        mask_stride: mask.as_ref().map_or(0, |m| if m.3 == 1 { 0 } else { m.4 }),
        scale: op.scale,
        causal: op.causal.then_some(0),
    };
    cx.parallel_chunks(y, s * e, &|i, y| {
        let (q, k, v) = (
            &q[i * s * d..][..s * d],
            &k[i * t * d..][..t * d],
            &v[i * t * e..][..t * e],
        );
        let mask = match &mask {
            Some((values, dims, lead, rows, columns)) => {
                let at = batch_position(&shape[..rank - 2], &dims[..*lead], i).ok_or_else(wrong)?;
                let size = rows * columns;
                Some((&values[at * size..][..size], *columns))
            }
            None => None,
        };
        if plain {
            return Ok(kernels.attention(&p, q, k, v, mask.map(|m| m.0), y)?);
        }
        capped(&p, op.softcap, q, k, v, mask, y);
        Ok(())
    })
}

/// The general case: soft-capped scores, masks with one column. Scores are computed twice rather than stored.
fn capped(
    p: &Attention,
    softcap: f32,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    mask: Option<(&[f32], usize)>,
    y: &mut [f32],
) {
    let (d, e) = (p.depth, p.value_depth);
    for (i, y) in y.chunks_exact_mut(e).enumerate() {
        let q = &q[i * d..][..d];
        let keys = p.causal.map_or(p.keys, |offset| p.keys.min(i + offset + 1));
        let score = |j: usize| -> f32 {
            let dot: f32 = q.iter().zip(&k[j * d..][..d]).map(|(a, b)| a * b).sum();
            let mut s = dot * p.scale;
            if softcap > 0.0 {
                s = softcap * libm::tanhf(s / softcap);
            }
            let add = |(m, columns): (&[f32], usize)| {
                m[i * p.mask_stride + if columns == 1 { 0 } else { j }]
            };
            s + mask.map_or(0.0, add)
        };
        let top = (0..keys).map(score).fold(f32::NEG_INFINITY, f32::max);
        y.fill(0.0);
        if top == f32::NEG_INFINITY {
            continue;
        }
        let mut total = 0.0;
        for j in 0..keys {
            let w = libm::expf(score(j) - top);
            total += w;
            for (y, &v) in y.iter_mut().zip(&v[j * e..][..e]) {
                *y += w * v;
            }
        }
        y.iter_mut().for_each(|y| *y /= total);
    }
}
