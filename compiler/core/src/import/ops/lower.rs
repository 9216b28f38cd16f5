//! Shared pieces of the operator translations: precision, constants, small dimension arithmetic.

use super::super::{NodeCx, Refusal};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{BinaryKind, UnaryKind};
use cygnet_format::{DType, Dim};

/// The value as f32: the type that compute-heavy operators run in.
pub(in crate::import) fn widen(cx: &mut NodeCx<'_>, v: ValueId) -> ValueId {
    if cx.dtype(v) == DType::F32 {
        v
    } else {
        cx.cast(v, DType::F32)
    }
}

/// The optional value as f32.
pub(in crate::import) fn widen_opt(cx: &mut NodeCx<'_>, v: Option<ValueId>) -> Option<ValueId> {
    v.map(|v| widen(cx, v))
}

/// The value in the element type that the model asks for.
pub(in crate::import) fn narrow(cx: &mut NodeCx<'_>, v: ValueId, dtype: DType) -> ValueId {
    if cx.dtype(v) == dtype {
        v
    } else {
        cx.cast(v, dtype)
    }
}

/// Input `i` as f32, with its own element type.
pub(in crate::import) fn wide_input(
    cx: &mut NodeCx<'_>,
    i: usize,
) -> Result<(ValueId, DType), Refusal> {
    let x = cx.input(i)?;
    let dtype = cx.dtype(x);
    if !dtype.is_float() {
        return Err(Refusal::unsupported(format!(
            "{} elements are not supported by this operator",
            dtype.name()
        ))
        .remedy("cast the input to float before the operator"));
    }
    Ok((widen(cx, x), dtype))
}

/// An f32 constant.
pub(in crate::import) fn constant(cx: &mut NodeCx<'_>, shape: &[usize], data: &[f32]) -> ValueId {
    let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    cx.constant(Type::fixed(DType::F32, shape), bytes)
}

/// An i64 constant.
pub(in crate::import) fn indices(cx: &mut NodeCx<'_>, shape: &[usize], data: &[i64]) -> ValueId {
    let bytes = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    cx.constant(Type::fixed(DType::I64, shape), bytes)
}

/// A zero of any element type, without axes.
pub(in crate::import) fn zero(cx: &mut NodeCx<'_>, dtype: DType) -> ValueId {
    cx.constant(Type::fixed(dtype, &[]), vec![0; dtype.size()])
}

/// `v OP scalar` in the element type of `v`.
pub(in crate::import) fn with_scalar(
    cx: &mut NodeCx<'_>,
    kind: BinaryKind,
    v: ValueId,
    s: f32,
) -> Result<ValueId, Refusal> {
    let dtype = cx.dtype(v);
    let s = cx.scalar(s, dtype);
    cx.binary(kind, v, s)
}

/// Square root of an elementwise sum with `epsilon`.
pub(in crate::import) fn sqrt_plus(
    cx: &mut NodeCx<'_>,
    v: ValueId,
    epsilon: f32,
) -> Result<ValueId, Refusal> {
    let v = with_scalar(cx, BinaryKind::Add, v, epsilon)?;
    Ok(cx.unary(UnaryKind::Sqrt, v))
}

/// The dimension as a constant, or a refusal that says which one is not.
pub(in crate::import) fn fixed(dim: Dim, what: &str) -> Result<usize, Refusal> {
    dim.as_const().ok_or_else(|| {
        Refusal::unsupported(format!("{what} is not constant"))
            .remedy("fix the input shape with --input NAME=SHAPE")
    })
}

/// Constant dimensions.
pub(in crate::import) fn dims(shape: &[usize]) -> Vec<Dim> {
    shape.iter().map(|&d| Dim(d as i32)).collect()
}

/// Attribute integers as i32.
pub(in crate::import) fn small(values: &[i64], what: &str) -> Result<Vec<i32>, Refusal> {
    values
        .iter()
        .map(|&v| {
            i32::try_from(v).map_err(|_| Refusal::invalid(format!("{what} {v} is out of range")))
        })
        .collect()
}

/// Inserts an axis of length one.
pub(in crate::import) fn unsqueeze(cx: &mut NodeCx<'_>, v: ValueId, axis: usize) -> ValueId {
    let mut shape = cx.shape(v);
    shape.insert(axis, Dim::ONE);
    cx.reshape(v, &shape)
}
