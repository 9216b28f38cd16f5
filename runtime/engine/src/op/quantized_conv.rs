//! `quantized_conv`, and what it shares with `quantized_depthwise`.

use super::quantization::clamped;
use crate::linear::PARALLEL_WORK;
use crate::spatial::{Image, Window};
use crate::{Cx, RunError, Tensor, TensorType};
use core::ops::Range;
use cygnet_format::{Axes, DType, op};
use cygnet_kernels::quantized::{GROUP, Operands, QuantizedConv, Requantize, Sum};
use cygnet_kernels::{Activation, Conv, KernelError, Kernels};

/// A kernel of [`Kernels`], dense or depthwise.
type Kernel =
    fn(&Kernels, &QuantizedConv, &Operands<'_>, &mut [u8], Range<usize>) -> Result<(), KernelError>;

pub(crate) fn run(op: &op::QuantizedConv, cx: &mut Cx<'_>) -> Result<(), RunError> {
    convolve(op, cx, false)
}

/// Runs either operator; a depthwise one takes its groups from the channels.
pub(super) fn convolve(
    op: &op::QuantizedConv,
    cx: &mut Cx<'_>,
    depthwise: bool,
) -> Result<(), RunError> {
    let (x, w, start) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
    let (multiplier, residual) = (cx.input(3)?, cx.opt_input(4)?);
    let y = cx.output(0)?;
    let p = prepare(
        op,
        depthwise,
        [&x, &w, &start, &multiplier].map(Tensor::kind),
        residual.as_ref().map(Tensor::kind),
        y.kind(),
    )?;
    let operands = Operands {
        x: x.bytes,
        weights: w.as_slice::<i8>()?,
        start: start.as_slice::<i32>()?,
        multiplier: multiplier.as_slice::<f32>()?,
        residual: residual.map(|r| r.bytes),
    };
    let y = y.bytes;
    if y.is_empty() {
        return Ok(());
    }
    let kernel: Kernel = if depthwise {
        Kernels::quantized_depthwise
    } else {
        Kernels::quantized_conv
    };
    let (part, row) = (part(cx, &p.conv), p.conv.output[2] * p.conv.out_channels);
    let kernels = cx.kernels();
    cx.parallel_chunks(y, part * row, &|i, y| {
        let first = i * part;
        let rows = first..first + y.len() / row;
        let residual = operands.residual.map(|r| &r[first * row..][..y.len()]);
        Ok(kernel(
            kernels,
            &p,
            &Operands {
                residual,
                ..operands
            },
            y,
            rows,
        )?)
    })
}

/// The kernel's parameters for operands `x, weights, start, multiplier`, a residual and a result.
pub(crate) fn prepare(
    op: &op::QuantizedConv,
    depthwise: bool,
    [x, w, start, multiplier]: [TensorType; 4],
    residual: Option<TensorType>,
    y: TensorType,
) -> Result<QuantizedConv, RunError> {
    let axes = [&op.kernel, &op.strides, &op.dilations, &op.pads];
    let group = (!depthwise).then_some(op.group);
    let conv = shape(axes, group, &x.shape, &w.shape, &y.shape)?;
    let fits = *start.shape == [2, conv.out_channels]
        && *multiplier.shape == [conv.out_channels]
        && residual.as_ref().is_none_or(|r| r.shape == y.shape);
    if !fits {
        return Err(disagree());
    }
    let byte = |t: DType| matches!(t, DType::I8 | DType::U8);
    if !byte(x.dtype) || !byte(y.dtype) || residual.as_ref().is_some_and(|r| !byte(r.dtype)) {
        return Err(RunError::dtype("operands are 8-bit integers"));
    }
    let (signed, zero) = (x.dtype == DType::I8, op.x_zero);
    let x_zero = if signed {
        i8::try_from(zero).ok().map(|z| z as u8)
    } else {
        u8::try_from(zero).ok()
    };
    let x_zero = x_zero.ok_or(RunError::attribute("a zero point is a value of its type"))?;
    let (low, high) = clamped(y.dtype, op.low, op.high)?;
    let (sum_low, sum_high) = clamped(y.dtype, op.sum_low, op.sum_high)?;
    Ok(QuantizedConv {
        conv,
        signed,
        x_zero,
        requantize: Requantize {
            zero: op.zero,
            low,
            high,
            sum: Sum {
                own: op.own,
                other: op.other,
                residual_zero: op.residual_zero,
                residual_signed: residual.as_ref().is_some_and(|r| r.dtype == DType::I8),
                zero: op.sum_zero,
                low: sum_low,
                high: sum_high,
            },
        },
    })
}

pub(super) const fn disagree() -> RunError {
    RunError::shape("operands of a quantised convolution do not agree")
}

/// The convolution with a window (kernel, strides, dilations, pads) and packed 8-bit weights; one without `group` is
/// depthwise.
pub(super) fn shape(
    axes: [&Axes; 4],
    group: Option<u32>,
    x: &crate::Shape,
    w: &crate::Shape,
    y: &crate::Shape,
) -> Result<Conv, RunError> {
    let (window, xi, yi) = geometry(axes, x, y)?;
    let groups = group.map_or(xi.channels, |group| group as usize);
    let divides = groups > 0 && xi.channels % groups == 0 && yi.channels % groups == 0;
    if xi.batch != yi.batch || !divides || (group.is_none() && xi.channels != yi.channels) {
        return Err(RunError::shape(
            "a convolution keeps the batch, and the groups divide the channels",
        ));
    }
    let (c, o) = (xi.channels / groups, yi.channels / groups);
    let taps = window.taps().ok_or(RunError::overflow())?;
    let run = window.kernel[2]
        .checked_mul(c)
        .ok_or(RunError::overflow())?;
    let rows = window.kernel[0] * window.kernel[1];
    let fits = match group {
        None => **w == [taps, xi.channels],
        Some(_) => **w == [groups, o.div_ceil(16), rows, run.div_ceil(GROUP), 16, GROUP],
    };
    if fits {
        Ok(window.convolution(&xi, &yi, groups, Activation::None))
    } else {
        Err(disagree())
    }
}

/// Output rows of a convolution that a thread takes at a time.
pub(super) fn part(cx: &Cx<'_>, p: &Conv) -> usize {
    let rows = p.rows();
    let depth = p.kernel.iter().product::<usize>() * (p.in_channels / p.groups);
    let results = rows.saturating_mul(p.output[2] * p.out_channels);
    if results.saturating_mul(depth) < PARALLEL_WORK || cx.threads() == 1 {
        rows
    } else {
        rows.div_ceil(cx.threads() * 4)
    }
}

/// The window (kernel, strides, dilations, pads) and both images; without a kernel, every position before the last axis
/// is a pixel of its own row.
fn geometry(
    [kernel, strides, dilations, pads]: [&Axes; 4],
    x: &crate::Shape,
    y: &crate::Shape,
) -> Result<(Window, Image, Image), RunError> {
    if x.rank() != y.rank() || x.rank() == 0 {
        return Err(RunError::shape("input and result have one rank"));
    }
    if !kernel.is_empty() {
        let window = Window::new(x, kernel, strides, dilations, pads)?;
        return Ok((window, Image::new(x)?, Image::new(y)?));
    }
    let last = x.rank() - 1;
    if x[..last] != y[..last] {
        return Err(RunError::shape("a product keeps the leading axes"));
    }
    let image = |channels| Image {
        batch: 1,
        size: [1, x[..last].iter().product(), 1],
        channels,
    };
    let ones = [1; 3];
    let window = Window {
        kernel: ones,
        stride: ones,
        dilation: ones,
        pad_begin: [0; 3],
        pad_end: [0; 3],
    };
    Ok((window, image(x[last]), image(y[last])))
}
