//! `grid_sample`.

use super::axes::check_axes;
use crate::{Cx, RunError};
use cygnet_format::op::GridSample;
use cygnet_kernels::sample::{GridGeometry, grid_sample};

pub(crate) fn run(op: &GridSample, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (x, grid, y) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
    let rank = x.shape.len();
    check_axes(rank >= 3 && grid.shape.len() >= 2 && y.shape.len() == grid.shape.len())?;
    let last = grid.shape.len() - 1;
    check_axes(
        grid.shape[last] == rank - 2
            && grid.shape[0] == x.shape[0]
            && y.shape[..last] == grid.shape[..last],
    )?;
    check_axes(y.shape[last] == x.shape[rank - 1])?;
    let geometry = GridGeometry {
        batch: x.shape[0],
        space: &x.shape[1..rank - 1],
        channels: x.shape[rank - 1],
        points: grid.shape[1..last].iter().product(),
        mode: op.mode,
        padding: op.padding,
        align_corners: op.align_corners,
    };
    Ok(grid_sample(
        &geometry,
        x.as_slice()?,
        grid.as_slice()?,
        y.into_mut_slice()?,
    )?)
}
