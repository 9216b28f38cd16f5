//! Quantised operators: integers stay integers.

use super::super::NodeCx;
use super::super::error::Refusal;
use super::super::tensor;
use super::window::{Window, axes, channels_last, kernel_of, spatial_rank};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    BinaryKind, ConvInteger, DequantizeLinear, DynamicQuantizeLinear, MatMulInteger,
    QuantizeLinear, ReduceKind, Requantize, UnaryKind,
};
use cygnet_format::{DType, Dim};

/// Scales and zero points of one element are scalars, whatever their rank.
fn parameter(cx: &mut NodeCx<'_>, v: ValueId) -> ValueId {
    if cx.ty(v).fixed_len() == Some(1) {
        cx.reshape(v, &[])
    } else {
        v
    }
}

/// Axis and block size of quantisation parameters.
fn layout(cx: &mut NodeCx<'_>, x: ValueId, scale: ValueId) -> Result<(i32, u32), Refusal> {
    if cx.rank(scale) == 0 {
        return Ok((0, 0));
    }
    let axis = cx.int_or("axis", 1)?;
    let axis = cx.axis(axis, cx.rank(x))?;
    let block = u32::try_from(cx.int_or("block_size", 0)?)
        .map_err(|_| Refusal::invalid("its block size is negative"))?;
    let (xs, ss) = (cx.shape(x), cx.shape(scale));
    if block == 0 {
        if ss.len() != 1 || ss[0] != xs[axis] {
            return Err(Refusal::invalid(format!(
                "its scales {ss:?} do not fit axis {axis} of {xs:?}"
            )));
        }
    } else if ss.len() != xs.len() {
        return Err(Refusal::invalid(
            "its blocked scales have another rank than its input",
        ));
    }
    Ok((axis as i32, block))
}

fn quantize(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
    to: DType,
) -> Result<ValueId, Refusal> {
    let x = if cx.dtype(x) == DType::I32 {
        x
    } else {
        cx.cast(x, DType::F32)
    };
    let scale = parameter(cx, scale);
    let scale = cx.cast(scale, DType::F32);
    let zero = zero.map(|z| parameter(cx, z));
    let (axis, block) = layout(cx, x, scale)?;
    let saturate = cx.int_or("saturate", 1)? != 0;
    let ty = Type {
        dtype: to,
        shape: cx.ty(x).shape,
    };
    let inputs: Vec<_> = [x, scale].into_iter().chain(zero).collect();
    Ok(cx.emit(
        QuantizeLinear {
            axis,
            block,
            saturate,
        },
        &inputs,
        ty,
    ))
}

/// Gives f32.
fn dequantize(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    scale: ValueId,
    zero: Option<ValueId>,
) -> Result<ValueId, Refusal> {
    let scale = parameter(cx, scale);
    let scale = cx.cast(scale, DType::F32);
    let zero = zero.map(|z| parameter(cx, z));
    if zero.is_some_and(|z| cx.dtype(z) != cx.dtype(x)) {
        return Err(Refusal::invalid(
            "its input and its zero point differ in type",
        ));
    }
    let (axis, block) = layout(cx, x, scale)?;
    let ty = Type {
        dtype: DType::F32,
        shape: cx.ty(x).shape,
    };
    let inputs: Vec<_> = [x, scale].into_iter().chain(zero).collect();
    Ok(cx.emit(DequantizeLinear { axis, block }, &inputs, ty))
}

pub(super) fn quantize_linear(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let to = match (zero, cx.int_or("output_dtype", 0)?) {
        (Some(z), _) => cx.dtype(z),
        (None, 0) => DType::U8,
        (None, code) => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
    };
    let y = quantize(cx, x, scale, zero, to)?;
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn dequantize_linear(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let to = match cx.int_or("output_dtype", 0)? {
        0 => cx.dtype(scale),
        code => tensor::dtype(i32::try_from(code).unwrap_or(-1))?,
    };
    let y = dequantize(cx, x, scale, zero)?;
    let y = cx.cast(y, to);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn dynamic_quantize_linear(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let types = dynamic_types(cx, x);
    for (i, v) in cx
        .emit_n(DynamicQuantizeLinear {}, &[Some(x)], &types)
        .into_iter()
        .enumerate()
    {
        cx.set_output(i, v.expect("asked for"));
    }
    Ok(())
}

fn dynamic_types(cx: &mut NodeCx<'_>, x: ValueId) -> [Option<Type>; 3] {
    let y = Type {
        dtype: DType::U8,
        shape: cx.ty(x).shape,
    };
    [
        Some(y),
        Some(Type::fixed(DType::F32, &[])),
        Some(Type::fixed(DType::U8, &[])),
    ]
}

fn eight_bits(cx: &NodeCx<'_>, v: ValueId) -> Result<(), Refusal> {
    match cx.dtype(v) {
        DType::I8 | DType::U8 => Ok(()),
        other => Err(
            Refusal::unsupported(format!("an integer product of {other} operands"))
                .remedy("quantise to 8-bit integers"),
        ),
    }
}

/// A zero point: a scalar, or a vector along the operand's own rows or columns.
fn zero_point(
    cx: &mut NodeCx<'_>,
    zero: Option<ValueId>,
    length: Dim,
) -> Result<Option<ValueId>, Refusal> {
    let Some(z) = zero.map(|z| parameter(cx, z)) else {
        return Ok(None);
    };
    if cx.rank(z) == 0 {
        return Ok(Some(z));
    }
    let shape = cx.shape(z);
    let count = cx.graph().dim_product(&shape);
    if count != length {
        return Err(
            Refusal::unsupported(format!("zero points of shape {shape:?}"))
                .remedy("use one zero point a tensor, or one a row or column"),
        );
    }
    Ok(Some(cx.reshape(z, &[length])))
}

/// `a * b` over 8-bit integers, of any ranks, in i32.
fn integer_product(
    cx: &mut NodeCx<'_>,
    a: ValueId,
    b: ValueId,
    a_zero: Option<ValueId>,
    b_zero: Option<ValueId>,
) -> Result<ValueId, Refusal> {
    eight_bits(cx, a)?;
    eight_bits(cx, b)?;
    let (mut x, mut y) = (cx.shape(a), cx.shape(b));
    if x.is_empty() || y.is_empty() {
        return Err(Refusal::invalid("a product of a scalar"));
    }
    let (row, column) = (x.len() == 1, y.len() == 1);
    if row {
        x.insert(0, Dim::ONE);
    }
    if column {
        y.push(Dim::ONE);
    }
    let (a, b) = (cx.reshape(a, &x), cx.reshape(b, &y));
    let (m, k, l, n) = (
        x[x.len() - 2],
        x[x.len() - 1],
        y[y.len() - 2],
        y[y.len() - 1],
    );
    if k != l && k.as_const().is_some() && l.as_const().is_some() {
        return Err(Refusal::invalid(format!(
            "its operands do not match: {x:?} and {y:?}"
        )));
    }
    let mut shape = cx.broadcast(&x[..x.len() - 2], &y[..y.len() - 2])?;
    shape.extend([m, n]);
    let inputs = [
        Some(a),
        Some(b),
        zero_point(cx, a_zero, m)?,
        zero_point(cx, b_zero, n)?,
    ];
    let ty = cx.typed(DType::I32, &shape)?;
    let y = cx.emit_n(MatMulInteger {}, &inputs, &[Some(ty)])[0].expect("asked for");
    if row {
        shape.remove(shape.len() - 2);
    }
    if column {
        shape.pop();
    }
    Ok(cx.reshape(y, &shape))
}

pub(super) fn mat_mul_integer(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (a, b, az, bz) = (
        cx.input(0)?,
        cx.input(1)?,
        cx.opt_input(2)?,
        cx.opt_input(3)?,
    );
    let y = integer_product(cx, a, b, az, bz)?;
    cx.set_output(0, y);
    Ok(())
}

/// `a_scale * b_scale / y_scale` as a list of `[1]` or `[C]`.
fn multiplier(cx: &mut NodeCx<'_>, a: ValueId, b: ValueId, y: ValueId) -> Result<ValueId, Refusal> {
    let mut scales = Vec::new();
    for v in [a, b, y] {
        let v = cx.cast(v, DType::F32);
        scales.push(parameter(cx, v));
    }
    let product = cx.binary(BinaryKind::Mul, scales[0], scales[1])?;
    let m = cx.binary(BinaryKind::Div, product, scales[2])?;
    let shape = cx.shape(m);
    let count = cx.graph().dim_product(&shape);
    Ok(cx.reshape(m, &[count]))
}

fn requantize(
    cx: &mut NodeCx<'_>,
    acc: ValueId,
    bias: Option<ValueId>,
    multiplier: ValueId,
    zero: ValueId,
) -> Result<ValueId, Refusal> {
    let ty = Type {
        dtype: cx.dtype(zero),
        shape: cx.ty(acc).shape,
    };
    if !matches!(ty.dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16) {
        return Err(Refusal::unsupported(format!(
            "a quantised result of type {}",
            ty.dtype
        )));
    }
    let zero = parameter(cx, zero);
    if cx.rank(zero) != 0 {
        return Err(Refusal::unsupported("an output zero point a channel"));
    }
    Ok(cx.emit_n(
        Requantize::default(),
        &[Some(acc), bias, Some(multiplier), Some(zero)],
        &[Some(ty)],
    )[0]
    .expect("asked for"))
}

pub(super) fn qlinear_mat_mul(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut v = Vec::new();
    for i in 0..8 {
        v.push(cx.input(i)?);
    }
    let acc = integer_product(cx, v[0], v[3], Some(v[2]), Some(v[5]))?;
    // Scales of a's rows do not run along the result's channels: such models are rare, and refused.
    if cx.ty(v[1]).fixed_len() != Some(1) {
        return Err(Refusal::unsupported("scales a row of the first operand")
            .remedy("quantise the first operand with one scale"));
    }
    let m = multiplier(cx, v[1], v[4], v[6])?;
    let y = requantize(cx, acc, None, m, v[7])?;
    cx.set_output(0, y);
    Ok(())
}

/// The i32 result of an integer convolution, channels-last.
fn integer_conv(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    w: ValueId,
    x_zero: Option<ValueId>,
    w_zero: Option<ValueId>,
) -> Result<ValueId, Refusal> {
    eight_bits(cx, x)?;
    eight_bits(cx, w)?;
    spatial_rank(cx, x)?;
    let (xs, ws) = (cx.shape(x), cx.shape(w));
    if ws.len() != xs.len() {
        return Err(Refusal::invalid(
            "its weights have another rank than its input",
        ));
    }
    let kernel = kernel_of(cx, w, 2)?;
    let window = Window::read(cx, kernel)?;
    let group = cx.int_or("group", 1)?;
    let extent = window.extent(cx, &xs[2..], false)?;
    if extent.explicit.is_some() {
        return Err(Refusal::unsupported(
            "the padding of auto_pad depends on an input size that is not fixed",
        )
        .remedy("fix the input shape with --input NAME=SHAPE"));
    }
    let (c, per, o) = (xs[1].as_const(), ws[1].as_const(), ws[0].as_const());
    let (Some(c), Some(per), Some(o)) = (c, per, o) else {
        return Err(Refusal::needs_constant("number of channels"));
    };
    let g = usize::try_from(group)
        .ok()
        .filter(|&g| g > 0 && g.checked_mul(per) == Some(c) && o % g == 0);
    let g = g.ok_or_else(|| {
        Refusal::invalid(format!(
            "{c} channels in {group} groups do not fit weights {ws:?}"
        ))
    })?;
    let x_zero = zero_point(cx, x_zero, Dim::ONE)?;
    let w_zero = zero_point(cx, w_zero, ws[0])?;
    let perm: Vec<usize> = std::iter::once(0).chain(2..ws.len()).chain([1]).collect();
    let w = cx.transpose(w, &perm);
    let w = cx.reshape(w, &[ws[0], Dim(window.taps() as i32), ws[1]]);
    let x = cx.to_channels_last(x);
    let op = ConvInteger {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        group: g as u32,
    };
    let ty = cx.typed(DType::I32, &channels_last(xs[0], &extent.out, ws[0]))?;
    Ok(cx.emit_n(op, &[Some(x), Some(w), x_zero, w_zero], &[Some(ty)])[0].expect("asked for"))
}

pub(super) fn conv_integer(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, w, xz, wz) = (
        cx.input(0)?,
        cx.input(1)?,
        cx.opt_input(2)?,
        cx.opt_input(3)?,
    );
    let y = integer_conv(cx, x, w, xz, wz)?;
    let y = cx.to_channels_first(y);
    cx.set_output(0, y);
    Ok(())
}

pub(super) fn qlinear_conv(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let mut v = Vec::new();
    for i in 0..8 {
        v.push(cx.input(i)?);
    }
    let bias = cx.opt_input(8)?;
    let acc = integer_conv(cx, v[0], v[3], Some(v[2]), Some(v[5]))?;
    let m = multiplier(cx, v[1], v[4], v[6])?;
    let y = requantize(cx, acc, bias, m, v[7])?;
    let y = cx.to_channels_first(y);
    cx.set_output(0, y);
    Ok(())
}

/// Quantises back with the scale and zero point of inputs `scale` and `scale + 1`; the zero point's absence means u8 zero.
fn back(cx: &mut NodeCx<'_>, y: ValueId, scale: usize, like: ValueId) -> Result<(), Refusal> {
    let (s, z) = (cx.input(scale)?, cx.opt_input(scale + 1)?);
    let to = z.map_or(cx.dtype(like), |z| cx.dtype(z));
    let y = quantize(cx, y, s, z, to)?;
    cx.set_output(0, y);
    Ok(())
}

/// `QLinearAdd` and `QLinearMul` of `com.microsoft`.
pub(super) fn qlinear_binary(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = if cx.op_type() == "QLinearAdd" {
        BinaryKind::Add
    } else {
        BinaryKind::Mul
    };
    let (a, a_scale, a_zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let (b, b_scale, b_zero) = (cx.input(3)?, cx.input(4)?, cx.opt_input(5)?);
    let x = dequantize(cx, a, a_scale, a_zero)?;
    let y = dequantize(cx, b, b_scale, b_zero)?;
    let z = cx.binary(kind, x, y)?;
    back(cx, z, 6, a)
}

/// `QLinearSigmoid` and `QLinearLeakyRelu` of `com.microsoft`.
pub(super) fn qlinear_unary(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let y = dequantize(cx, x, scale, zero)?;
    let y = match cx.op_type() {
        "QLinearSigmoid" => cx.unary(UnaryKind::Sigmoid, y),
        _ => {
            let alpha = cx.float_or("alpha", 0.01)?;
            cx.unary_ab(UnaryKind::LeakyRelu, y, alpha, 0.0)
        }
    };
    back(cx, y, 3, x)
}

/// `QLinearConcat` of `com.microsoft`: the output's parameters first, then triples.
pub(super) fn qlinear_concat(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    if cx.n_inputs() < 5 || !(cx.n_inputs() - 2).is_multiple_of(3) {
        return Err(Refusal::invalid(
            "its inputs are no triples of tensor, scale and zero point",
        ));
    }
    let mut parts = Vec::new();
    let first = cx.input(2)?;
    for i in (2..cx.n_inputs()).step_by(3) {
        let (x, scale, zero) = (cx.input(i)?, cx.input(i + 1)?, cx.opt_input(i + 2)?);
        parts.push(dequantize(cx, x, scale, zero)?);
    }
    let axis = cx.int_or("axis", 1)?;
    let axis = cx.axis(axis, cx.rank(first))?;
    let y = cx.concat(&parts, axis)?;
    let (s, z) = (cx.input(0)?, cx.opt_input(1)?);
    let to = z.map_or(cx.dtype(first), |z| cx.dtype(z));
    let scale = parameter(cx, s);
    let ty = Type {
        dtype: to,
        shape: cx.ty(y).shape,
    };
    let inputs: Vec<_> = [y, scale]
        .into_iter()
        .chain(z.map(|z| parameter(cx, z)))
        .collect();
    let y = cx.emit(
        QuantizeLinear {
            axis: 0,
            block: 0,
            saturate: true,
        },
        &inputs,
        ty,
    );
    cx.set_output(0, y);
    Ok(())
}

fn channels_last_attribute(cx: &NodeCx<'_>) -> Result<bool, Refusal> {
    Ok(cx.int_or("channels_last", 0)? != 0)
}

/// `QLinearGlobalAveragePool` of `com.microsoft`.
pub(super) fn qlinear_global_average_pool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    spatial_rank(cx, x)?;
    let rank = cx.rank(x);
    let over: Vec<usize> = if channels_last_attribute(cx)? {
        (1..rank - 1).collect()
    } else {
        (2..rank).collect()
    };
    let y = dequantize(cx, x, scale, zero)?;
    let y = cx.reduce(ReduceKind::Mean, y, &over, true)?;
    back(cx, y, 3, x)
}

/// `QLinearAveragePool` of `com.microsoft`.
pub(super) fn qlinear_average_pool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    use cygnet_format::op::{Pool, PoolKind};
    let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.opt_input(2)?);
    let spatial = spatial_rank(cx, x)?;
    let last = channels_last_attribute(cx)?;
    let mut y = dequantize(cx, x, scale, zero)?;
    if !last {
        y = cx.to_channels_last(y);
    }
    let kernel = cx.ints("kernel_shape")?.filter(|k| k.len() == spatial);
    let kernel =
        kernel.ok_or_else(|| Refusal::invalid("its kernel_shape does not fit its input"))?;
    let kernel = kernel
        .into_iter()
        .map(|k| i32::try_from(k).unwrap_or(0))
        .collect();
    let window = Window::read(cx, kernel)?;
    let shape = cx.shape(y);
    let ceil = cx.int_or("ceil_mode", 0)? != 0;
    let extent = window.extent(cx, &shape[1..=spatial], ceil)?;
    if extent.explicit.is_some() {
        return Err(Refusal::unsupported(
            "the padding of auto_pad depends on an input size that is not fixed",
        )
        .remedy("fix the input shape with --input NAME=SHAPE"));
    }
    let op = Pool {
        kind: PoolKind::Average,
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        count_include_pad: cx.int_or("count_include_pad", 0)? != 0,
        ..Default::default()
    };
    let ty = cx.typed(
        DType::F32,
        &channels_last(shape[0], &extent.out, shape[spatial + 1]),
    )?;
    y = cx.emit(op, &[y], ty);
    if !last {
        y = cx.to_channels_first(y);
    }
    back(cx, y, 3, x)
}

/// `MatMulIntegerToFloat` and `DynamicQuantizeMatMul` of `com.microsoft`.
pub(super) fn mat_mul_to_float(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (a, b, a_scale, b_scale, a_zero, b_zero, bias);
    if cx.op_type() == "DynamicQuantizeMatMul" {
        let x = cx.input(0)?;
        (b, b_scale, b_zero, bias) = (
            cx.input(1)?,
            cx.input(2)?,
            cx.opt_input(3)?,
            cx.opt_input(4)?,
        );
        let types = dynamic_types(cx, x);
        let q = cx.emit_n(DynamicQuantizeLinear {}, &[Some(x)], &types);
        (a, a_scale, a_zero) = (q[0].expect("asked for"), q[1].expect("asked for"), q[2]);
    } else {
        (a, b, a_scale, b_scale) = (cx.input(0)?, cx.input(1)?, cx.input(2)?, cx.input(3)?);
        (a_zero, b_zero, bias) = (cx.opt_input(4)?, cx.opt_input(5)?, cx.opt_input(6)?);
    }
    let acc = integer_product(cx, a, b, a_zero, b_zero)?;
    let y = cx.cast(acc, DType::F32);
    let (s, t) = (parameter(cx, a_scale), parameter(cx, b_scale));
    let m = cx.binary(BinaryKind::Mul, s, t)?;
    let mut y = cx.binary(BinaryKind::Mul, y, m)?;
    if let Some(bias) = bias {
        y = cx.binary(BinaryKind::Add, y, bias)?;
    }
    cx.set_output(0, y);
    Ok(())
}
