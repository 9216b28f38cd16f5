//! Sampling by grids, and columns to images.

use super::super::{NodeCx, Refusal};
use super::lower::{constant, fixed, narrow, small, wide_input};
use super::matmul::product;
use super::window::{Window, axes, ints_or, spatial_rank};
use crate::ir::Type;
use cygnet_format::op::{Col2Im, GridPadding, GridSample, ResizeMode};
use cygnet_format::{DType, Dim};

/// Largest number of grid points computed at import.
const LARGEST: usize = 1 << 24;

/// `GridSample`.
pub(super) fn grid_sample(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (grid, _) = wide_input(cx, 1)?;
    let n = spatial_rank(cx, x)?;
    let mode = match cx.str_or("mode", "linear")?.as_str() {
        "linear" | "bilinear" => ResizeMode::Linear,
        "nearest" => ResizeMode::Nearest,
        "cubic" | "bicubic" => ResizeMode::Cubic,
        other => return Err(Refusal::invalid(format!("mode {other:?} is unknown"))),
    };
    let padding = match cx.str_or("padding_mode", "zeros")?.as_str() {
        "zeros" => GridPadding::Zeros,
        "border" => GridPadding::Border,
        "reflection" => GridPadding::Reflection,
        other => {
            return Err(Refusal::invalid(format!(
                "padding_mode {other:?} is unknown"
            )));
        }
    };
    let align_corners = cx.int_or("align_corners", 0)? != 0;
    let (shape, mut out) = (cx.shape(x), cx.shape(grid));
    if out.len() != n + 2 || out[n + 1] != Dim(n as i32) {
        return Err(Refusal::invalid(format!(
            "the grid is not [N, {n} output axes, {n}]"
        )));
    }
    out[n + 1] = shape[1];
    let x = cx.to_channels_last(x);
    let ty = Type::new(DType::F32, &out);
    let y = cx.emit(
        GridSample {
            mode,
            padding,
            align_corners,
        },
        &[x, grid],
        ty,
    );
    let y = cx.to_channels_first(y);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `AffineGrid`: the homogeneous base grid times the transposed matrices.
pub(super) fn affine_grid(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (theta, dtype) = wide_input(cx, 0)?;
    let size = cx.input(1)?;
    let size = cx.const_i64(size)?;
    let align = cx.int_or("align_corners", 0)? != 0;
    let n = size.len().wrapping_sub(2);
    if !(2..=3).contains(&n) || size.iter().any(|&s| s < 1) {
        return Err(Refusal::invalid(format!(
            "size {size:?} is not [N, C, H, W] or [N, C, D, H, W]"
        )));
    }
    let space: Vec<usize> = size[2..].iter().map(|&s| s as usize).collect();
    let points = space
        .iter()
        .try_fold(1usize, |a, &b| a.checked_mul(b))
        .filter(|&p| p <= LARGEST);
    let points =
        points.ok_or_else(|| Refusal::unsupported(format!("a grid of {space:?} points")))?;
    let mut base = vec![1.0f32; points * (n + 1)];
    for (p, point) in base.chunks_exact_mut(n + 1).enumerate() {
        let mut rest = p;
        // The innermost axis comes first in a point: x, y, z.
        for (slot, &len) in point.iter_mut().zip(space.iter().rev()) {
            let i = (rest % len) as f64;
            rest /= len;
            *slot = match (align, len) {
                (true, 1) => 0.0,
                (true, _) => (-1.0 + 2.0 * i / (len as f64 - 1.0)) as f32,
                (false, _) => ((2.0 * i + 1.0) / len as f64 - 1.0) as f32,
            };
        }
    }
    let base = constant(cx, &[1, points, n + 1], &base);
    let y = product(cx, base, theta, true, 1.0, None)?;
    let mut shape = vec![cx.shape(theta)[0]];
    shape.extend(space.iter().map(|&s| Dim(s as i32)));
    shape.push(Dim(n as i32));
    let y = cx.reshape(y, &shape);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}

/// `Col2Im`.
pub(super) fn col2im(cx: &mut NodeCx<'_>) -> Result<(), Refusal> {
    let (x, dtype) = wide_input(cx, 0)?;
    let (image, block) = (cx.input(1)?, cx.input(2)?);
    let (image, block) = (cx.dim_list(image)?, cx.const_i64(block)?);
    let n = block.len();
    let shape = cx.shape(x);
    if n == 0 || image.len() != n || shape.len() != 3 {
        return Err(Refusal::invalid(
            "image_shape and block_shape differ, or the input has not three axes",
        ));
    }
    let window = Window::read(cx, small(&block, "block_shape")?)?;
    let pads = ints_or(cx, "pads", 2 * n, 0)?;
    let columns = fixed(shape[1], "the number of columns")?;
    if columns % window.taps() != 0 {
        return Err(Refusal::invalid(format!(
            "{columns} columns are not a multiple of the block"
        )));
    }
    let mut out = vec![shape[0], Dim((columns / window.taps()) as i32)];
    out.extend(image);
    let op = Col2Im {
        kernel: axes(&window.kernel),
        strides: axes(&window.strides),
        dilations: axes(&window.dilations),
        pads: axes(&pads),
    };
    let ty = cx.typed(DType::F32, &out)?;
    let y = cx.emit(op, &[x], ty);
    let y = narrow(cx, y, dtype);
    cx.set_output(0, y);
    Ok(())
}
