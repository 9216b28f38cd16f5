//! `expand`: NumPy broadcast.

use crate::broadcast::strides;
use crate::{Cx, RunError};
use cygnet_format::op::Expand;
use cygnet_kernels::movement::{Side, row_major, strided_copy};

pub(crate) fn run(_op: &Expand, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let y = cx.output(0)?;
    if x.dtype != y.dtype {
        return Err(RunError::dtype("expand keeps the element type"));
    }
    let from = strides(&x.shape, &y.shape)?.map(|s| s as isize);
    let to = row_major(&y.shape);
    let (from, to) = (
        Side {
            offset: 0,
            strides: &from,
        },
        Side {
            offset: 0,
            strides: &to,
        },
    );
    Ok(strided_copy(
        x.dtype.size(),
        &y.shape,
        x.bytes,
        from,
        y.bytes,
        to,
    )?)
}
