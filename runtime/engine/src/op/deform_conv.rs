//! `deform_conv`.

use super::axes::check_axes;
use super::geometry::exactly;
use crate::{Cx, RunError};
use cygnet_format::op::DeformConv;
use cygnet_kernels::sample::{DeformGeometry, deform_conv};

pub(crate) fn run(op: &DeformConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, w, offset) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (bias, mask, y) = (cx.opt_input(3)?, cx.opt_input(4)?, cx.output(0)?);
    check_axes(x.shape.len() == 4 && y.shape.len() == 4 && x.shape[0] == y.shape[0])?;
    let pads = exactly::<4>(&op.pads)?;
    let g = DeformGeometry {
        batch: x.shape[0],
        input: [x.shape[1], x.shape[2]],
        output: [y.shape[1], y.shape[2]],
        kernel: exactly(&op.kernel)?,
        strides: exactly(&op.strides)?,
        dilations: exactly(&op.dilations)?,
        pads_before: [pads[0], pads[1]],
        channels: x.shape[3],
        outputs: y.shape[3],
        group: op.group as usize,
        offset_group: op.offset_group as usize,
    };
    let bias = bias.map(|b| b.as_slice::<f32>()).transpose()?;
    let mask = mask.map(|m| m.as_slice::<f32>()).transpose()?;
    Ok(deform_conv(
        &g,
        x.as_slice()?,
        w.as_slice()?,
        offset.as_slice()?,
        bias,
        mask,
        y.into_mut_slice()?,
    )?)
}
