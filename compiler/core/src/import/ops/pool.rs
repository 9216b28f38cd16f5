//! Pools over spatial windows and over regions of interest.

use super::super::{NodeCx, Refusal};
use super::lower::{narrow, small, wide_input, widen, with_scalar};
use super::window::{Window, axes, channels_last, ints_or, spatial_rank};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{
    BinaryKind, MaxRoiPool, MaxUnpool, Pad, PadMode, Pool, PoolKind, ReduceKind, RoiAlign, RoiMode,
    UnaryKind,
};
use cygnet_format::{DType, Dim};

fn kernel(cx: &NodeCx<'_>, spatial: usize) -> Result<Vec<i32>, Refusal> {
    let kernel = cx.ints("kernel_shape")?.unwrap_or_default();
    if kernel.len() != spatial {
        return Err(Refusal::invalid(format!(
            "kernel_shape has {} elements for {spatial} spatial axes",
            kernel.len()
        )));
    }
    small(&kernel, "kernel_shape")
}

/// `MaxPool`, `AveragePool` and `LpPool`.
pub(super) fn pool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "MaxPool" => PoolKind::Max,
        "AveragePool" => PoolKind::Average,
        _ => PoolKind::Lp,
    };
    let x = cx.input(0)?;
    let dtype = cx.dtype(x);
    // The engine takes the maximum of 8-bit integers as they are.
    let own = kind == PoolKind::Max && matches!(dtype, DType::I8 | DType::U8);
    let x = if own { x } else { widen(cx, x) };
    let run = cx.dtype(x);
    let n = spatial_rank(cx, x)?;
    let window = Window::read(cx, kernel(cx, n)?)?;
    let ceil = cx.int_or("ceil_mode", 0)? != 0;
    let count_include_pad = cx.int_or("count_include_pad", 0)? != 0;
    let p = lp_order(cx)?;
    let shape = cx.shape(x);
    let extent = window.extent(cx, &shape[2..], ceil)?;
    if extent.explicit.is_some()
        && ((kind == PoolKind::Average && !count_include_pad) || cx.has_output(1))
    {
        return Err(Refusal::unsupported(
            "the padding of auto_pad depends on an input size that is not fixed",
        )
        .remedy("fix the input shape with --input NAME=SHAPE"));
    }
    let x = cx.to_channels_last(x);
    let lowest = match run {
        DType::U8 => 0.0,
        DType::I8 => -128.0,
        _ => f32::NEG_INFINITY,
    };
    let x = extent.pad(cx, x, if kind == PoolKind::Max { lowest } else { 0.0 });
    let op = Pool {
        kind,
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        count_include_pad,
        p,
        column_major: cx.int_or("storage_order", 0)? != 0,
    };
    let out = channels_last(shape[0], &extent.out, shape[1]);
    let wants_indices = kind == PoolKind::Max && cx.has_output(1);
    let types = [
        Some(Type::new(run, &out)),
        wants_indices.then(|| Type::new(DType::I64, &out)),
    ];
    let results = cx.emit_n(op, &[Some(x)], &types[..if wants_indices { 2 } else { 1 }]);
    let y = cx.to_channels_first(results[0].expect("asked for"));
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    if wants_indices {
        let i = cx.to_channels_first(results[1].expect("asked for"));
        cx.set_output(1, i);
    }
    Ok(())
}

/// The order of an Lp pool: a float up to opset 1, an integer later.
fn lp_order(cx: &NodeCx<'_>) -> Result<u32, Refusal> {
    if !cx.op_type().contains("LpPool") {
        return Ok(0);
    }
    let p = if cx.opset() < 2 {
        cx.float_or("p", 2.0)? as i64
    } else {
        cx.int_or("p", 2)?
    };
    u32::try_from(p)
        .ok()
        .filter(|&p| p > 0)
        .ok_or_else(|| Refusal::invalid(format!("p is {p}")))
}

/// `GlobalMaxPool`, `GlobalAveragePool` and `GlobalLpPool`.
pub(super) fn global_pool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let rank = cx.rank(x);
    if rank < 2 {
        return Err(Refusal::invalid("the input has no channel axis"));
    }
    let last = (3..=5).contains(&rank);
    let axes: Vec<usize> = if last {
        (1..rank - 1).collect()
    } else {
        (2..rank).collect()
    };
    let x = if last { cx.to_channels_last(x) } else { x };
    let whole = if last { whole_pool(cx, x) } else { None };
    let y = match cx.op_type() {
        "GlobalMaxPool" | "GlobalAveragePool" if whole.is_some() => {
            let (mut op, ty) = whole.expect("checked");
            op.kind = if cx.op_type() == "GlobalMaxPool" {
                PoolKind::Max
            } else {
                PoolKind::Average
            };
            cx.emit(op, &[x], ty)
        }
        "GlobalMaxPool" => cx.reduce(ReduceKind::Max, x, &axes, true)?,
        "GlobalAveragePool" => cx.reduce(ReduceKind::Mean, x, &axes, true)?,
        _ => match lp_order(cx)? {
            1 => cx.reduce(ReduceKind::L1, x, &axes, true)?,
            2 => cx.reduce(ReduceKind::L2, x, &axes, true)?,
            p => {
                let y = cx.unary(UnaryKind::Abs, x);
                let y = with_scalar(cx, BinaryKind::Pow, y, p as f32)?;
                let y = cx.reduce(ReduceKind::Sum, y, &axes, true)?;
                with_scalar(cx, BinaryKind::Pow, y, 1.0 / p as f32)?
            }
        },
    };
    let y = if last { cx.to_channels_first(y) } else { y };
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// The pool over all of a channels-last input of fixed size, and its result.
fn whole_pool(cx: &NodeCx<'_>, x: ValueId) -> Option<(Pool, Type)> {
    let shape = cx.shape(x);
    let n = shape.len() - 2;
    let kernel: Vec<i32> = shape[1..=n]
        .iter()
        .map(|d| d.as_const().map(|d| d as i32))
        .collect::<Option<_>>()?;
    if kernel.contains(&0) {
        return None;
    }
    let ones = vec![1; n];
    let op = Pool {
        kernel: axes(&kernel),
        strides: axes(&ones),
        dilations: axes(&ones),
        pads: axes(&vec![0; 2 * n]),
        ..Pool::default()
    };
    Some((
        op,
        Type::new(
            cx.dtype(x),
            &channels_last(shape[0], &vec![Dim::ONE; n], shape[n + 1]),
        ),
    ))
}

/// `MaxUnpool`. A larger `output_shape` is the inferred output followed by zeros.
pub(super) fn max_unpool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let at = cx.input(1)?;
    let n = spatial_rank(cx, x)?;
    let kernel = kernel(cx, n)?;
    let strides = ints_or(cx, "strides", n, 1)?;
    let pads = ints_or(cx, "pads", 2 * n, 0)?;
    let mut shape = cx.shape(x);
    for i in 0..n {
        let g = cx.graph();
        let stride = g.dim_const(strides[i] as i64);
        let last = g.dim_sub(shape[i + 2], Dim::ONE);
        let reach = g.dim_mul(last, stride);
        let rest = g.dim_const((kernel[i] - pads[i] - pads[n + i]) as i64);
        shape[i + 2] = g.dim_add(reach, rest);
    }
    let (x, at) = (cx.to_channels_last(x), cx.to_channels_last(at));
    let last = channels_last(shape[0], &shape[2..], shape[1]);
    let y = cx.emit(MaxUnpool {}, &[x, at], Type::new(DType::F32, &last));
    let mut y = cx.to_channels_first(y);
    if let Some(size) = cx.opt_input(2)? {
        let wanted = cx.dim_list(size)?;
        if wanted.len() != n + 2 {
            return Err(Refusal::invalid(format!(
                "output_shape has {} elements for {} axes",
                wanted.len(),
                n + 2
            )));
        }
        if wanted != shape {
            let zero = cx.scalar(0.0, DType::F32);
            let before = vec![Dim(0); n + 2].into_iter().collect();
            y = cx.emit(
                Pad {
                    before,
                    mode: PadMode::Constant,
                },
                &[y, zero],
                Type::new(DType::F32, &wanted),
            );
        }
    }
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `RoiAlign`.
pub(super) fn roi_align(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (rois, _) = wide_input(cx, 1)?;
    let batch = cx.input(2)?;
    let batch = narrow(cx, batch, DType::I64);
    if cx.rank(x) != 4 {
        return Err(Refusal::invalid("the input is not [N, C, H, W]"));
    }
    let mode = match cx.str_or("mode", "avg")?.as_str() {
        "avg" => RoiMode::Average,
        "max" => RoiMode::Max,
        other => {
            return Err(Refusal::invalid(format!(
                "mode {other:?} is neither avg nor max"
            )));
        }
    };
    let default = if cx.opset() < 16 {
        "output_half_pixel"
    } else {
        "half_pixel"
    };
    let half_pixel = cx.str_or("coordinate_transformation_mode", default)? == "half_pixel";
    let height = cx.int_or("output_height", 1)?;
    let width = cx.int_or("output_width", 1)?;
    let op = RoiAlign {
        mode,
        sampling_ratio: cx.int_or("sampling_ratio", 0)?.max(0) as u32,
        spatial_scale: cx.float_or("spatial_scale", 1.0)?,
        half_pixel,
    };
    roi_output(cx, op.into(), &[x, rois, batch], height, width, dtype)
}

/// `MaxRoiPool`.
pub(super) fn max_roi_pool(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (rois, _) = wide_input(cx, 1)?;
    let size = cx.ints("pooled_shape")?.unwrap_or_default();
    if cx.rank(x) != 4 || size.len() != 2 {
        return Err(Refusal::invalid(
            "the input is not [N, C, H, W] or pooled_shape has not two elements",
        ));
    }
    let op = MaxRoiPool {
        spatial_scale: cx.float_or("spatial_scale", 1.0)?,
    };
    roi_output(cx, op.into(), &[x, rois], size[0], size[1], dtype)
}

fn roi_output(
    cx: &mut NodeCx<'_>,
    op: cygnet_format::Op,
    operands: &[ValueId],
    height: i64,
    width: i64,
    dtype: DType,
) -> Result<(), Refusal> {
    if !(1..=1 << 16).contains(&height) || !(1..=1 << 16).contains(&width) {
        return Err(Refusal::invalid(format!(
            "the pooled size {height}x{width} is out of range"
        )));
    }
    let (channels, count) = (cx.shape(operands[0])[1], cx.shape(operands[1])[0]);
    let mut operands = operands.to_vec();
    operands[0] = cx.to_channels_last(operands[0]);
    let shape = [count, Dim(height as i32), Dim(width as i32), channels];
    let y = cx.emit(op, &operands, Type::new(DType::F32, &shape));
    let y = cx.to_channels_first(y);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
