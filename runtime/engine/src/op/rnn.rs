//! `rnn`.

use crate::{Cx, RunError};
use cygnet_format::op::Rnn;

pub(crate) fn run(_op: &Rnn, _cx: &mut Cx<'_>) -> Result<(), RunError> {
    Err(RunError::unsupported("rnn"))
}
