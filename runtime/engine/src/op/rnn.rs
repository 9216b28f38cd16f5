//! `rnn`.

use crate::{Cx, RunError};
use cygnet_format::op::Rnn;
use cygnet_kernels::recurrent::Cell;

pub(crate) fn run(op: &Rnn, cx: &mut Cx<'_>) -> Result<(), RunError> {
    super::recurrent::run(Cell::Rnn, op.direction, op.clip, &op.gates, cx)
}
