//! `concat`: tensors one after the other along an axis.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use cygnet_format::op::Concat;

pub(crate) fn run(op: &Concat, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let y = cx.output(0)?;
    let axis = usize::try_from(op.axis).map_err(|_| RunError::shape("operands and result of a movement do not agree"))?;
    check_axes(axis < y.shape.len())?;
    let outer: usize = y.shape[..axis].iter().product();
    let inner: usize = y.shape[axis + 1..].iter().product::<usize>() * y.dtype.size();
    let stride = y.shape[axis] * inner;
    let mut at = 0;
    for i in 0..cx.inputs() {
        let x = cx.input(i)?;
        check_axes(x.dtype == y.dtype && x.shape.len() == y.shape.len())?;
        check_axes((0..x.shape.len()).all(|a| a == axis || x.shape[a] == y.shape[a]))?;
        let run = x.shape[axis] * inner;
        check_axes(at + run <= stride)?;
        if run > 0 {
            for (o, block) in x.bytes.chunks_exact(run).take(outer).enumerate() {
                y.bytes[o * stride + at..][..run].copy_from_slice(block);
            }
        }
        at += run;
    }
    check_axes(at == stride)
}
