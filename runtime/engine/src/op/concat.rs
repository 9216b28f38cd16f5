//! `concat`: inputs one behind the other along an axis.

use crate::{Cx, RunError};
use cygnet_format::op::Concat;

pub(crate) fn run(op: &Concat, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let y = cx.output(0)?;
    let wrong = || RunError::shape("concatenated tensors agree in all axes but one");
    let (outer, total, inner) = y
        .shape
        .split(op.axis)
        .ok_or(RunError::attribute("the axis is out of range"))?;
    let axis = op.axis as usize;
    let size = y.dtype.size();
    let row = total * inner * size;
    let mut at = 0;
    for i in 0..cx.inputs() {
        let x = cx.input(i)?;
        let same = |a: usize| a == axis || x.shape.get(a) == y.shape.get(a);
        if x.dtype != y.dtype || x.shape.rank() != y.shape.rank() || !(0..y.shape.rank()).all(same)
        {
            return Err(wrong());
        }
        let run = x.shape[axis] * inner * size;
        if run > row - at {
            return Err(wrong());
        }
        if run > 0 {
            for (to, from) in y.bytes.chunks_exact_mut(row).zip(x.bytes.chunks_exact(run)) {
                to[at..at + run].copy_from_slice(from);
            }
        }
        at += run;
    }
    if at == row || outer == 0 {
        Ok(())
    } else {
        Err(wrong())
    }
}
