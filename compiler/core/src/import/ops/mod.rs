//! Translations, one file a family, and the registry of operators.

mod activation;
mod arithmetic;
mod attention;
mod control;
mod conv;
mod elementwise;
mod generate;
mod indexing;
mod loss;
pub(super) mod lower;
pub(super) mod matmul;
mod ml;
mod movement;
mod ngram;
mod norm;
mod optim;
mod pool;
mod quant;
mod random;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod sequence;
mod shape;
mod signal;
#[cfg(test)]
mod tests;
pub(super) mod window;

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
    Err(Refusal::unsupported(format!(
        "the operator '{}' is not supported",
        short(cx.op_type())
    )))
}

/// The registry.
fn find(domain: &str, op_type: &str) -> Option<Translate> {
    match domain {
        "" => structure(op_type),
        "com.microsoft" => quantized(op_type),
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
        "Slice" => movement::slice,
        "Split" => movement::split,
        "Pad" => movement::pad,
        "Where" => movement::where_select,
        "Trilu" => movement::trilu,
        "ReverseSequence" => movement::reverse_sequence,
        "CumSum" | "CumProd" => movement::cumulative,
        "TensorScatter" => movement::tensor_scatter,
        "DepthToSpace" => movement::depth_to_space,
        "SpaceToDepth" => movement::space_to_depth,
        "CenterCropPad" => movement::center_crop_pad,
        "Dropout" => movement::dropout,
        "Gather" => indexing::gather,
        "GatherElements" => indexing::gather_elements,
        "GatherND" => indexing::gather_nd,
        "Scatter" | "ScatterElements" => indexing::scatter_elements,
        "ScatterND" => indexing::scatter_nd,
        "Compress" => indexing::compress,
        "NonZero" => indexing::non_zero,
        "Unique" => indexing::unique,
        "TopK" => indexing::top_k,
        "NonMaxSuppression" => indexing::non_max_suppression,
        "OneHot" => indexing::one_hot,
        "Constant" => generate::constant,
        "ConstantOfShape" => generate::constant_of_shape,
        "EyeLike" => generate::eye_like,
        "Range" => generate::range,
        "Cast" => generate::cast,
        "CastLike" => generate::cast_like,
        "BitCast" => generate::bit_cast,
        "QuantizeLinear" => quant::quantize_linear,
        "DequantizeLinear" => quant::dequantize_linear,
        "DynamicQuantizeLinear" => quant::dynamic_quantize_linear,
        "QLinearConv" => quant::qlinear_conv,
        "QLinearMatMul" => quant::qlinear_mat_mul,
        "ConvInteger" => quant::conv_integer,
        "MatMulInteger" => quant::mat_mul_integer,
        "If" => control::if_else,
        "Loop" => control::loop_while,
        "Scan" => control::scan,
        "SequenceEmpty" => sequence::empty,
        "SequenceConstruct" => sequence::construct,
        "SequenceInsert" => sequence::insert,
        "SequenceErase" => sequence::erase,
        "SequenceAt" => sequence::at,
        "SequenceLength" => sequence::length,
        "SplitToSequence" => sequence::split,
        "ConcatFromSequence" => sequence::concat,
        "SequenceMap" => sequence::map,
        "Optional" => sequence::optional,
        "OptionalHasElement" => sequence::has_element,
        "OptionalGetElement" => sequence::get_element,
        _ => return None,
    })
}

/// Quantised operators of `com.microsoft`.
fn quantized(op_type: &str) -> Option<Translate> {
    Some(match op_type {
        "QuantizeLinear" => quant::quantize_linear,
        "DequantizeLinear" => quant::dequantize_linear,
        "QLinearAdd" | "QLinearMul" => quant::qlinear_binary,
        "QLinearSigmoid" | "QLinearLeakyRelu" => quant::qlinear_unary,
        "QLinearConcat" => quant::qlinear_concat,
        "QLinearGlobalAveragePool" => quant::qlinear_global_average_pool,
        "QLinearAveragePool" => quant::qlinear_average_pool,
        "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" => quant::mat_mul_to_float,
        _ => return None,
    })
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
    let positions: Vec<i64> = indices
        .bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|c| i64::from_le_bytes(*c))
        .collect();
    let wide = indices.shape.len() == 2;
    let step = if wide { shape.len().max(1) } else { 1 };
    if positions.len() != values.bytes.len() / size * step {
        return Err(Refusal::invalid(
            "a sparse tensor has another number of indices than of values",
        ));
    }
    for (position, value) in positions.chunks(step).zip(values.bytes.chunks(size)) {
        let mut flat = 0usize;
        if wide {
            for (&i, &d) in position.iter().zip(&shape) {
                if i < 0 || i as usize >= d {
                    return Err(Refusal::invalid(
                        "an index of a sparse tensor is outside of its shape",
                    ));
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
