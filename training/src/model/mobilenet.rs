//! MobileNets.
use crate::network::{Builder, Value};
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
            y = b.block(
                &format!("project{n}"),
                y,
                to,
                [1, 1],
                Geometry::POINTWISE,
                Activation::None,
            )?;
            x = if stride == 1 && from == to {
                b.add(&format!("add{n}"), x, y)?
            } else {
                y
            };
            n += 1;
        }
    }
    let last = scaled(1280, width.max(1.0));
    let x = b.block("head", x, last, [1, 1], Geometry::POINTWISE, RELU6)?;
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}
