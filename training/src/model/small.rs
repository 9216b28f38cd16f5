//! Small networks.
use crate::network::{Builder, Value};
use crate::op::{Geometry, Kind};
use candle_core::Result;
use cygnet_kernels::Activation;

const RELU: Activation = Activation::Relu;

/// DS-CNN (Zhang et al., "Hello Edge", 2017): a convolution over time and frequency, then depthwise-separable ones.
///
/// # Errors
/// Inputs smaller than the first kernel.
pub fn ds_cnn(b: &mut Builder, x: Value, channels: usize, classes: usize) -> Result<Value> {
    let stem = Geometry {
        kind: Kind::Dense,
        stride: [2, 2],
        padding: [5, 2],
        more: [0; 2],
    };
    let mut x = b.block("stem", x, channels, [10, 4], stem, RELU)?;
    for i in 0..4 {
        x = separable(b, &i.to_string(), x, channels, 1)?;
    }
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}

fn separable(
    b: &mut Builder,
    name: &str,
    x: Value,
    channels: usize,
    stride: usize,
) -> Result<Value> {
    let from = b.channels(x);
    let depthwise = Geometry::same(Kind::Depthwise, [3, 3], stride);
    let x = b.block(
        &format!("depthwise{name}"),
        x,
        from,
        [3, 3],
        depthwise,
        RELU,
    )?;
    b.block(
        &format!("pointwise{name}"),
        x,
        channels,
        [1, 1],
        Geometry::POINTWISE,
        RELU,
    )
}

/// A recurrent network for words in sound: a gated recurrent unit reads frame after frame, its last state decides.
///
/// # Errors
/// Names that exist.
pub fn gru(b: &mut Builder, x: Value, units: usize, classes: usize) -> Result<Value> {
    let x = b.gru("gru", x, units)?;
    b.linear("classifier", x, classes, Activation::None)
}

/// A ResNet (He et al., 2016) for small images: `blocks` residual blocks in each of the stages `16, 32, 64, ...` times
/// `width`; one block in three stages is the ResNet-8 of MLPerf Tiny.
///
/// # Errors
/// Images too small for the stages.
pub fn resnet(
    b: &mut Builder,
    x: Value,
    (stages, blocks): (usize, usize),
    width: f32,
    classes: usize,
) -> Result<Value> {
    let channels = |stage: usize| ((16 << stage) as f32 * width).round().max(4.0) as usize;
    let dense = |stride| Geometry::same(Kind::Dense, [3, 3], stride);
    let mut x = b.block("stem", x, channels(0), [3, 3], dense(1), RELU)?;
    for stage in 0..stages {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let to = channels(stage);
            let name = format!("{stage}_{block}");
            let y = b.block(&format!("first{name}"), x, to, [3, 3], dense(stride), RELU)?;
            let y = b.block(
                &format!("second{name}"),
                y,
                to,
                [3, 3],
                dense(1),
                Activation::None,
            )?;
            if stride != 1 {
                let shortcut = Geometry {
                    kind: Kind::Dense,
                    stride: [2; 2],
                    padding: [0; 2],
                    more: [0; 2],
                };
                x = b.block(
                    &format!("short{name}"),
                    x,
                    to,
                    [1, 1],
                    shortcut,
                    Activation::None,
                )?;
            }
            x = b.add(&format!("add{name}"), x, y)?;
        }
    }
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}

/// A net for the smallest devices: a dense convolution and three depthwise-separable ones that halve the picture thrice.
///
/// # Errors
/// Names that exist.
pub fn tiny(b: &mut Builder, x: Value, channels: usize, classes: usize) -> Result<Value> {
    let stem = Geometry::same(Kind::Dense, [3, 3], 2);
    let mut x = b.block("stem", x, channels, [3, 3], stem, RELU)?;
    for (i, (times, stride)) in [(2, 1), (3, 2), (4, 2), (6, 1)].into_iter().enumerate() {
        x = separable(b, &i.to_string(), x, channels * times, stride)?;
    }
    let x = b.mean_pixels("mean", x)?;
    b.linear("classifier", x, classes, Activation::None)
}
