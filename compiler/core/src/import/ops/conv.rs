//! Convolutions.

use super::super::{NodeCx, Refusal};
use super::lower::{dims, fixed, narrow, wide_input, widen_opt};
use super::window::{Window, axes, channels_last, ints_or, kernel_of, spatial_rank};
use crate::ir::{Type, ValueId};
use cygnet_format::op::{Activation, Conv, ConvTranspose, DeformConv, DepthwiseConv, PackB};
use cygnet_format::{DType, Dim};

/// Channel panels are 16 wide.
const PANEL: usize = 16;

/// Group count and the constant sizes of the weights `[a, b, kernel..]`.
fn weights(
    cx: &mut NodeCx<'_>,
    w: ValueId,
    spatial: usize,
) -> Result<(usize, usize, usize, Vec<i32>), Refusal> {
    let shape = cx.shape(w);
    if shape.len() != spatial + 2 {
        return Err(Refusal::invalid(format!(
            "the weights have {} axes where {} are needed",
            shape.len(),
            spatial + 2
        )));
    }
    let a = fixed(shape[0], "the first axis of the weights")?;
    let b = fixed(shape[1], "the second axis of the weights")?;
    let group = cx.int_or("group", 1)?;
    if group < 1 || group as usize > a || a % group as usize != 0 {
        return Err(Refusal::invalid(format!(
            "{group} groups do not divide {a} channels"
        )));
    }
    let kernel = kernel_of(cx, w, 2)?;
    Ok((group as usize, a, b, kernel))
}

fn check_channels(cx: &mut NodeCx<'_>, x: ValueId, expected: usize) -> Result<(), Refusal> {
    let channels = fixed(cx.shape(x)[1], "the number of channels")?;
    if channels != expected {
        return Err(Refusal::invalid(format!(
            "the input has {channels} channels, the weights expect {expected}"
        )));
    }
    Ok(())
}

/// `Conv`.
pub(super) fn conv(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (w, _) = wide_input(cx, 1)?;
    let bias = cx.opt_input(2)?;
    let bias = widen_opt(cx, bias);
    let spatial = spatial_rank(cx, x)?;
    let (group, out, per_group, kernel) = weights(cx, w, spatial)?;
    check_channels(cx, x, per_group * group)?;
    let window = Window::read(cx, kernel)?;
    let shape = cx.shape(x);
    let extent = window.extent(cx, &shape[2..], false)?;
    let taps = window.taps();

    let x = cx.to_channels_last(x);
    let x = extent.pad(cx, x, 0.0);
    let ty = Type::new(
        DType::F32,
        &channels_last(shape[0], &extent.out, Dim(out as i32)),
    );
    let act = Activation::default();
    let (kernel, strides) = (axes(&window.kernel), axes(&window.strides));
    let (dilations, pads) = (axes(&window.dilations), axes(&extent.pads));
    let y = if per_group == 1 && out == group && group > 1 {
        let w = cx.reshape(w, &dims(&[out, taps]));
        let w = cx.transpose(w, &[1, 0]);
        let mut operands = vec![x, w];
        operands.extend(bias);
        cx.emit(
            DepthwiseConv {
                kernel,
                strides,
                dilations,
                pads,
                act,
            },
            &operands,
            ty,
        )
    } else {
        let w = cx.reshape(w, &dims(&[group, out / group, per_group, taps]));
        let w = cx.transpose(w, &[0, 3, 2, 1]);
        let depth = taps * per_group;
        let w = cx.reshape(w, &dims(&[group, depth, out / group]));
        let panels = (out / group).div_ceil(PANEL);
        let packed = Type::fixed(DType::F32, &[group, panels, depth, PANEL]);
        let w = cx.emit(PackB { trans: false }, &[w], packed);
        let mut operands = vec![x, w];
        operands.extend(bias);
        cx.emit(
            Conv {
                kernel,
                strides,
                dilations,
                pads,
                group: group as u32,
                act,
            },
            &operands,
            ty,
        )
    };
    let y = cx.to_channels_first(y);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `ConvTranspose`.
pub(super) fn conv_transpose(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (w, _) = wide_input(cx, 1)?;
    let bias = cx.opt_input(2)?;
    let bias = widen_opt(cx, bias);
    let n = spatial_rank(cx, x)?;
    let (group, channels, per_group, kernel) = weights(cx, w, n)?;
    check_channels(cx, x, channels)?;
    let window = Window::read(cx, kernel)?;
    let shape = cx.shape(x);
    let out_pad = ints_or(cx, "output_padding", n, 0)?;
    let auto = cx.str_or("auto_pad", "NOTSET")?;
    let mut pads = ints_or(cx, "pads", 2 * n, 0)?;
    let wanted = cx.ints("output_shape")?.filter(|v| !v.is_empty());
    let wanted = match wanted {
        // Some exporters give batch and channels as well.
        Some(v) if v.len() == n + 2 => Some(v[2..].to_vec()),
        Some(v) if v.len() == n => Some(v),
        Some(v) => {
            return Err(Refusal::invalid(format!(
                "output_shape has {} elements for {n} spatial axes",
                v.len()
            )));
        }
        None => None,
    };
    let same = auto == "SAME_UPPER" || auto == "SAME_LOWER";
    if auto == "VALID" {
        pads = vec![0; 2 * n];
    }
    let mut out = Vec::new();
    for i in 0..n {
        let (stride, input) = (window.strides[i] as i64, shape[i + 2]);
        let g = cx.graph();
        let step = g.dim_const(stride);
        let last = g.dim_sub(input, Dim::ONE);
        let reach = g.dim_mul(last, step);
        let extra = g.dim_const(out_pad[i] as i64 + window.span(i));
        let full = g.dim_add(reach, extra);
        if wanted.is_none() && !same {
            let cut = g.dim_const((pads[i] + pads[n + i]) as i64);
            out.push(g.dim_sub(full, cut));
            continue;
        }
        let size = match &wanted {
            Some(v) => g.dim_const(v[i]),
            None => g.dim_mul(input, step),
        };
        let total = g.dim_sub(full, size);
        let Some(total) = g.dim_value(total) else {
            return Err(Refusal::unsupported(
                "the padding of output_shape depends on the input size",
            )
            .remedy(
                "fix the input shape with --input NAME=SHAPE, or give pads instead of output_shape",
            ));
        };
        let total = total.max(0) as i32;
        let (small, large) = (total / 2, total - total / 2);
        (pads[i], pads[n + i]) = if auto == "SAME_UPPER" {
            (small, large)
        } else {
            (large, small)
        };
        out.push(size);
    }
    if let Some(d) = out.iter().find(|&&d| cx.graph().dim_bounds(d).0 < 0) {
        return Err(Refusal::invalid(format!(
            "the output size {} is negative",
            d.0
        )));
    }
    let x = cx.to_channels_last(x);
    let w = cx.reshape(
        w,
        &dims(&[group, channels / group, per_group, window.taps()]),
    );
    let w = cx.transpose(w, &[0, 1, 3, 2]);
    let outputs = Dim((per_group * group) as i32);
    let ty = Type::new(DType::F32, &channels_last(shape[0], &out, outputs));
    let op = ConvTranspose {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&pads),
        group: group as u32,
        act: Activation::default(),
    };
    let mut operands = vec![x, w];
    operands.extend(bias);
    let y = cx.emit(op, &operands, ty);
    let y = cx.to_channels_first(y);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `DeformConv` (two spatial axes).
pub(super) fn deform_conv(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (w, _) = wide_input(cx, 1)?;
    let (offset, _) = wide_input(cx, 2)?;
    let bias = cx.opt_input(3)?;
    let bias = widen_opt(cx, bias);
    let mask = cx.opt_input(4)?;
    let mask = widen_opt(cx, mask);
    if cx.rank(x) != 4 {
        return Err(Refusal::unsupported(
            "deformable convolution is supported for two spatial axes only",
        )
        .remedy("reshape the input to [N, C, H, W]"));
    }
    let (group, out, per_group, kernel) = weights(cx, w, 2)?;
    check_channels(cx, x, per_group * group)?;
    let offset_group = cx.int_or("offset_group", 1)?;
    let window = Window::read(cx, kernel)?;
    let shape = cx.shape(x);
    let extent = window.extent(cx, &shape[2..], false)?;
    let x = cx.to_channels_last(x);
    let w = cx.reshape(w, &dims(&[out, per_group, window.taps()]));
    let w = cx.transpose(w, &[0, 2, 1]);
    let offset = cx.to_channels_last(offset);
    let mask = mask.map(|m| cx.to_channels_last(m));
    let op = DeformConv {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&extent.pads),
        group: group as u32,
        offset_group: offset_group as u32,
    };
    let ty = Type::new(
        DType::F32,
        &channels_last(shape[0], &extent.out, Dim(out as i32)),
    );
    let operands = [Some(x), Some(w), Some(offset), bias, mask];
    let y = cx.emit_n(op, &operands, &[Some(ty)])[0].expect("asked for");
    let y = cx.to_channels_first(y);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
