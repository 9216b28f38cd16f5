//! Matrix products split over threads.

use crate::cx::Cx;
use crate::error::RunError;
use crate::parallel::SharedMut;
use core::sync::atomic::{AtomicBool, Ordering};
use cygnet_kernels::Gemm;

/// Multiply-adds below which a step stays on one thread: waking a worker costs about as much.
pub(crate) const PARALLEL_WORK: usize = 1 << 17;

/// Rows of a part are a multiple of this, so that few register tiles are cut.
const ROW_GRAIN: usize = 24;

/// `c = act(alpha a b + bias + residual)`, split by rows or, where there are few, by panels of 16 columns.
pub(crate) fn gemm(
    cx: &Cx<'_>,
    p: &Gemm,
    a: &[f32],
    b: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    c: &mut [f32],
) -> Result<(), RunError> {
    let kernels = cx.kernels();
    let threads = cx.threads();
    if threads == 1 || p.m.saturating_mul(p.n).saturating_mul(p.k) < PARALLEL_WORK {
        return Ok(kernels.gemm(p, a, b, bias, residual, c)?);
    }
    if c.len()
        < p.m
            .saturating_sub(1)
            .saturating_mul(p.ldc)
            .saturating_add(p.n)
        || p.ldc < p.n
    {
        return Err(RunError::shape(
            "the result of a matrix product is too short",
        ));
    }
    let (m, panels) = (p.m, p.panels());
    let by_rows = m >= threads * ROW_GRAIN;
    let (count, grain) = if by_rows { (m, ROW_GRAIN) } else { (panels, 1) };
    // Two parts a thread even out cores of different speed.
    let part = count.div_ceil(threads * 2).next_multiple_of(grain);
    let shared = SharedMut(c.as_mut_ptr());
    let failed = AtomicBool::new(false);
    cx.parallel(count.div_ceil(part), &|i| {
        let range = i * part..((i + 1) * part).min(count);
        let (rows, columns) = if by_rows {
            (range, 0..panels)
        } else {
            (0..m, range)
        };
        // SAFETY: `c` is borrowed exclusively and long enough (checked above); parts are disjoint in rows or in columns.
        let done =
            unsafe { kernels.gemm_part(p, a, b, bias, residual, shared.get(), rows, columns) };
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if failed.into_inner() {
        Err(crate::RunErrorKind::Kernel.into())
    } else {
        Ok(())
    }
}
