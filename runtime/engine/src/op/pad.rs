//! `pad`: elements around a tensor.

use crate::{Cx, RunError};
use cygnet_format::MAX_RANK;
use cygnet_format::op::{Pad, PadMode};
use cygnet_kernels::movement::{PadSource, pad};

pub(crate) fn run(op: &Pad, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let value = cx.opt_input(1)?;
    let y = cx.output(0)?;
    let rank = x.shape.rank();
    if op.before.len() != rank || y.shape.rank() != rank || x.dtype != y.dtype {
        return Err(RunError::shape("pad lists every axis"));
    }
    let mut before = [0; MAX_RANK];
    for (to, &d) in before.iter_mut().zip(op.before.iter()) {
        *to = cx.dim(d)?;
    }
    let source = match op.mode {
        PadMode::Constant => PadSource::Constant,
        PadMode::Edge => PadSource::Edge,
        PadMode::Reflect => PadSource::Reflect,
        PadMode::Wrap => PadSource::Wrap,
    };
    let fill = match &value {
        Some(v) if v.dtype != x.dtype || v.shape.count() != 1 => {
            return Err(RunError::shape(
                "the pad value is one element of the tensor's type",
            ));
        }
        Some(v) => v.bytes,
        None => &[0u8; 8][..],
    };
    Ok(pad(
        x.dtype.size(),
        &x.shape,
        &y.shape,
        &before[..rank],
        source,
        fill,
        x.bytes,
        y.bytes,
    )?)
}
