//! Normalisations.

use super::super::{NodeCx, Refusal};
use super::lower::{fixed, narrow, sqrt_plus, wide_input, widen, widen_opt, with_scalar};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{BinaryKind, Expand, GroupNorm, LayerNorm, Lrn, ReduceKind, UnaryKind};
use cygnet_format::{DType, Dim};

/// Runs `f` on a channels-last view of `x` when that exists, else with channels on axis 1; `f` gets the channel axis.
fn over_channels(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    f: impl FnOnce(&mut NodeCx<'_>, ValueId, usize) -> Result<ValueId, Refusal>,
) -> Result<ValueId, Refusal> {
    let rank = cx.rank(x);
    if (3..=5).contains(&rank) {
        let x = cx.to_channels_last(x);
        let y = f(cx, x, rank - 1)?;
        Ok(cx.to_channels_first(y))
    } else {
        f(cx, x, 1)
    }
}

/// A channel vector shaped to broadcast along `axis` of `rank` axes.
fn along(cx: &mut NodeCx<'_>, v: ValueId, axis: usize, rank: usize) -> ValueId {
    let mut shape = vec![Dim::ONE; rank - axis];
    shape[0] = cx.shape(v)[0];
    if shape.len() == 1 {
        v
    } else {
        cx.reshape(v, &shape)
    }
}

/// `BatchNormalization`: `x*a + b` with `a = scale/sqrt(var + epsilon)`, `b = bias - mean*a`.
pub(super) fn batch(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let scale = wide_input(cx, 1)?.0;
    let bias = wide_input(cx, 2)?.0;
    let (mean, mean_type) = wide_input(cx, 3)?;
    let (var, _) = wide_input(cx, 4)?;
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let momentum = cx.float_or("momentum", 0.9)?;
    let rank = cx.rank(x);
    if rank < 2 {
        return Err(Refusal::unsupported("the input has no channel axis"));
    }
    if cx.opset() < 9 && cx.int_or("spatial", 1)? == 0 {
        return Err(Refusal::unsupported("spatial=0 is not supported")
            .remedy("export the model with opset 9 or later"));
    }
    let training = cx.int_or("training_mode", 0)? != 0;
    if cx.opset() < 14 && (1..5).any(|i| cx.has_output(i)) {
        return Err(Refusal::unsupported(
            "training-mode outputs are not supported before opset 14",
        )
        .remedy("export the model for inference"));
    }
    let (mut mean, mut var) = (mean, var);
    if training {
        let axes: Vec<usize> = (0..rank).filter(|&a| a != 1).collect();
        let now = cx.reduce(ReduceKind::Mean, x, &axes, true)?;
        let centred = cx.binary(BinaryKind::Sub, x, now)?;
        let square = cx.binary(BinaryKind::Mul, centred, centred)?;
        let spread = cx.reduce(ReduceKind::Mean, square, &axes, false)?;
        let channels = cx.shape(x)[1];
        let now = cx.reshape(now, &[channels]);
        for (i, old, new) in [(1, mean, now), (2, var, spread)] {
            if cx.has_output(i) {
                let old = with_scalar(cx, BinaryKind::Mul, old, momentum)?;
                let new = with_scalar(cx, BinaryKind::Mul, new, 1.0 - momentum)?;
                let y = cx.binary(BinaryKind::Add, old, new)?;
                let y = narrow(cx, y, mean_type);
                cx.set_output(i, y);
            }
        }
        (mean, var) = (now, spread);
    }
    let deviation = sqrt_plus(cx, var, epsilon)?;
    let a = cx.binary(BinaryKind::Div, scale, deviation)?;
    let shift = cx.binary(BinaryKind::Mul, mean, a)?;
    let b = cx.binary(BinaryKind::Sub, bias, shift)?;
    let y = over_channels(cx, x, |cx, x, axis| {
        let (a, b) = (along(cx, a, axis, rank), along(cx, b, axis, rank));
        let y = cx.binary(BinaryKind::Mul, x, a)?;
        cx.binary(BinaryKind::Add, y, b)
    })?;
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// Group normalisation of `[N, C, S..]` with one scale and bias a channel.
fn grouped(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    scale: Option<ValueId>,
    bias: Option<ValueId>,
    groups: usize,
    epsilon: f32,
) -> ValueId {
    let shape = cx.shape(x);
    let direct = (3..=5).contains(&shape.len());
    let view = if direct {
        x
    } else {
        let rest = cx.graph().dim_product(&shape[2..]);
        cx.reshape(x, &[shape[0], shape[1], rest])
    };
    let last = cx.to_channels_last(view);
    let ty = Type::new(DType::F32, &cx.shape(last));
    let op = GroupNorm {
        groups: groups as u32,
        epsilon,
    };
    let y = cx.emit_n(op, &[Some(last), scale, bias], &[Some(ty)])[0].expect("asked for");
    let y = cx.to_channels_first(y);
    if direct { y } else { cx.reshape(y, &shape) }
}

/// `InstanceNormalization`.
pub(super) fn instance(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (scale, bias) = (wide_input(cx, 1)?.0, wide_input(cx, 2)?.0);
    if cx.rank(x) < 2 {
        return Err(Refusal::invalid("the input has no channel axis"));
    }
    let channels = fixed(cx.shape(x)[1], "the number of channels")?;
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let y = grouped(cx, x, Some(scale), Some(bias), channels, epsilon);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `GroupNormalization`; up to opset 20 scale and bias belong to groups, later to channels.
pub(super) fn group(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (mut scale, mut bias) = (wide_input(cx, 1)?.0, wide_input(cx, 2)?.0);
    if cx.rank(x) < 2 {
        return Err(Refusal::invalid("the input has no channel axis"));
    }
    let channels = fixed(cx.shape(x)[1], "the number of channels")?;
    let groups = cx.int_or("num_groups", 0)?;
    if groups < 1 || channels as i64 % groups != 0 {
        return Err(Refusal::invalid(format!(
            "{groups} groups do not divide {channels} channels"
        )));
    }
    let epsilon = cx.float_or("epsilon", 1e-5)?;
    let groups = groups as usize;
    if cx.opset() < 21 && groups != channels {
        for v in [&mut scale, &mut bias] {
            let (g, each) = (Dim(groups as i32), Dim((channels / groups) as i32));
            let column = cx.reshape(*v, &[g, Dim::ONE]);
            let wide = cx.emit(Expand {}, &[column], Type::new(DType::F32, &[g, each]));
            *v = cx.reshape(wide, &[Dim(channels as i32)]);
        }
    }
    let y = grouped(cx, x, Some(scale), Some(bias), groups, epsilon);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// Layer normalisation of f32 `x`; gives the result and, where wanted, mean and inverse deviation.
fn layered(
    cx: &mut NodeCx<'_>,
    x: ValueId,
    scale: Option<ValueId>,
    bias: Option<ValueId>,
    op: LayerNorm,
    wanted: [bool; 2],
) -> Vec<Option<ValueId>> {
    let shape = cx.shape(x);
    let mut kept = shape.clone();
    kept[op.axis as usize..].fill(Dim::ONE);
    let statistics = Type::new(DType::F32, &kept);
    let types = [
        Some(Type::new(DType::F32, &shape)),
        wanted[0].then(|| statistics.clone()),
        wanted[1].then_some(statistics),
    ];
    let count = if wanted[1] {
        3
    } else if wanted[0] {
        2
    } else {
        1
    };
    let mut out = cx.emit_n(op, &[Some(x), scale, bias], &types[..count]);
    out.resize(3, None);
    out
}

/// `LayerNormalization` and `RMSNormalization`.
pub(super) fn layer(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let rms = cx.op_type() != "LayerNormalization";
    let (x, dtype) = wide_input(cx, 0)?;
    let scale = cx.opt_input(1)?;
    let scale = widen_opt(cx, scale);
    let bias = cx.opt_input(2)?;
    let bias = widen_opt(cx, bias);
    let axis = cx.axis(cx.int_or("axis", -1)?, cx.rank(x))? as i32;
    let op = LayerNorm {
        axis,
        epsilon: cx.float_or("epsilon", 1e-5)?,
        rms,
    };
    let wanted = [cx.has_output(1), cx.has_output(2)];
    let out = layered(cx, x, scale, bias, op, wanted);
    let y = narrow(cx, out[0].expect("asked for"), dtype);
    cx.set_output(0, y);
    // Statistics have the type of `stash_type`: f32 unless the model says otherwise.
    for i in [1, 2] {
        if let Some(v) = out[i] {
            cx.set_output(i, v);
        }
    }
    Ok(())
}

/// `com.microsoft` `SkipLayerNormalization` and `SkipSimplifiedLayerNormalization`.
pub(super) fn skip_layer(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let rms = cx.op_type() == "SkipSimplifiedLayerNormalization";
    let (x, dtype) = wide_input(cx, 0)?;
    let (skip, _) = wide_input(cx, 1)?;
    let gamma = wide_input(cx, 2)?.0;
    let (beta, bias) = if rms {
        (None, cx.opt_input(3)?)
    } else {
        (cx.opt_input(3)?, cx.opt_input(4)?)
    };
    let beta = widen_opt(cx, beta);
    let mut sum = cx.binary(BinaryKind::Add, x, skip)?;
    if let Some(bias) = bias {
        let bias = widen(cx, bias);
        sum = cx.binary(BinaryKind::Add, sum, bias)?;
    }
    let axis = cx.rank(sum) as i32 - 1;
    let op = LayerNorm {
        axis,
        epsilon: cx.float_or("epsilon", 1e-12)?,
        rms,
    };
    let wanted = [cx.has_output(1), cx.has_output(2)];
    let out = layered(cx, sum, Some(gamma), beta, op, wanted);
    let y = narrow(cx, out[0].expect("asked for"), dtype);
    cx.set_output(0, y);
    for i in [1, 2] {
        if let Some(v) = out[i] {
            cx.set_output(i, v);
        }
    }
    if cx.has_output(3) {
        let sum = narrow(cx, sum, dtype);
        cx.set_output(3, sum);
    }
    Ok(())
}

/// `LRN`.
pub(super) fn lrn(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let size = cx.int_or("size", 0)?;
    if size < 1 || cx.rank(x) < 2 {
        return Err(Refusal::invalid(format!(
            "size {size} over {} axes",
            cx.rank(x)
        )));
    }
    let op = Lrn {
        size: size as u32,
        alpha: cx.float_or("alpha", 1e-4)?,
        beta: cx.float_or("beta", 0.75)?,
        bias: cx.float_or("bias", 1.0)?,
    };
    let shape = cx.shape(x);
    let direct = (3..=5).contains(&shape.len());
    let view = if direct {
        x
    } else {
        let rest = cx.graph().dim_product(&shape[2..]);
        cx.reshape(x, &[shape[0], shape[1], rest])
    };
    let last = cx.to_channels_last(view);
    let ty = Type::new(DType::F32, &cx.shape(last));
    let y = cx.emit(op, &[last], ty);
    let y = cx.to_channels_first(y);
    let y = if direct { y } else { cx.reshape(y, &shape) };
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `LpNormalization`.
pub(super) fn lp(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let axis = cx.axis(cx.int_or("axis", -1)?, cx.rank(x))?;
    let p = cx.int_or("p", 2)?;
    if p != 1 && p != 2 {
        return Err(Refusal::invalid(format!("p is {p}, neither 1 nor 2")));
    }
    // The standard's quotient: not a number where the norm is zero, which the engine's `lp_norm` defines as zero.
    let kind = if p == 1 {
        ReduceKind::L1
    } else {
        ReduceKind::L2
    };
    let norm = cx.reduce(kind, x, &[axis], true)?;
    let y = cx.binary(BinaryKind::Div, x, norm)?;
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `MeanVarianceNormalization`: `(x - mean) / (deviation + 1e-9)`.
pub(super) fn mean_variance(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let rank = cx.rank(x);
    let axes = cx
        .ints("axes")?
        .unwrap_or_else(|| vec![0, 2, 3])
        .iter()
        .map(|&a| cx.axis(a, rank))
        .collect::<Result<Vec<_>, _>>()?;
    let mean = cx.reduce(ReduceKind::Mean, x, &axes, true)?;
    let centred = cx.binary(BinaryKind::Sub, x, mean)?;
    let square = cx.binary(BinaryKind::Mul, centred, centred)?;
    let variance = cx.reduce(ReduceKind::Mean, square, &axes, true)?;
    let deviation = cx.unary(UnaryKind::Sqrt, variance);
    let deviation = with_scalar(cx, BinaryKind::Add, deviation, 1e-9)?;
    let y = cx.binary(BinaryKind::Div, centred, deviation)?;
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
