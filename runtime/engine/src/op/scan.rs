//! `scan`: ONNX Scan. Slices of the scanned inputs are copied to the body's inputs, its outputs into the stacks.

use crate::cx::Control;
use crate::{Cx, RunError, RunErrorKind, TensorId};
use cygnet_format::op::Scan;
use cygnet_format::program::Operands;

pub(crate) fn run(op: &Scan, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut control = cx.control()?;
    let step = control.step();
    let body = control.program().block(op.body);
    let states = op.states as usize;
    let mut trips = None;
    for (i, &axis) in op.input_axes.iter().enumerate() {
        let shape = control.shape(operand(step.inputs, states + i)?)?;
        let n = shape
            .split(axis)
            .ok_or(RunError::attribute("a scan axis is out of range"))?
            .1;
        if *trips.get_or_insert(n) != n {
            return Err(RunError::shape("scanned inputs have equally many slices"));
        }
    }
    let trips = trips.ok_or(RunError::attribute("a scan has at least one scanned input"))?;
    for k in 0..states {
        control.assign(operand(step.inputs, k)?, operand(body.inputs, k)?)?;
    }
    for t in 0..trips {
        for (i, &axis) in op.input_axes.iter().enumerate() {
            let at = if op.input_reverse[i] != 0 {
                trips - 1 - t
            } else {
                t
            };
            let (whole, part) = (
                operand(step.inputs, states + i)?,
                operand(body.inputs, states + i)?,
            );
            slice(&mut control, whole, axis, at, part, true)?;
        }
        control.run_block(op.body)?;
        for (j, &axis) in op.output_axes.iter().enumerate() {
            let Some(whole) = step.outputs.get(states + j) else {
                continue;
            };
            let part = operand(body.outputs, states + j)?;
            if t == 0 {
                set_stack(&mut control, states + j, axis, trips, Some(part))?;
            }
            let at = if op.output_reverse[j] != 0 {
                trips - 1 - t
            } else {
                t
            };
            slice(&mut control, whole, axis, at, part, false)?;
        }
        for k in 0..states {
            control.assign(operand(body.outputs, k)?, operand(body.inputs, k)?)?;
        }
    }
    for k in 0..states {
        let Some(to) = step.outputs.get(k) else {
            continue;
        };
        control.assign(operand(body.inputs, k)?, to)?;
    }
    if trips == 0 {
        for (j, &axis) in op.output_axes.iter().enumerate() {
            if step.outputs.get(states + j).is_some() {
                set_stack(&mut control, states + j, axis, 0, None)?;
            }
        }
    }
    Ok(())
}

fn operand(list: Operands<'_>, i: usize) -> Result<TensorId, RunError> {
    list.get(i).ok_or(RunErrorKind::Index.into())
}

/// Gives the dimensions of a stack their values: `trips` on `axis`, those of `part` on the others.
fn set_stack(
    control: &mut Control<'_, '_>,
    output: usize,
    axis: i32,
    trips: usize,
    part: Option<TensorId>,
) -> Result<(), RunError> {
    let whole = operand(control.step().outputs, output)?;
    let rank = control.program().tensor(whole).dims.len();
    let part = part.map(|p| control.shape(p)).transpose()?;
    let mut from = 0;
    for d in 0..rank {
        let size = if d as i32 == axis {
            trips
        } else {
            let size = match &part {
                Some(shape) => *shape.get(from).ok_or(RunErrorKind::Rank)?,
                None => control.dim_of(whole, d).unwrap_or(0),
            };
            from += 1;
            size
        };
        control.set_dim(output, d, size)?;
    }
    Ok(())
}

/// Copies slice `at` of `whole` along `axis` to `part` (`out_of`), or the other way.
fn slice(
    control: &mut Control<'_, '_>,
    whole: TensorId,
    axis: i32,
    at: usize,
    part: TensorId,
    out_of: bool,
) -> Result<(), RunError> {
    let shape = control.shape(whole)?;
    let (outer, n, inner) = shape
        .split(axis)
        .ok_or(RunError::attribute("a scan axis is out of range"))?;
    if out_of {
        let mut from = 0;
        for (d, &size) in shape.iter().enumerate() {
            if d as i32 != axis {
                control.bind(part, from, size)?;
                from += 1;
            }
        }
    }
    let (whole_type, part_type) = (
        control.program().tensor(whole).dtype,
        control.program().tensor(part).dtype,
    );
    if whole_type != part_type || control.shape(part)?.count() != outer * inner {
        return Err(RunError::shape("a slice of a scan does not fit the body"));
    }
    let run = inner * whole_type.size();
    for o in 0..outer {
        let (large, small) = ((o * n + at) * run, o * run);
        if out_of {
            control.copy_part(whole, large, part, small, run)?;
        } else {
            control.copy_part(part, small, whole, large, run)?;
        }
    }
    Ok(())
}
