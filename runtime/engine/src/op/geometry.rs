//! Attribute lists as sizes.

use crate::RunError;
use cygnet_format::{Axes, MAX_RANK};

/// Non-negative integers, padded with zeros.
pub(super) fn sizes(values: &[i32]) -> Result<[usize; MAX_RANK], RunError> {
    let mut out = [0; MAX_RANK];
    for (out, &v) in out.iter_mut().zip(values) {
        *out = usize::try_from(v).map_err(|_| RunError::attribute("a size is negative"))?;
    }
    Ok(out)
}

/// Exactly `N` sizes.
pub(super) fn exactly<const N: usize>(values: &Axes) -> Result<[usize; N], RunError> {
    if values.len() != N {
        return Err(RunError::attribute(
            "another number of spatial axes is expected",
        ));
    }
    let mut out = [0; N];
    out.copy_from_slice(&sizes(values)?[..N]);
    Ok(out)
}
