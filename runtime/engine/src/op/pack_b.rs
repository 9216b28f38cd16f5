//! `pack_b`: matrices into panels of 16 columns.

use crate::{Cx, RunError};
use cygnet_format::op::PackB;
use cygnet_kernels::gemm::{pack_b, packed_len};

pub(crate) fn run(op: &PackB, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let b = cx.input(0)?;
    let mut y = cx.output(0)?;
    let wrong = || RunError::shape("pack_b gives [.., ceil(N/16), K, 16]");
    let rank = b.shape.rank();
    if rank < 2 || y.shape.rank() != rank + 1 {
        return Err(wrong());
    }
    let (rows, columns) = (b.shape[rank - 2], b.shape[rank - 1]);
    let (k, n) = if op.trans {
        (columns, rows)
    } else {
        (rows, columns)
    };
    if y.shape[..rank - 2] != b.shape[..rank - 2] || y.shape[rank - 2..] != [n.div_ceil(16), k, 16]
    {
        return Err(wrong());
    }
    let (row_stride, column_stride) = if op.trans { (1, k) } else { (n, 1) };
    let (from, to) = (b.as_slice::<f32>()?, y.as_mut_slice::<f32>()?);
    if to.is_empty() || from.is_empty() {
        to.fill(0.0);
        return Ok(());
    }
    cx.parallel_chunks(to, packed_len(k, n), &|i, to| {
        Ok(pack_b(
            &from[i * k * n..][..k * n],
            k,
            n,
            row_stride,
            column_stride,
            to,
        )?)
    })
}
