//! MobileNets.
use crate::network::{Builder, HARD_SIGMOID, Value};
use crate::op::{Geometry, Kind};
use candle_core::Result;
use cygnet_kernels::Activation;

const RELU6: Activation = Activation::Clip(0.0, 6.0);

/// Channels times a width, to a multiple of eight, and never below nine tenths of what was asked for.
fn scaled(channels: usize, width: f32) -> usize {
    let wanted = channels as f32 * width;
    let rounded = ((wanted + 4.0) as usize / 8 * 8).max(8);
    if (rounded as f32) < 0.9 * wanted {
        rounded + 8
    } else {
        rounded
    }
}

/// MobileNetV1 (Howard et al., 2017): thirteen depthwise-separable convolutions behind a dense one.
///
/// # Errors
/// Images too small for five halvings.
pub fn mobilenet_v1(b: &mut Builder, x: Value, width: f32, classes: usize) -> Result<Value> {
    const STEPS: [(usize, usize); 13] = [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (512, 1),
        (1024, 2),
        (1024, 1),
    ];
    let stem = Geometry::same(Kind::Dense, [3, 3], 2);
    let relu = Activation::Relu;
    let mut x = b.block("stem", x, scaled(32, width), [3, 3], stem, relu)?;
    for (i, (channels, stride)) in STEPS.into_iter().enumerate() {
        let depthwise = Geometry::same(Kind::Depthwise, [3, 3], stride);
        let from = b.channels(x);
        x = b.block(&format!("depthwise{i}"), x, from, [3, 3], depthwise, relu)?;
        let to = scaled(channels, width);
        x = b.block(
            &format!("pointwise{i}"),
            x,
            to,
            [1, 1],
            Geometry::POINTWISE,
            relu,
        )?;
    }
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}

/// The end of inverted residual `n`: what is inside becomes `to` channels, without an activation, and what came in is added where
/// it has that form.
fn projected(
    b: &mut Builder,
    n: usize,
    (before, inside): (Value, Value),
    to: usize,
    stride: usize,
) -> Result<Value> {
    let name = format!("project{n}");
    let y = b.block(
        &name,
        inside,
        to,
        [1, 1],
        Geometry::POINTWISE,
        Activation::None,
    )?;
    match stride == 1 && b.channels(before) == to {
        true => b.add(&format!("add{n}"), before, y),
        false => Ok(y),
    }
}

/// MobileNetV2 (Sandler et al., 2018): inverted residuals with linear bottlenecks.
///
/// # Errors
/// Images too small for five halvings.
pub fn mobilenet_v2(b: &mut Builder, x: Value, width: f32, classes: usize) -> Result<Value> {
    // Expansion, channels, repetitions, first stride: table 2.
    const GROUPS: [(usize, usize, usize, usize); 7] = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    let stem = Geometry::same(Kind::Dense, [3, 3], 2);
    let mut x = b.block("stem", x, scaled(32, width), [3, 3], stem, RELU6)?;
    let mut n = 0;
    for (expansion, channels, repetitions, first) in GROUPS {
        for repetition in 0..repetitions {
            let stride = if repetition == 0 { first } else { 1 };
            let from = b.channels(x);
            let to = scaled(channels, width);
            let inside = from * expansion;
            let mut y = x;
            if expansion != 1 {
                y = b.block(
                    &format!("expand{n}"),
                    y,
                    inside,
                    [1, 1],
                    Geometry::POINTWISE,
                    RELU6,
                )?;
            }
            let depthwise = Geometry::same(Kind::Depthwise, [3, 3], stride);
            y = b.block(
                &format!("depthwise{n}"),
                y,
                inside,
                [3, 3],
                depthwise,
                RELU6,
            )?;
            x = projected(b, n, (x, y), to, stride)?;
            n += 1;
        }
    }
    let last = scaled(1280, width.max(1.0));
    let x = b.block("head", x, last, [1, 1], Geometry::POINTWISE, RELU6)?;
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}

/// MobileNetV3-small (Howard et al., 2019, table 2): inverted residuals with squeeze and excitation and hard swish.
///
/// # Errors
/// Images too small for five halvings, shares of dropout outside of 0..1.
pub fn mobilenet_v3_small(
    b: &mut Builder,
    x: Value,
    (width, dropout): (f32, f32),
    classes: usize,
) -> Result<Value> {
    const RELU: Activation = Activation::Relu;
    const SWISH: Activation = Activation::HardSwish;
    // Kernel, channels inside, channels, squeeze and excitation, activation, stride.
    const BLOCKS: [(usize, usize, usize, bool, Activation, usize); 11] = [
        (3, 16, 16, true, RELU, 2),
        (3, 72, 24, false, RELU, 2),
        (3, 88, 24, false, RELU, 1),
        (5, 96, 40, true, SWISH, 2),
        (5, 240, 40, true, SWISH, 1),
        (5, 240, 40, true, SWISH, 1),
        (5, 120, 48, true, SWISH, 1),
        (5, 144, 48, true, SWISH, 1),
        (5, 288, 96, true, SWISH, 2),
        (5, 576, 96, true, SWISH, 1),
        (5, 576, 96, true, SWISH, 1),
    ];
    let point = Geometry::POINTWISE;
    let stem = Geometry::same(Kind::Dense, [3, 3], 2);
    let mut x = b.block("stem", x, scaled(16, width), [3, 3], stem, SWISH)?;
    for (n, (kernel, inside, channels, gated, activation, stride)) in BLOCKS.into_iter().enumerate()
    {
        let (from, inside) = (b.channels(x), scaled(inside, width));
        let to = scaled(channels, width);
        let mut y = x;
        if inside != from {
            y = b.block(&format!("expand{n}"), y, inside, [1, 1], point, activation)?;
        }
        let kernel = [kernel; 2];
        let depthwise = Geometry::same(Kind::Depthwise, kernel, stride);
        let name = format!("depthwise{n}");
        y = b.block(&name, y, inside, kernel, depthwise, activation)?;
        if gated {
            let squeezed = b.mean_pixels(&format!("squeeze{n}"), y)?;
            let fewer = scaled(inside / 4, 1.0);
            let hidden = b.linear(&format!("reduce{n}"), squeezed, fewer, RELU)?;
            let factors = b.linear(&format!("excite{n}"), hidden, inside, HARD_SIGMOID)?;
            y = b.gate(&format!("gate{n}"), y, factors)?;
        }
        x = projected(b, n, (x, y), to, stride)?;
    }
    let x = b.block("head", x, scaled(576, width), [1, 1], point, SWISH)?;
    let x = b.mean_pixels("mean", x)?;
    let x = b.linear("hidden", x, scaled(1024, width), SWISH)?;
    let x = b.dropout("dropout", x, dropout)?;
    b.linear("classifier", x, classes, Activation::None)
}

/// EfficientNet-Lite0 (Tan and Le, 2019, table 1, without squeeze and excitation and with ReLU6, as for edge devices), padded as
/// TensorFlow does, so that public weights fit; before it stands a factor and a shift of each channel, for what these expect of
/// pixels.
///
/// # Errors
/// Shares of dropout outside of 0..1.
pub fn efficientnet_lite0(
    b: &mut Builder,
    x: Value,
    dropout: f32,
    classes: usize,
) -> Result<Value> {
    // Repetitions, kernel, first stride, expansion, channels.
    const STAGES: [(usize, usize, usize, usize, usize); 7] = [
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ];
    let point = Geometry::POINTWISE;
    let each = Geometry::same(Kind::Depthwise, [1, 1], 1);
    let colours = b.channels(x);
    let x = b.block("normalise", x, colours, [1, 1], each, Activation::None)?;
    let stem = Geometry::tensorflow(Kind::Dense, [3, 3], 2, b.size(x)?);
    let mut x = b.block("stem", x, 32, [3, 3], stem, RELU6)?;
    let mut n = 0;
    for (repetitions, kernel, first, expansion, to) in STAGES {
        for repetition in 0..repetitions {
            let stride = if repetition == 0 { first } else { 1 };
            let from = b.channels(x);
            let mut y = x;
            if expansion != 1 {
                y = b.block(
                    &format!("expand{n}"),
                    y,
                    from * expansion,
                    [1, 1],
                    point,
                    RELU6,
                )?;
            }
            let kernel = [kernel; 2];
            let depthwise = Geometry::tensorflow(Kind::Depthwise, kernel, stride, b.size(y)?);
            let name = format!("depthwise{n}");
            y = b.block(&name, y, from * expansion, kernel, depthwise, RELU6)?;
            x = projected(b, n, (x, y), to, stride)?;
            n += 1;
        }
    }
    let x = b.block("head", x, 1280, [1, 1], point, RELU6)?;
    let x = b.mean_pixels("mean", x)?;
    let x = b.dropout("dropout", x, dropout)?;
    b.linear("classifier", x, classes, Activation::None)
}
