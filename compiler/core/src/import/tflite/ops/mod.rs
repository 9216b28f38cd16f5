//! Translations, one file a family, and the registry of operators.

mod conv;
mod dense;
mod elementwise;
mod movement;
mod normalise;
mod number;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod shape;
mod slice;

use super::cx::OpCx;
use super::variables;
use crate::import::error::Refusal;

/// A translation.
type Translate = fn(&mut OpCx<'_, '_>) -> Result<(), Refusal>;

/// Translates an operator.
pub(super) fn translate(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    match find(cx.op_type()) {
        Some(f) => f(cx),
        None => Err(Refusal::unsupported(format!(
            "the operator {} is not supported",
            cx.op_type()
        ))),
    }
}

/// The registry.
fn find(operator: &str) -> Option<Translate> {
    Some(match operator {
        "CONV_2D" | "CONV_3D" => conv::conv,
        "DEPTHWISE_CONV_2D" => conv::depthwise,
        "TRANSPOSE_CONV" => conv::transposed,
        "AVERAGE_POOL_2D" | "MAX_POOL_2D" | "L2_POOL_2D" => pool::pool,
        "FULLY_CONNECTED" => dense::fully_connected,
        "BATCH_MATMUL" => dense::batch_matmul,
        "ADD" | "SUB" | "MUL" | "DIV" | "MAXIMUM" | "MINIMUM" | "POW" | "SQUARED_DIFFERENCE"
        | "FLOOR_DIV" | "FLOOR_MOD" | "PRELU" => elementwise::binary,
        "ADD_N" => elementwise::add_n,
        "EQUAL" | "NOT_EQUAL" | "LESS" | "LESS_EQUAL" | "GREATER" | "GREATER_EQUAL"
        | "LOGICAL_AND" | "LOGICAL_OR" => elementwise::compare,
        "ABS" | "NEG" | "EXP" | "LOG" | "SQRT" | "RSQRT" | "SQUARE" | "SIN" | "COS" | "FLOOR"
        | "CEIL" | "ROUND" | "SIGN" | "RELU" | "RELU6" | "RELU_N1_TO_1" | "RELU_0_TO_1"
        | "LOGISTIC" | "TANH" | "ELU" | "HARD_SWISH" | "GELU" | "LEAKY_RELU" | "LOGICAL_NOT" => {
            elementwise::unary
        }
        "SELECT" | "SELECT_V2" => elementwise::select,
        "SOFTMAX" | "LOG_SOFTMAX" => normalise::softmax,
        "L2_NORMALIZATION" => normalise::l2,
        "LOCAL_RESPONSE_NORMALIZATION" => normalise::local_response,
        "MEAN" | "SUM" | "REDUCE_MAX" | "REDUCE_MIN" | "REDUCE_PROD" | "REDUCE_ANY"
        | "REDUCE_ALL" => reduce::reduce,
        "ARG_MAX" | "ARG_MIN" => reduce::arg,
        "CUMSUM" => reduce::cumulative,
        "TOPK_V2" => reduce::top_k,
        "QUANTIZE" | "DEQUANTIZE" => number::convert,
        "CAST" => number::cast,
        "FAKE_QUANT" => number::fake_quantise,
        "RESHAPE" => shape::reshape,
        "SQUEEZE" => shape::squeeze,
        "EXPAND_DIMS" => shape::expand_dims,
        "TRANSPOSE" => shape::transpose,
        "SHAPE" => shape::shape,
        "RANK" => shape::rank,
        "FILL" => shape::fill,
        "ZEROS_LIKE" => shape::zeros_like,
        "RANGE" => shape::range,
        "BROADCAST_TO" => shape::broadcast_to,
        "TILE" => shape::tile,
        "SLICE" => slice::slice,
        "STRIDED_SLICE" => slice::strided,
        "SPLIT" => slice::split,
        "SPLIT_V" => slice::split_sizes,
        "UNPACK" => slice::unpack,
        "REVERSE_V2" => slice::reverse,
        "CONCATENATION" => movement::concatenation,
        "PACK" => movement::pack,
        "PAD" | "PADV2" => movement::pad,
        "MIRROR_PAD" => movement::mirror_pad,
        "GATHER" => movement::gather,
        "GATHER_ND" => movement::gather_nd,
        "EMBEDDING_LOOKUP" => movement::embedding_lookup,
        "SCATTER_ND" => movement::scatter_nd,
        "ONE_HOT" => movement::one_hot,
        "REVERSE_SEQUENCE" => movement::reverse_sequence,
        "DEPTH_TO_SPACE" => movement::depth_to_space,
        "SPACE_TO_DEPTH" => movement::space_to_depth,
        "SPACE_TO_BATCH_ND" => movement::space_to_batch,
        "BATCH_TO_SPACE_ND" => movement::batch_to_space,
        "RESIZE_BILINEAR" | "RESIZE_NEAREST_NEIGHBOR" => resize::resize,
        "SVDF" => recurrent::svdf,
        "UNIDIRECTIONAL_SEQUENCE_LSTM" => recurrent::lstm,
        "VAR_HANDLE" => variables::handle,
        "READ_VARIABLE" => variables::read,
        "ASSIGN_VARIABLE" => variables::assign,
        "CALL_ONCE" => variables::call_once,
        _ => return None,
    })
}
