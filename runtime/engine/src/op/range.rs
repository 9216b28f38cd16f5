//! `range`: evenly spaced numbers.

use crate::Cx;
use super::axes::check_axes;
use crate::RunError;
use crate::{Element, Tensor};
use cygnet_format::{DType, op::Range};

pub(crate) fn run(_op: &Range, cx: &mut Cx<'_>) -> Result<(), RunError> {
    let (start, limit, delta) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    match start.dtype {
        DType::F32 => fill(cx, start, limit, delta, |a: f32, i, d| a + i as f32 * d, |a, b, d| libm::ceil((b as f64 - a as f64) / d as f64)),
        DType::F64 => fill(cx, start, limit, delta, |a: f64, i, d| a + i as f64 * d, |a, b, d| libm::ceil((b - a) / d)),
        DType::I16 => fill(cx, start, limit, delta, |a: i16, i, d| a.wrapping_add((i as i16).wrapping_mul(d)), |a, b, d| libm::ceil((b as f64 - a as f64) / d as f64)),
        DType::I32 => fill(cx, start, limit, delta, |a: i32, i, d| a.wrapping_add((i as i32).wrapping_mul(d)), |a, b, d| libm::ceil((b as f64 - a as f64) / d as f64)),
        DType::I64 => fill(cx, start, limit, delta, |a: i64, i, d| a.wrapping_add((i as i64).wrapping_mul(d)), |a, b, d| libm::ceil((b as f64 - a as f64) / d as f64)),
        _ => Err(RunError::dtype("range is not defined for this type")),
    }
}

fn fill<T: Element + Copy>(
    cx: &mut Cx<'_>,
    start: Tensor<'_>,
    limit: Tensor<'_>,
    delta: Tensor<'_>,
    at: impl Fn(T, usize, T) -> T,
    count: impl Fn(T, T, T) -> f64,
) -> Result<(), RunError> {
    let scalar = |t: Tensor<'_>| t.as_slice::<T>()?.first().copied().ok_or(RunError::shape("operands and result of a movement do not agree"));
    let (a, b, d) = (scalar(start)?, scalar(limit)?, scalar(delta)?);
    let n = count(a, b, d);
    check_axes(n.is_finite())?;
    cx.set_dim(0, 0, n.max(0.0) as usize)?;
    let mut y = cx.output(0)?;
    for (i, out) in y.as_mut_slice::<T>()?.iter_mut().enumerate() {
        *out = at(a, i, d);
    }
    Ok(())
}
