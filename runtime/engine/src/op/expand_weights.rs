//! `expand_weights`: compressed weights as floats, for operators that take those.

use crate::compressed::Stored;
use crate::{Cx, RunError};
use cygnet_format::op::ExpandWeights;

/// Halves that a thread takes at a time.
const HALVES: usize = 1 << 15;

pub(crate) fn run(op: &ExpandWeights, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let stored = Stored {
        bits: op.bits,
        group: op.group,
        codes: cx.input(0)?,
        scales: cx.opt_input(1)?,
        offsets: cx.opt_input(2)?,
        table: cx.opt_input(3)?,
    };
    let mut y = cx.output(0)?;
    let kernels = cx.kernels();
    if op.bits == 16 {
        if stored.codes.shape != y.shape || stored.scales.is_some() || stored.table.is_some() {
            return Err(RunError::shape(
                "halves expand to floats of the same shape, without scales",
            ));
        }
        let from = stored.codes.as_slice::<half::f16>()?;
        return cx.parallel_chunks(y.as_mut_slice::<f32>()?, HALVES, &|i, to| {
            Ok(kernels.expand_halves(&from[i * HALVES..][..to.len()], to)?)
        });
    }
    let [ref lead @ .., k, 16] = y.shape[..] else {
        return Err(RunError::shape("weights expand to panels [.., K, 16]"));
    };
    let panels = lead.iter().product();
    let w = stored.weights(panels, k, panels * 16)?;
    let y = y.as_mut_slice::<f32>()?;
    cx.parallel_chunks(y, (k * 16).max(1), &|i, to| {
        Ok(kernels.expand_weights(&w, i..i + 1, to)?)
    })
}
