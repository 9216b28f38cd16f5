//! `dim_values`.

use crate::{Cx, RunError};
use cygnet_format::op::DimValues;

pub(crate) fn run(_op: &DimValues, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("dim_values"))
}
