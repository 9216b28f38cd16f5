//! What the kernels are given for a step, found without running it: for generators of code.
//!
//! Each function takes an operator's attributes and the types of its operands, checks them as a run does, and returns the
//! parameters of the kernel that the step calls.

use crate::{RunError, TensorType};
use cygnet_format::{MAX_RANK, op};
use cygnet_kernels::int16::Int16Conv;
use cygnet_kernels::quantize::{Layout, Target, Term};
use cygnet_kernels::quantized::QuantizedConv;
use cygnet_kernels::{Conv, Gemm, Pool};

/// Of `quantized_conv`, for operands `x, weights, start, multiplier`.
///
/// # Errors
/// As a run of the step.
pub fn quantized_conv(
    op: &op::QuantizedConv,
    operands: [TensorType; 4],
    residual: Option<TensorType>,
    y: TensorType,
) -> Result<QuantizedConv, RunError> {
    super::quantized_conv::prepare(op, false, operands, residual, y)
}

/// Of `quantized_depthwise`, for operands `x, weights, start, multiplier`.
///
/// # Errors
/// As a run of the step.
pub fn quantized_depthwise(
    op: &op::QuantizedDepthwise,
    operands: [TensorType; 4],
    residual: Option<TensorType>,
    y: TensorType,
) -> Result<QuantizedConv, RunError> {
    let op = super::quantized_depthwise::dense(op);
    super::quantized_conv::prepare(&op, true, operands, residual, y)
}

/// Of `quantized_average_pool`: the window, whether the bytes are signed, and what becomes of the means.
///
/// # Errors
/// As a run of the step.
pub fn quantized_average_pool(
    op: &op::QuantizedAveragePool,
    x: TensorType,
    y: TensorType,
) -> Result<(Pool, bool, Target), RunError> {
    super::quantized_average_pool::prepare(op, x, y)
}

/// Of `quantized_add`, for operands `a, b` of one shape: what becomes of each, of their sum, and whether the bytes are signed.
///
/// # Errors
/// As a run of the step.
pub fn quantized_add(
    op: &op::QuantizedAdd,
    operands: [TensorType; 2],
    y: TensorType,
) -> Result<([Term; 2], Target, bool), RunError> {
    super::quantized_add::prepare(op, operands, y)
}

/// Of `int16_conv`, for operands `x, weights, bias, multiplier`.
///
/// # Errors
/// As a run of the step.
pub fn int16_conv(
    op: &op::Int16Conv,
    operands: [TensorType; 4],
    y: TensorType,
) -> Result<Int16Conv, RunError> {
    super::int16_conv::prepare(op, false, operands, y)
}

/// Of `int16_depthwise`, for operands `x, weights, bias, multiplier`.
///
/// # Errors
/// As a run of the step.
pub fn int16_depthwise(
    op: &op::Int16Depthwise,
    operands: [TensorType; 4],
    y: TensorType,
) -> Result<Int16Conv, RunError> {
    super::int16_conv::prepare(&super::int16_depthwise::dense(op), true, operands, y)
}

/// Of `int16_pool`: the window, and the least and greatest result.
///
/// # Errors
/// As a run of the step.
pub fn int16_pool(
    op: &op::Int16Pool,
    x: TensorType,
    y: TensorType,
) -> Result<(Pool, (i32, i32)), RunError> {
    super::int16_pool::parameters(op, &x.shape, (y.dtype, &y.shape))
}

/// Of `int16_add`: the least and greatest result.
///
/// # Errors
/// As a run of the step.
pub fn int16_add(op: &op::Int16Add, y: TensorType) -> Result<(i32, i32), RunError> {
    super::quantization::clamped(y.dtype, op.low, op.high)
}

/// Of `slice` that starts at constants: the first element that is copied, and the distances of elements along each axis.
///
/// # Errors
/// As a run of the step, and when a start is no constant.
pub fn slice(
    op: &op::Slice,
    x: TensorType,
    y: TensorType,
) -> Result<(usize, [isize; MAX_RANK]), RunError> {
    super::slice::prepare(op, x, y, |d| {
        let constant = d.as_expr().is_none().then_some(d.0);
        constant
            .and_then(|d| usize::try_from(d).ok())
            .ok_or(RunError::unsupported(
                "a slice that starts where the data say",
            ))
    })
}

/// Of `conv`, for operands `x, weights` and an optional bias and residual.
///
/// # Errors
/// As a run of the step.
pub fn conv(
    op: &op::Conv,
    operands: [TensorType; 2],
    epilogue: [Option<TensorType>; 2],
    y: TensorType,
) -> Result<Conv, RunError> {
    super::conv::prepare(op, operands, epilogue, y)
}

/// Of `depthwise_conv`, for operands `x, weights` and an optional bias and residual.
///
/// # Errors
/// As a run of the step.
pub fn depthwise_conv(
    op: &op::DepthwiseConv,
    operands: [TensorType; 2],
    epilogue: [Option<TensorType>; 2],
    y: TensorType,
) -> Result<Conv, RunError> {
    super::depthwise_conv::prepare(op, operands, epilogue, y)
}

/// Of `mat_mul` where one right operand serves all rows.
///
/// # Errors
/// When each matrix has a right operand of its own.
pub fn mat_mul(
    op: &op::MatMul,
    operands: [TensorType; 2],
    y: TensorType,
) -> Result<Gemm, RunError> {
    super::mat_mul::prepare(op, operands, y)
}

/// Of `pool`, and whether its only window is the image. Lp pooling has no kernel.
///
/// # Errors
/// As a run of the step.
pub fn pool(op: &op::Pool, x: TensorType, y: TensorType) -> Result<(Pool, bool), RunError> {
    if op.kind == op::PoolKind::Lp {
        return Err(RunError::unsupported("Lp pooling"));
    }
    let (_, p) = super::pool::prepare(op, x, y)?;
    Ok((p, super::pool::is_global(&p)))
}

/// Where the scales of `quantize_linear` and `dequantize_linear` apply.
///
/// # Errors
/// As a run of the step.
pub fn scales(x: TensorType, axis: i32, block: u32) -> Result<Layout, RunError> {
    super::quantization::layout(&x.shape, axis, block)
}
