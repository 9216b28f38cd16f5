//! `dim_values`: the actual values of dimensions.

use crate::{Cx, RunError};
use cygnet_format::op::DimValues;

pub(crate) fn run(op: &DimValues, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut y = cx.output(0)?;
    let y = y.as_mut_slice::<i64>()?;
    if y.len() != op.values.len() {
        return Err(RunError::shape("one element a value"));
    }
    for (y, &d) in y.iter_mut().zip(op.values.iter()) {
        *y = cx.dim_i64(d)?;
    }
    Ok(())
}
