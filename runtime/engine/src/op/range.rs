//! `range`: `start, start+delta, ..` below (or above) a limit.

use crate::{Cx, Element, RunError};
use cygnet_format::DType;
use cygnet_format::op::Range;

pub(crate) fn run(_op: &Range, cx: &mut Cx<'_>) -> Result<(), RunError> {
    match cx.input(0)?.dtype {
        DType::F32 => floats::<f32>(cx, |v| v as f64, |v| v as f32),
        DType::F64 => floats::<f64>(cx, |v| v, |v| v),
        DType::I16 => integers::<i16>(cx, |v| v as i128, |v| v as i16),
        DType::I32 => integers::<i32>(cx, |v| v as i128, |v| v as i32),
        DType::I64 => integers::<i64>(cx, |v| v as i128, |v| v as i64),
        _ => Err(RunError::unsupported("ranges of this element type")),
    }
}

fn operands<T: Element>(cx: &Cx<'_>) -> Result<(T, T, T), RunError> {
    Ok((
        cx.input(0)?.scalar()?,
        cx.input(1)?.scalar()?,
        cx.input(2)?.scalar()?,
    ))
}

fn fill<T: Element>(
    cx: &mut Cx<'_>,
    count: usize,
    value: impl Fn(usize) -> T,
) -> Result<(), RunError> {
    cx.set_dim(0, 0, count)?;
    let mut y = cx.output(0)?;
    for (i, y) in y.as_mut_slice::<T>()?.iter_mut().enumerate() {
        *y = value(i);
    }
    Ok(())
}

fn integers<T: Element>(
    cx: &mut Cx<'_>,
    wide: impl Fn(T) -> i128,
    narrow: impl Fn(i128) -> T,
) -> Result<(), RunError> {
    let (start, limit, delta) = operands::<T>(cx)?;
    let (start, limit, delta) = (wide(start), wide(limit), wide(delta));
    if delta == 0 {
        return Err(RunError::value("the step of a range is zero"));
    }
    let span = limit - start;
    let count = if span.signum() == delta.signum() {
        (span.abs() + delta.abs() - 1) / delta.abs()
    } else {
        0
    };
    let count = usize::try_from(count).map_err(|_| RunError::overflow())?;
    fill(cx, count, |i| narrow(start + i as i128 * delta))
}

fn floats<T: Element>(
    cx: &mut Cx<'_>,
    wide: impl Fn(T) -> f64,
    narrow: impl Fn(f64) -> T,
) -> Result<(), RunError> {
    let (start, limit, delta) = operands::<T>(cx)?;
    let (start, limit, delta) = (wide(start), wide(limit), wide(delta));
    let count = libm::ceil((limit - start) / delta);
    if count.is_nan() || count > i32::MAX as f64 {
        return Err(RunError::value("the length of a range is out of bounds"));
    }
    fill(cx, count.max(0.0) as usize, |i| {
        narrow(start + i as f64 * delta)
    })
}
