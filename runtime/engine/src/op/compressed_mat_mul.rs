//! `compressed_mat_mul`: a product with weights of few bits.

use crate::activation::activation;
use crate::compressed::Stored;
use crate::linear::PARALLEL_WORK;
use crate::parallel::SharedMut;
use crate::{Cx, RunError, RunErrorKind};
use core::sync::atomic::{AtomicBool, Ordering};
use cygnet_format::op::CompressedMatMul;
use cygnet_kernels::Gemm;

pub(crate) fn run(op: &CompressedMatMul, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (a, codes) = (cx.input(0)?, cx.input(1)?);
    let stored = Stored {
        bits: op.bits,
        group: op.group,
        codes,
        scales: cx.opt_input(2)?,
        offsets: cx.opt_input(3)?,
        table: cx.opt_input(4)?,
    };
    let (bias, residual) = (cx.opt_input(5)?, cx.opt_input(6)?);
    let (mut y, mut scratch) = (cx.output(0)?, cx.opt_output(1)?);
    let wrong = || RunError::shape("a compressed product takes [.., K] to [.., N]");
    let (Some((&k, lead)), Some((&n, rows))) = (a.shape.split_last(), y.shape.split_last()) else {
        return Err(wrong());
    };
    if lead != rows {
        return Err(wrong());
    }
    let m: usize = rows.iter().product();
    if bias.is_some_and(|b| b.shape.count() != n) || residual.is_some_and(|r| r.shape != y.shape) {
        return Err(RunError::shape(
            "the bias has an element a column, the residual the shape of the result",
        ));
    }
    let w = stored.weights(n.div_ceil(16), k, n)?;
    let bias = bias.map(|t| t.as_slice::<f32>()).transpose()?;
    let residual = residual.map(|t| t.as_slice::<f32>()).transpose()?;
    let a = a.as_slice::<f32>()?;
    let y = y.as_mut_slice::<f32>()?;
    if y.is_empty() {
        return Ok(());
    }
    let p = Gemm {
        activation: activation(&op.act),
        ..Gemm::new(m, n, k)
    };
    let panels = p.panels();
    let direct = m == 1 && w.in_registers();
    let (room, workers): (&mut [f32], usize) = match &mut scratch {
        Some(t) if !direct => {
            let workers = t.shape.first().copied().unwrap_or(1).max(1);
            (t.as_mut_slice::<f32>()?, workers)
        }
        _ => (&mut [], if direct { cx.threads() } else { 1 }),
    };
    let part = room.len() / workers;
    if !direct && part < k.saturating_mul(16) {
        return Err(RunError::shape(
            "the scratch of a compressed product holds a panel of the weights",
        ));
    }
    let kernels = cx.kernels();
    let work = m.saturating_mul(n).saturating_mul(k);
    let tasks = if work < PARALLEL_WORK {
        1
    } else {
        workers.min(cx.threads()).min(panels)
    };
    let each = panels.div_ceil(tasks);
    let (c, room) = (SharedMut(y.as_mut_ptr()), SharedMut(room.as_mut_ptr()));
    let failed = AtomicBool::new(false);
    cx.parallel(tasks, &|i| {
        let range = (i * each).min(panels)..((i + 1) * each).min(panels);
        // SAFETY: `y` and the scratch are borrowed exclusively; tasks have panels and a worker's scratch of their own,
        // as there are no more tasks than workers; `y` has m rows of n columns.
        let done = unsafe {
            let room = core::slice::from_raw_parts_mut(room.get().wrapping_add(i * part), part);
            kernels.compressed_gemm_part(&p, a, &w, bias, residual, c.get(), range, room)
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
