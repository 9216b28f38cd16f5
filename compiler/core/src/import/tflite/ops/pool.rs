//! Pools over spatial windows.

use super::super::cx::OpCx;
use super::conv::padding;
use crate::import::error::Refusal;
use crate::import::ops::window::{Padding, Window, axes, channels_last};
use cygnet_format::DType;
use cygnet_format::op::{Pool, PoolKind, QuantizedAveragePool, UnaryKind};

/// LiteRT rounds the mean of integers half away from zero, the operator half to even: a mean so much too large is on the
/// right side of a tie, and of nothing else.
const AWAY_FROM_TIES: f32 = 1.0 + 1.0 / (1 << 21) as f32;
/// Most taps of a window: means that are not on a tie are half a tap or more away from one.
const MAX_TAPS: usize = 2048;

/// `AVERAGE_POOL_2D`, `MAX_POOL_2D` and `L2_POOL_2D` (the root of the mean of squares). Padding never counts.
pub(super) fn pool(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let kind = match cx.op_type() {
        "MAX_POOL_2D" => PoolKind::Max,
        _ => PoolKind::Average,
    };
    let squares = cx.op_type() == "L2_POOL_2D";
    let act = cx.option(5, 0)?;
    let q = cx.quantised(0)?;
    let kernel = vec![cx.option(4, 0)?, cx.option(3, 0)?];
    let strides = vec![cx.option(2, 0)?, cx.option(1, 0)?];
    let window = Window::new(kernel, strides, vec![1, 1])?;
    let dtype = cx.output_type(0)?;
    let input = cx.input(0)?;
    let bytes = matches!(dtype, DType::I8 | DType::U8) && cx.dtype(input) == dtype;
    let small = kind == PoolKind::Max || window.taps() <= MAX_TAPS;
    // The greatest of integers is that of the numbers, and so is their mean.
    let own = bytes && small && !squares && act == 0 && q == cx.quantised_output(0)?;
    let mut x = if own { input } else { cx.float(0)? };
    let shape = cx.shape(x);
    if shape.len() != 4 {
        return Err(Refusal::invalid(format!(
            "the input has {} axes where 4 are needed",
            shape.len()
        )));
    }
    let pad: Padding = padding(cx.option(0, 0)?, 2)?;
    let extent = window.place(cx, &shape[1..3], false, pad)?;
    if extent.explicit.is_some() {
        return Err(
            Refusal::unsupported("its padding depends on an input size that is not fixed")
                .remedy("fix the input shape with --input NAME=SHAPE"),
        );
    }
    if squares {
        x = cx.unary(UnaryKind::Square, x);
    }
    let ty = cx.typed(cx.dtype(x), &channels_last(shape[0], &extent.out, shape[3]))?;
    if own && kind == PoolKind::Average {
        let op = QuantizedAveragePool {
            kernel: axes(&window.kernel),
            strides: axes(&window.strides),
            dilations: axes(&window.dilations),
            pads: axes(&extent.pads),
            multiplier: AWAY_FROM_TIES,
            ..QuantizedAveragePool::default()
        };
        let y = cx.emit(op, &[x], ty);
        cx.set_output(0, y);
        return Ok(());
    }
    let op = Pool {
        kind,
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        ..Pool::default()
    };
    let mut y = cx.emit(op, &[x], ty);
    if squares {
        y = cx.unary(UnaryKind::Sqrt, y);
    }
    if own {
        cx.set_output(0, y);
        return Ok(());
    }
    let y = cx.activate(y, act)?;
    cx.put(0, y)
}
