//! Checks and strides that the movement operators share.

use crate::RunError;

/// A shape error unless `fine`.
pub(super) fn check_axes(fine: bool) -> Result<(), RunError> {
    if fine {
        Ok(())
    } else {
        Err(RunError::shape(
            "operands and result of a movement do not agree",
        ))
    }
}

/// Strides of a dense tensor of `shape` read as a tensor of `out`'s rank, with broadcast axes standing still.
pub(super) fn broadcast_strides(
    shape: &[usize],
    out: &[usize],
) -> Result<[isize; cygnet_format::MAX_RANK], RunError> {
    check_axes(shape.len() <= out.len())?;
    let dense = cygnet_kernels::movement::row_major(shape);
    let lead = out.len() - shape.len();
    let mut strides = [0; cygnet_format::MAX_RANK];
    for (axis, &n) in shape.iter().enumerate() {
        check_axes(n == 1 || n == out[lead + axis])?;
        if n != 1 {
            strides[lead + axis] = dense[axis];
        }
    }
    Ok(strides)
}
