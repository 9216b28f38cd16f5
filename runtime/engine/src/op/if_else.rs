//! `if_else`: runs one of two bodies, then copies its outputs.

use crate::{Cx, RunError};
use cygnet_format::op::If;

pub(crate) fn run(op: &If, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut control = cx.control()?;
    let step = control.step();
    let condition = control.flag(step.inputs.get(0))?;
    let body = if condition {
        op.then_block
    } else {
        op.else_block
    };
    control.run_block(body)?;
    let results = control.program().block(body).outputs;
    for (i, (to, from)) in step.outputs.iter().zip(results.iter()).enumerate() {
        let (Some(to), Some(from)) = (to, from) else {
            continue;
        };
        let shape = control.shape(from)?;
        for (axis, &d) in shape.iter().enumerate() {
            control.set_dim(i, axis, d)?;
        }
        control.copy(from, to)?;
    }
    Ok(())
}
