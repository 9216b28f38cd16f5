//! `arg_reduce`.

use crate::{Cx, RunError};
use cygnet_format::op::ArgReduce;

pub(crate) fn run(_op: &ArgReduce, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("arg_reduce"))
}
