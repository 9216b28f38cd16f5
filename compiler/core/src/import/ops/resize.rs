//! `Resize` and `Upsample`.

use super::super::{NodeCx, Refusal};
use super::lower::widen;
use crate::ir::ValueId;
use cygnet_format::op::{CoordinateMode, NearestMode, Resize, ResizeMode};
use cygnet_format::{DType, Dim, List};

/// What to resize to: per-axis scales (zero: from the shapes), output shape and region (starts, then ends).
struct Target {
    scales: Vec<f32>,
    shape: Vec<Dim>,
    roi: Vec<f32>,
}

/// `floor(dim * scale)`; symbolic lengths take the scale as a fraction.
fn scaled(cx: &mut NodeCx<'_>, dim: Dim, scale: f32) -> Result<Dim, Refusal> {
    if !(scale > 0.0 && scale < 1e6) {
        return Err(Refusal::invalid(format!("a scale of {scale}")));
    }
    if let Some(n) = dim.as_const() {
        return Ok(Dim((n as f32 * scale).floor() as i32));
    }
    let (p, q) = (1..=64)
        .map(|q| ((scale * q as f32).round() as i64, q as i64))
        .find(|&(p, q)| p > 0 && (p as f64 / q as f64 - scale as f64).abs() <= scale as f64 * 1e-6)
        .ok_or_else(|| {
            Refusal::unsupported(format!(
                "a scale of {scale} on an axis whose length is not fixed"
            ))
            .remedy("fix the input shape with --input NAME=SHAPE")
        })?;
    let g = cx.graph();
    let (p, q) = (g.dim_const(p), g.dim_const(q));
    let product = g.dim_mul(dim, p);
    Ok(g.dim_floor_div(product, q))
}

/// A constant f32 list of an optional input; an empty tensor counts as absent.
fn floats(cx: &mut NodeCx<'_>, i: usize) -> Result<Option<Vec<f32>>, Refusal> {
    let Some(v) = cx.opt_input(i)? else {
        return Ok(None);
    };
    if cx.shape(v) == [Dim(0)] {
        return Ok(None);
    }
    cx.const_f32(v).map(Some)
}

/// `Resize` from opset 10 on.
pub(super) fn resize(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let shape = cx.shape(x);
    let rank = shape.len();
    let mode = match cx.str_or("mode", "nearest")?.as_str() {
        "nearest" => ResizeMode::Nearest,
        "linear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic,
        other => return Err(Refusal::invalid(format!("mode {other:?} is unknown"))),
    };
    if cx.opset() < 11 {
        let scales = floats(cx, 1)?.ok_or_else(|| Refusal::invalid("the scales are missing"))?;
        return plain(cx, x, &scales, mode);
    }
    let coordinates = match cx
        .str_or("coordinate_transformation_mode", "half_pixel")?
        .as_str()
    {
        "half_pixel" => CoordinateMode::HalfPixel,
        "half_pixel_symmetric" => CoordinateMode::HalfPixelSymmetric,
        "pytorch_half_pixel" => CoordinateMode::PytorchHalfPixel,
        "align_corners" => CoordinateMode::AlignCorners,
        "asymmetric" => CoordinateMode::Asymmetric,
        "tf_crop_and_resize" => CoordinateMode::TfCropAndResize,
        "tf_half_pixel_for_nn" => CoordinateMode::TfHalfPixelForNn,
        other => {
            return Err(Refusal::invalid(format!(
                "coordinate_transformation_mode {other:?} is unknown"
            )));
        }
    };
    let nearest = match cx.str_or("nearest_mode", "round_prefer_floor")?.as_str() {
        "round_prefer_floor" => NearestMode::RoundPreferFloor,
        "round_prefer_ceil" => NearestMode::RoundPreferCeil,
        "floor" => NearestMode::Floor,
        "ceil" => NearestMode::Ceil,
        other => {
            return Err(Refusal::invalid(format!(
                "nearest_mode {other:?} is unknown"
            )));
        }
    };
    let axes = match cx.ints("axes")? {
        Some(axes) => axes
            .iter()
            .map(|&a| cx.axis(a, rank))
            .collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let crop = coordinates == CoordinateMode::TfCropAndResize;
    let target = target(cx, &shape, &axes, crop)?;
    let op = Resize {
        mode,
        coordinates,
        nearest,
        cubic_a: cx.float_or("cubic_coeff_a", -0.75)?,
        exclude_outside: cx.int_or("exclude_outside", 0)? != 0,
        antialias: cx.int_or("antialias", 0)? != 0,
        extrapolation: cx.float_or("extrapolation_value", 0.0)?,
        scales: List::default(),
        roi: List::default(),
    };
    apply(cx, x, op, target)
}

/// Reads `roi`, `scales` and `sizes` for the given axes.
fn target(
    cx: &mut NodeCx<'_>,
    input: &[Dim],
    axes: &[usize],
    crop: bool,
) -> Result<Target, Refusal> {
    let rank = input.len();
    let count = |what: &str, n: usize, wanted: usize| {
        if n == wanted {
            Ok(())
        } else {
            Err(Refusal::invalid(format!(
                "{what} has {n} elements where {wanted} are needed"
            )))
        }
    };
    let mut roi = Vec::new();
    if crop {
        let given =
            floats(cx, 1)?.ok_or_else(|| Refusal::invalid("tf_crop_and_resize without roi"))?;
        count("roi", given.len(), 2 * axes.len())?;
        roi = [vec![0.0; rank], vec![1.0; rank]].concat();
        for (i, &a) in axes.iter().enumerate() {
            roi[a] = given[i];
            roi[rank + a] = given[axes.len() + i];
        }
    }
    let mut shape = input.to_vec();
    let mut scales = vec![1.0; rank];
    if let Some(given) = floats(cx, 2)? {
        count("scales", given.len(), axes.len())?;
        for (&a, &s) in axes.iter().zip(&given) {
            scales[a] = s;
            let span = if crop {
                s * (roi[rank + a] - roi[a])
            } else {
                s
            };
            shape[a] = scaled(cx, input[a], span)?;
        }
        return Ok(Target { scales, shape, roi });
    }
    let sizes = cx
        .opt_input(3)?
        .ok_or_else(|| Refusal::invalid("neither scales nor sizes are given"))?;
    let sizes = cx.dim_list(sizes)?;
    count("sizes", sizes.len(), axes.len())?;
    let policy = cx.str_or("keep_aspect_ratio_policy", "stretch")?;
    if policy == "stretch" {
        for (&a, &s) in axes.iter().zip(&sizes) {
            shape[a] = s;
            scales[a] = if s == input[a] { 1.0 } else { 0.0 };
        }
        return Ok(Target { scales, shape, roi });
    }
    let larger = match policy.as_str() {
        "not_larger" => false,
        "not_smaller" => true,
        other => {
            return Err(Refusal::invalid(format!(
                "keep_aspect_ratio_policy {other:?} is unknown"
            )));
        }
    };
    let mut ratio: Option<f64> = None;
    for (&a, &s) in axes.iter().zip(&sizes) {
        let (Some(s), Some(n)) = (s.as_const(), input[a].as_const()) else {
            return Err(Refusal::unsupported(
                "keep_aspect_ratio_policy over sizes that are not fixed",
            )
            .remedy("fix the input shape with --input NAME=SHAPE"));
        };
        let r = s as f64 / n as f64;
        ratio = Some(ratio.map_or(r, |q| if larger { q.max(r) } else { q.min(r) }));
    }
    let ratio = ratio.ok_or_else(|| Refusal::invalid("no axes to resize"))?;
    for &a in axes {
        let n = input[a].as_const().expect("checked above");
        shape[a] = Dim((ratio * n as f64 + 0.5) as i32);
        scales[a] = ratio as f32;
    }
    Ok(Target { scales, shape, roi })
}

/// Emits the operator in f32, channels-last where batch and channels keep their sizes.
fn apply(cx: &mut NodeCx<'_>, x: ValueId, mut op: Resize, target: Target) -> Result<(), Refusal> {
    let dtype = cx.dtype(x);
    let input = cx.shape(x);
    let rank = input.len();
    if target.shape.iter().any(|d| d.as_const() == Some(0)) {
        return Err(Refusal::unsupported("the output is empty"));
    }
    let Target {
        mut scales,
        mut shape,
        mut roi,
    } = target;
    let kept = |a: usize| {
        shape[a] == input[a] && roi.get(a).is_none_or(|&r| r == 0.0 && roi[rank + a] == 1.0)
    };
    let last = (3..=5).contains(&rank) && kept(0) && kept(1);
    let mut y = widen(cx, x);
    if last {
        y = cx.to_channels_last(y);
        shape.remove(1);
        shape.push(input[1]);
        let channel = scales.remove(1);
        scales.push(channel);
        if !roi.is_empty() {
            roi[1..rank].rotate_left(1);
            roi[rank + 1..].rotate_left(1);
        }
    }
    let full = || Refusal::unsupported("more than 8 axes");
    op.scales = List::new(&scales).ok_or_else(full)?;
    op.roi = List::new(&roi).ok_or_else(full)?;
    let ty = cx.typed(DType::F32, &shape)?;
    y = cx.emit(op, &[y], ty);
    if last {
        y = cx.to_channels_first(y);
    }
    let y = cx.cast(y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `Resize` of opset 10 and `Upsample`: asymmetric coordinates, rounded towards the start (up) or the end (down).
fn plain(cx: &mut NodeCx<'_>, x: ValueId, scales: &[f32], mode: ResizeMode) -> Result<(), Refusal> {
    let input = cx.shape(x);
    if scales.len() != input.len() {
        return Err(Refusal::invalid(format!(
            "{} scales for {} axes",
            scales.len(),
            input.len()
        )));
    }
    let (up, down) = (
        scales.iter().any(|&s| s > 1.0),
        scales.iter().any(|&s| s < 1.0),
    );
    if up && down && mode == ResizeMode::Nearest {
        return Err(Refusal::unsupported(
            "nearest neighbour that enlarges one axis and shrinks another",
        )
        .remedy("export the model with opset 11 or later"));
    }
    let shape = input
        .iter()
        .zip(scales)
        .map(|(&d, &s)| scaled(cx, d, s))
        .collect::<Result<Vec<_>, _>>()?;
    let op = Resize {
        mode,
        coordinates: CoordinateMode::Asymmetric,
        nearest: if down {
            NearestMode::Ceil
        } else {
            NearestMode::Floor
        },
        cubic_a: -0.75,
        ..Resize::default()
    };
    apply(
        cx,
        x,
        op,
        Target {
            scales: scales.to_vec(),
            shape,
            roi: Vec::new(),
        },
    )
}

/// `Upsample`: scales as two attributes (opset 1), one attribute (7) or an input (9).
pub(super) fn upsample(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let x = cx.input(0)?;
    let mode = match cx.str_or("mode", "nearest")?.as_str() {
        "nearest" => ResizeMode::Nearest,
        "linear" | "bilinear" => ResizeMode::Linear,
        other => return Err(Refusal::invalid(format!("mode {other:?} is unknown"))),
    };
    let scales = if cx.opset() >= 9 {
        floats(cx, 1)?
    } else if cx.opset() >= 7 {
        cx.floats("scales")?
    } else {
        Some(vec![
            1.0,
            1.0,
            cx.float_or("height_scale", 1.0)?,
            cx.float_or("width_scale", 1.0)?,
        ])
    };
    let scales = scales.ok_or_else(|| Refusal::invalid("the scales are missing"))?;
    plain(cx, x, &scales, mode)
}
