//! Convolutions.

use super::super::cx::OpCx;
use crate::import::error::Refusal;
use crate::import::ops::lower::{dims, fixed};
use crate::import::ops::window::{Padding, Window, axes, channels_last};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Activation, Conv, ConvTranspose, DepthwiseConv, PackB};
use cygnet_format::{DType, Dim};

/// Channel panels are 16 wide.
const PANEL: usize = 16;

/// SAME or VALID by its number.
pub(super) fn padding(code: i8, spatial: usize) -> Result<Padding, Refusal> {
    match code {
        0 => Ok(Padding::Same { lower: false }),
        1 => Ok(Padding::Given(vec![0; 2 * spatial])),
        other => Err(Refusal::invalid(format!("a padding of {other}"))),
    }
}

/// The constant dimensions of the weights.
fn weights_shape(cx: &OpCx<'_, '_>, w: ValueId, rank: usize) -> Result<Vec<usize>, Refusal> {
    let shape = cx.shape(w);
    if shape.len() != rank {
        return Err(Refusal::invalid(format!(
            "the weights have {} axes where {rank} are needed",
            shape.len()
        )));
    }
    let sizes: Vec<usize> = shape
        .iter()
        .map(|&d| fixed(d, "the shape of the weights"))
        .collect::<Result<_, _>>()?;
    if sizes.contains(&0) {
        return Err(Refusal::invalid("the weights are empty"));
    }
    Ok(sizes)
}

fn kernel(sizes: &[usize]) -> Result<Vec<i32>, Refusal> {
    let small = |&k: &usize| i32::try_from(k).ok().filter(|k| *k <= 1 << 20);
    sizes
        .iter()
        .map(small)
        .collect::<Option<_>>()
        .ok_or_else(|| Refusal::invalid(format!("a kernel of {sizes:?}")))
}

/// The channels of `x`, which has `spatial` axes between them and the batch.
fn channels(cx: &OpCx<'_, '_>, x: ValueId, spatial: usize) -> Result<usize, Refusal> {
    let shape = cx.shape(x);
    if shape.len() != spatial + 2 {
        return Err(Refusal::invalid(format!(
            "the input has {} axes where {} are needed",
            shape.len(),
            spatial + 2
        )));
    }
    match fixed(shape[spatial + 1], "the number of channels")? {
        0 => Err(Refusal::invalid("the input has no channels")),
        n => Ok(n),
    }
}

/// Bias input `i` of a product of inputs `x` and `w`. Its integers have the unit of the sums, whatever scale the file
/// gives them.
pub(super) fn bias(
    cx: &mut OpCx<'_, '_>,
    i: usize,
    (x, w): (usize, usize),
    n: usize,
) -> Result<Option<ValueId>, Refusal> {
    if !cx.has_input(i) {
        return Ok(None);
    }
    let b = cx.input(i)?;
    let count = cx.ty(b).fixed_len();
    if count != Some(n) {
        return Err(Refusal::invalid(format!(
            "the bias has the shape {:?} where {n} numbers are needed",
            cx.shape(b)
        )));
    }
    let b = cx.reshape(b, &[Dim(n as i32)]);
    if !cx.dtype(b).is_integer() {
        return Ok(Some(cx.cast(b, DType::F32)));
    }
    let (Some(q), Some(p)) = (cx.quantised(x)?, cx.quantised(w)?) else {
        return Err(Refusal::unsupported(
            "an integer bias of a product that is not quantised",
        ));
    };
    if q.scales.len() != 1 || !(p.scales.len() == 1 || p.scales.len() == n) {
        return Err(Refusal::unsupported(
            "the scales of its operands do not fit its bias",
        ));
    }
    let scales: Vec<f32> = p.scales.iter().map(|s| q.scales[0] * s).collect();
    match cx.dtype(b) {
        DType::I32 => {
            let unit = super::super::schema::Quantisation {
                scales,
                zeros: Vec::new(),
                axis: 0,
            };
            cx.dequantise(b, &unit).map(Some)
        }
        DType::I64 => {
            let sums = cx.const_i64(b)?;
            let scale = |i: usize| f64::from(scales[if scales.len() == 1 { 0 } else { i }]);
            let bytes = (0..n)
                .flat_map(|i| ((sums[i] as f64 * scale(i)) as f32).to_le_bytes())
                .collect();
            let b = cx.constant(Type::fixed(DType::F32, &[n]), bytes);
            Ok(Some(b))
        }
        other => Err(Refusal::unsupported(format!("a bias of {other}"))),
    }
}

/// Strides and dilations from option fields, an axis each.
fn numbers(cx: &OpCx<'_, '_>, ids: &[usize]) -> Result<Vec<i32>, Refusal> {
    ids.iter().map(|&id| cx.option(id, 1)).collect()
}

/// `[G, depth, O/G]` weights as packed panels, and the convolution.
fn grouped(
    cx: &mut OpCx<'_, '_>,
    x: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
    window: &Window,
    pad: Padding,
) -> Result<ValueId, Refusal> {
    let shape = cx.shape(x);
    let spatial = window.kernel.len();
    let extent = window.place(cx, &shape[1..=spatial], false, pad)?;
    let x = extent.pad(cx, x, 0.0);
    let [group, depth, columns] = weights_shape(cx, w, 3)?[..] else {
        unreachable!("three axes are asked for");
    };
    let panels = columns.div_ceil(PANEL);
    let packed = Type::fixed(DType::F32, &[group, panels, depth, PANEL]);
    let w = cx.emit(PackB { trans: false }, &[w], packed);
    let out = Dim((group * columns) as i32);
    let ty = cx.typed(DType::F32, &channels_last(shape[0], &extent.out, out))?;
    let op = Conv {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        group: group as u32,
        act: Activation::default(),
    };
    let operands: Vec<_> = [x, w].into_iter().chain(bias).collect();
    Ok(cx.emit(op, &operands, ty))
}

/// `CONV_2D`, weights `[O, kh, kw, C/G]`, and `CONV_3D`, weights `[kd, kh, kw, C/G, O]`.
pub(super) fn conv(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let deep = cx.op_type() == "CONV_3D";
    let spatial = if deep { 3 } else { 2 };
    let (x, w) = (cx.float(0)?, cx.float(1)?);
    let c = channels(cx, x, spatial)?;
    let sizes = weights_shape(cx, w, spatial + 2)?;
    let (taps, per_group, out) = if deep {
        (&sizes[..3], sizes[3], sizes[4])
    } else {
        (&sizes[1..3], sizes[3], sizes[0])
    };
    let group = c / per_group;
    if c % per_group != 0 || out % group != 0 {
        return Err(Refusal::invalid(format!(
            "weights of {per_group} channels and {out} outputs do not divide an input of {c} channels"
        )));
    }
    let (strides, dilations, act) = if deep {
        (numbers(cx, &[1, 3, 2])?, numbers(cx, &[5, 7, 6])?, 4)
    } else {
        (numbers(cx, &[2, 1])?, numbers(cx, &[5, 4])?, 3)
    };
    let window = Window::new(kernel(taps)?, strides, dilations)?;
    let depth = window.taps() * per_group;
    let bias = bias(cx, 2, (0, 1), out)?;
    let w = if deep && group == 1 {
        cx.reshape(w, &dims(&[1, depth, out]))
    } else if deep {
        let w = cx.reshape(w, &dims(&[depth, group, out / group]));
        cx.transpose(w, &[1, 0, 2])
    } else {
        let w = cx.reshape(w, &dims(&[group, out / group, depth]));
        cx.transpose(w, &[0, 2, 1])
    };
    let pad = padding(cx.option(0, 0)?, spatial)?;
    let y = grouped(cx, x, w, bias, &window, pad)?;
    let y = cx.activate(y, cx.option(act, 0)?)?;
    cx.put(0, y)
}

/// `DEPTHWISE_CONV_2D`, weights `[1, kh, kw, C*M]`. With several outputs a channel it is a convolution in groups.
pub(super) fn depthwise(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let (x, w) = (cx.float(0)?, cx.float(1)?);
    let c = channels(cx, x, 2)?;
    let sizes = weights_shape(cx, w, 4)?;
    let out = sizes[3];
    if sizes[0] != 1 || out % c != 0 {
        return Err(Refusal::invalid(format!(
            "weights of the shape {sizes:?} do not fit an input of {c} channels"
        )));
    }
    let (strides, dilations) = (numbers(cx, &[2, 1])?, numbers(cx, &[6, 5])?);
    let window = Window::new(kernel(&sizes[1..3])?, strides, dilations)?;
    let bias = bias(cx, 2, (0, 1), out)?;
    let pad = padding(cx.option(0, 0)?, 2)?;
    let taps = window.taps();
    let y = if out == c && c > 1 {
        let shape = cx.shape(x);
        let extent = window.place(cx, &shape[1..3], false, pad)?;
        let x = extent.pad(cx, x, 0.0);
        let w = cx.reshape(w, &dims(&[taps, c]));
        let ty = cx.typed(DType::F32, &channels_last(shape[0], &extent.out, shape[3]))?;
        let op = DepthwiseConv {
            kernel: axes(&window.kernel),
            strides: axes(&window.strides),
            dilations: axes(&window.dilations),
            pads: axes(&extent.pads),
            act: Activation::default(),
        };
        let operands: Vec<_> = [x, w].into_iter().chain(bias).collect();
        cx.emit(op, &operands, ty)
    } else {
        let w = cx.reshape(w, &dims(&[taps, c, out / c]));
        let w = cx.transpose(w, &[1, 0, 2]);
        grouped(cx, x, w, bias, &window, pad)?
    };
    let y = cx.activate(y, cx.option(4, 0)?)?;
    cx.put(0, y)
}

/// `TRANSPOSE_CONV`: output shape, weights `[O, kh, kw, C]`, input, bias.
pub(super) fn transposed(cx: &mut OpCx<'_, '_>) -> Result<(), Refusal> {
    let wanted = cx.dims(0)?;
    let (w, x) = (cx.float(1)?, cx.float(2)?);
    let c = channels(cx, x, 2)?;
    let sizes = weights_shape(cx, w, 4)?;
    let out = sizes[0];
    let shape = cx.shape(x);
    if sizes[3] != c || wanted.len() != 4 || wanted[3].as_const() != Some(out) {
        return Err(Refusal::invalid(format!(
            "weights of the shape {sizes:?}, an input of {c} channels and an output of {wanted:?} do not fit"
        )));
    }
    let strides = numbers(cx, &[2, 1])?;
    let window = Window::new(kernel(&sizes[1..3])?, strides, vec![1, 1])?;
    let same = matches!(padding(cx.option(0, 0)?, 2)?, Padding::Same { .. });
    let bias = bias(cx, 3, (2, 1), out)?;
    let mut pads = vec![0; 4];
    for i in 0..2 {
        let (length, result) = (shape[1 + i], wanted[1 + i]);
        let stride = cx.graph().dim_const(i64::from(window.strides[i]));
        let reach = cx.graph().dim_sub(length, Dim::ONE);
        let reach = cx.graph().dim_mul(reach, stride);
        let span = cx.graph().dim_const(window.span(i));
        let full = cx.graph().dim_add(reach, span);
        let cut = cx.graph().dim_sub(full, result);
        let Some(cut) = cx.graph().dim_value(cut) else {
            return Err(Refusal::unsupported(
                "its padding depends on an input size that is not fixed",
            )
            .remedy("fix the input shape with --input NAME=SHAPE"));
        };
        // What the output lacks is cut from both ends, the odd element from the last; VALID cuts the last alone.
        let cut = i32::try_from(cut.max(0)).unwrap_or(i32::MAX);
        let begin = if same { cut / 2 } else { 0 };
        (pads[i], pads[2 + i]) = (begin, cut - begin);
    }
    let w = cx.reshape(w, &dims(&[out, window.taps(), c]));
    let w = cx.transpose(w, &[2, 1, 0]);
    let w = cx.reshape(w, &dims(&[1, c, window.taps(), out]));
    let ty = cx.typed(
        DType::F32,
        &channels_last(shape[0], &wanted[1..3], wanted[3]),
    )?;
    let op = ConvTranspose {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&[1, 1]),
        pads: axes(&pads),
        group: 1,
        act: Activation::default(),
    };
    let operands: Vec<_> = [x, w].into_iter().chain(bias).collect();
    let y = cx.emit(op, &operands, ty);
    let y = cx.activate(y, cx.option(3, 0)?)?;
    cx.put(0, y)
}
