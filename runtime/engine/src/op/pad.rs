//! `pad`: elements around a tensor.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::{MAX_RANK, op::{Pad, PadMode}};
use cygnet_kernels::movement::{self, PadSource};

pub(crate) fn run(op: &Pad, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut before = [0usize; MAX_RANK];
    for (axis, &d) in op.before.iter().enumerate() {
        before[axis] = cx.dim(d)?;
    }
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    let rank = x.shape.len();
    check_axes(x.dtype == y.dtype && op.before.len() == rank && y.shape.len() == rank)?;
    // A zero byte pattern is zero in every element type.
    let mut fill = [0u8; 16];
    if cx.has_input(1) {
        let value = cx.input(1)?;
        check_axes(value.dtype == x.dtype && value.bytes.len() == x.dtype.size())?;
        fill[..value.bytes.len()].copy_from_slice(value.bytes);
    }
    let source = match op.mode {
        PadMode::Constant => PadSource::Constant,
        PadMode::Edge => PadSource::Edge,
        PadMode::Reflect => PadSource::Reflect,
        PadMode::Wrap => PadSource::Wrap,
    };
    Ok(movement::pad(x.dtype.size(), &x.shape, &y.shape, &before[..rank], source, &fill, x.bytes, y.bytes)?)
}
