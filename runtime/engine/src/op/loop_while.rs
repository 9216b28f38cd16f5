//! `loop_while`: ONNX Loop. Carried values live in the body's inputs; scan outputs are written as they come.

use crate::cx::Control;
use crate::{Cx, RunError, RunErrorKind};
use cygnet_format::op::Loop;
use cygnet_format::program::Operands;

pub(crate) fn run(op: &Loop, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut control = cx.control()?;
    let step = control.step();
    let body = control.program().block(op.body);
    let carried = op.carried as usize;
    let trips = match step.inputs.get(0) {
        Some(id) => control.integer(id)?,
        None => i64::MAX,
    };
    let mut proceed = match step.inputs.get(1) {
        Some(id) => control.flag(Some(id))?,
        None => true,
    };
    check_disjoint(&control, body.inputs, body.outputs)?;
    for k in 0..carried {
        let (from, to) = (operand(step.inputs, k + 2)?, operand(body.inputs, k + 2)?);
        control.assign(from, to)?;
    }
    let mut trip = 0i64;
    while trip < trips && proceed {
        control.put::<i64>(operand(body.inputs, 0)?, trip)?;
        control.put::<u8>(operand(body.inputs, 1)?, 1)?;
        control.run_block(op.body)?;
        proceed = control.flag(body.outputs.get(0))?;
        for j in carried..step.outputs.len() {
            let Some(to) = step.outputs.get(j) else {
                continue;
            };
            let from = operand(body.outputs, j + 1)?;
            let len = control.view(from)?.bytes.len();
            let at = usize::try_from(trip)
                .ok()
                .and_then(|t| t.checked_mul(len))
                .ok_or(RunError::overflow())?;
            control.copy_within_bound(from, to, at)?;
        }
        for k in 0..carried {
            let (from, to) = (operand(body.outputs, k + 1)?, operand(body.inputs, k + 2)?);
            control.assign(from, to)?;
        }
        trip += 1;
    }
    for k in 0..carried {
        let Some(to) = step.outputs.get(k) else {
            continue;
        };
        control.assign(operand(body.inputs, k + 2)?, to)?;
    }
    for j in carried..step.outputs.len() {
        let Some(to) = step.outputs.get(j) else {
            continue;
        };
        let count = usize::try_from(trip).map_err(|_| RunError::overflow())?;
        control.set_dim(j, 0, count)?;
        let from = operand(body.outputs, j + 1)?;
        for axis in 1..control.program().tensor(to).dims.len() {
            // Without a trip the body's shapes may be unknown: nothing is stacked then.
            let size = match control.shape(from) {
                Ok(shape) => *shape.get(axis - 1).ok_or(RunErrorKind::Rank)?,
                Err(_) if trip == 0 => control.dim_of(to, axis).unwrap_or_default(),
                Err(e) => return Err(e),
            };
            control.set_dim(j, axis, size)?;
        }
        control.shape(to)?;
    }
    Ok(())
}

fn operand(list: Operands<'_>, i: usize) -> Result<crate::TensorId, RunError> {
    list.get(i).ok_or(RunErrorKind::Index.into())
}

/// Carried values move one after the other, so a body output must not lie on the body input of another value.
fn check_disjoint(
    control: &Control<'_, '_>,
    inputs: Operands<'_>,
    outputs: Operands<'_>,
) -> Result<(), RunError> {
    let program = control.program();
    for k in 2..inputs.len() {
        for l in 2..k {
            let (from, to) = (
                program.tensor(operand(outputs, k - 1)?),
                program.tensor(operand(inputs, l)?),
            );
            if let (Some(a), Some(b)) = (from.arena_offset(), to.arena_offset())
                && a < b + to.bytes_bound
                && b < a + from.bytes_bound
            {
                return Err(RunError::new(
                    RunErrorKind::Alias,
                    "a body output lies on another carried value",
                ));
            }
        }
    }
    Ok(())
}
