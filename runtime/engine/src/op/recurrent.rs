//! What `lstm`, `gru` and `rnn` share: operands, sizes and results.

use crate::{Cx, RunError};
use cygnet_format::op::{Direction, Gate};
use cygnet_kernels::recurrent::{self, Cell, Operands, Results, Sizes};

pub(super) fn run(
    cell: Cell,
    direction: Direction,
    clip: f32,
    gates: &[Gate],
    cx: &mut Cx<'_>,
) -> Result<(), RunError> {
    let (x, w, r) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let ([steps, batch, input], [directions, _, _], [_, _, hidden]) =
        (&x.shape[..], &w.shape[..], &r.shape[..])
    else {
        return Err(RunError::shape("recurrent operands have three axes"));
    };
    let sizes = Sizes {
        steps: *steps,
        batch: *batch,
        input: *input,
        hidden: *hidden,
        directions: *directions,
        reverse: direction == Direction::Reverse,
        clip,
    };
    if (direction == Direction::Bidirectional) != (*directions == 2) {
        return Err(RunError::shape("weights do not fit the direction"));
    }
    let float = |i: usize| cx.opt_input(i)?.map(|t| t.as_slice::<f32>()).transpose();
    let operands = Operands {
        x: x.as_slice()?,
        w: w.as_slice()?,
        r: r.as_slice()?,
        bias: float(3)?,
        lengths: cx.opt_input(4)?.map(|t| t.as_slice::<i32>()).transpose()?,
        h0: float(5)?,
        c0: float(6)?,
        peepholes: float(7)?,
    };
    let results = Results {
        y: cx.opt_output(0)?.map(|t| t.into_mut_slice()).transpose()?,
        h: cx.opt_output(1)?.map(|t| t.into_mut_slice()).transpose()?,
        c: cx.opt_output(2)?.map(|t| t.into_mut_slice()).transpose()?,
    };
    let kernels = cx.kernels();
    Ok(recurrent::run(
        kernels, cell, &sizes, gates, &operands, results,
    )?)
}
