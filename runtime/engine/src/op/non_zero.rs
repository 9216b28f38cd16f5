//! `non_zero`: coordinates of the elements that are not zero.

use crate::{Cx, RunError};
use cygnet_format::DType;
use cygnet_format::op::NonZero;
use cygnet_kernels::index;

pub(crate) fn run(_op: &NonZero, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let x = cx.input(0)?;
    let size = x.dtype.size();
    // A float is zero whatever its sign; for every other type all bits are zero.
    let sign = match x.dtype {
        d if d == DType::F8E4M3FNUZ || d == DType::F8E5M2FNUZ || d == DType::F8E8M0 => 0,
        DType::F4E2M1 => 0x08,
        d if d.is_float() => 0x80,
        _ => 0,
    };
    let is_true = |i: usize| {
        let bytes = &x.bytes[i * size..(i + 1) * size];
        bytes[..size - 1].iter().any(|b| *b != 0) || bytes[size - 1] & !sign != 0
    };
    let count = (0..x.shape.count()).filter(|&i| is_true(i)).count();
    cx.set_dim(0, 1, count)?;
    let y = cx.output(0)?.into_mut_slice::<i64>()?;
    Ok(index::non_zero(&x.shape, count, &is_true, y)?)
}
