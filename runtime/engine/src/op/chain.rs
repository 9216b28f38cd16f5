//! `chain`.

use crate::{Cx, RunError};
use cygnet_format::op::Chain;

pub(crate) fn run(_op: &Chain, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("chain"))
}
