//! `gru`.

use crate::{Cx, RunError};
use cygnet_format::op::Gru;
use cygnet_kernels::recurrent::Cell;

pub(crate) fn run(op: &Gru, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let cell = Cell::Gru {
        linear_before_reset: op.linear_before_reset,
    };
    super::recurrent::run(cell, op.direction, op.clip, &op.gates, cx)
}
