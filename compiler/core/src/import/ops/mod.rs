//! Translations, one file a family, and the registry of operators.

mod activation;
mod arithmetic;
mod attention;
mod conv;
mod elementwise;
mod loss;
mod lower;
mod matmul;
mod ml;
mod norm;
mod optim;
mod pool;
mod random;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod signal;
mod window;
mod shape;

use super::NodeCx;
use super::error::Refusal;
use super::tensor::short;
use crate::ir::Type;
use cygnet_format::DType;
use tract_onnx::pb::SparseTensorProto;

/// A translation.
type Translate = fn(&mut NodeCx<'_>) -> Result<(), Refusal>;

/// Translates a node: an operator known here, else a function of the model.
pub(super) fn translate(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let domain = super::domain(&cx.node.domain);
    if let Some(f) = find(domain, cx.op_type()).or_else(|| arithmetic::find(domain, cx.op_type())) {
        return f(cx);
    }
    if cx.call_function()? {
        return Ok(());
    }
    Err(Refusal::unsupported(format!("the operator '{}' is not supported", short(cx.op_type()))))
}

/// The registry.
fn find(domain: &str, op_type: &str) -> Option<Translate> {
    match domain {
        "" => structure(op_type).or_else(|| math(op_type)),
        "com.microsoft" => quantized(op_type).or_else(|| contributed(op_type)),
        _ => None,
    }
}

/// Shape, movement, control flow, sequences and quantisation of the standard domain.
fn structure(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "Identity" => shape::identity,
        "Reshape" => shape::reshape,
        "Flatten" => shape::flatten,
        "Squeeze" => shape::squeeze,
        "Unsqueeze" => shape::unsqueeze,
        "Transpose" => shape::transpose,
        "Shape" => shape::shape,
        "Size" => shape::size,
        "Expand" => shape::expand,
        "Tile" => shape::tile,
        "Concat" => shape::concat,
        _ => return None,
    })
}

/// Arithmetic of the standard domain.
fn math(_op_type: &str) -> Option<Translate> {
    None
}

/// Quantised operators of `com.microsoft`.
fn quantized(_op_type: &str) -> Option<Translate> {
    None
}

/// Further operators of `com.microsoft`.
fn contributed(_op_type: &str) -> Option<Translate> {
    None
}

/// A sparse initialiser as a dense tensor.
pub(super) fn sparse_bytes(sparse: &SparseTensorProto) -> Result<(Type, Vec<u8>), Refusal> {
    let missing = || Refusal::invalid("a sparse tensor has no values or no indices");
    let values = super::tensor::read(sparse.values.as_ref().ok_or_else(missing)?)?;
    let indices = super::tensor::read(sparse.indices.as_ref().ok_or_else(missing)?)?;
    let (shape, count) = super::tensor::shape(&sparse.dims)?;
    // A sparse tensor says in few bytes what takes many: the bound is on what it expands to.
    if count * values.dtype.size() as u64 > 1 << 28 {
        return Err(Refusal::unsupported("a sparse tensor is too large"));
    }
    if indices.dtype != DType::I64 {
        return Err(Refusal::invalid("indices of a sparse tensor are not i64"));
    }
    let size = values.dtype.size();
    let mut bytes = vec![0; count as usize * size];
    let positions: Vec<i64> = indices.bytes.as_chunks::<8>().0.iter().map(|c| i64::from_le_bytes(*c)).collect();
    let wide = indices.shape.len() == 2;
    let step = if wide { shape.len().max(1) } else { 1 };
    if positions.len() != values.bytes.len() / size * step {
        return Err(Refusal::invalid("a sparse tensor has another number of indices than of values"));
    }
    for (position, value) in positions.chunks(step).zip(values.bytes.chunks(size)) {
        let mut flat = 0usize;
        if wide {
            for (&i, &d) in position.iter().zip(&shape) {
                if i < 0 || i as usize >= d {
                    return Err(Refusal::invalid("an index of a sparse tensor is outside of its shape"));
                }
                flat = flat * d + i as usize;
            }
        } else {
            flat = usize::try_from(position[0]).unwrap_or(usize::MAX);
        }
        bytes
            .get_mut(flat.saturating_mul(size)..flat.saturating_add(1).saturating_mul(size))
            .ok_or_else(|| Refusal::invalid("an index of a sparse tensor is outside of its shape"))?
            .copy_from_slice(value);
    }
    Ok((Type::fixed(values.dtype, &shape), bytes))
}
