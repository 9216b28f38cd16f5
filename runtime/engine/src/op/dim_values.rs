//! `dim_values`: actual dimensions as a tensor.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::op::DimValues;

pub(crate) fn run(op: &DimValues, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let mut y = cx.output(0)?;
    let y = y.as_mut_slice::<i64>()?;
    check_axes(y.len() == op.values.len())?;
    for (out, &d) in y.iter_mut().zip(op.values.iter()) {
        *out = cx.dim(d)? as i64;
    }
    Ok(())
}
