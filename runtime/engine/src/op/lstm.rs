//! `lstm`.

use crate::{Cx, RunError};
use cygnet_format::op::Lstm;
use cygnet_kernels::recurrent::Cell;

pub(crate) fn run(op: &Lstm, cx: &mut Cx<'_>) -> Result<(), RunError> {
    super::recurrent::run(
        Cell::Lstm {
            input_forget: op.input_forget,
        },
        op.direction,
        op.clip,
        &op.gates,
        cx,
    )
}
