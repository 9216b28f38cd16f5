//! `reshape`: the same elements under another shape.

use crate::Cx;
use crate::RunError;
use cygnet_format::op::Reshape;

pub(crate) fn run(_op: &Reshape, cx: &mut Cx<'_>) -> Result<(), RunError> {
    if cx.in_place(0, 0) {
        let same = cx.input_type(0)?.1.iter().product::<usize>() == cx.output_type(0)?.1.iter().product::<usize>();
        return super::axes::check_axes(same);
    }
    let (x, y) = (cx.input(0)?, cx.output(0)?);
    if x.bytes.len() != y.bytes.len() || x.dtype.size() != y.dtype.size() {
        return Err(RunError::shape("operands and result of a movement do not agree"));
    }
    y.bytes.copy_from_slice(x.bytes);
    Ok(())
}
