//! Layers of the size that MLPerf Tiny's networks have.
use cygnet_kernels::Conv;

/// A layer to count or time.
pub struct Layer {
    pub name: &'static str,
    /// Height, width, channels of the input.
    pub input: [usize; 3],
    pub outputs: usize,
    pub kernel: [usize; 2],
    pub stride: usize,
    pub depthwise: bool,
}

const fn layer(
    name: &'static str,
    input: [usize; 3],
    outputs: usize,
    kernel: [usize; 2],
    stride: usize,
    depthwise: bool,
) -> Layer {
    Layer {
        name,
        input,
        outputs,
        kernel,
        stride,
        depthwise,
    }
}

/// A dense convolution with one tap.
const fn pointwise(name: &'static str, size: usize, channels: usize, outputs: usize) -> Layer {
    layer(name, [size, size, channels], outputs, [1, 1], 1, false)
}

/// A depthwise 3 x 3 convolution of square images.
const fn depthwise(name: &'static str, size: usize, channels: usize, stride: usize) -> Layer {
    layer(name, [size, size, channels], channels, [3, 3], stride, true)
}

/// Of keyword spotting (DS-CNN), person detection and visual wake words (MobileNet 0.25), image classification (ResNet-8)
/// and anomaly detection.
pub const LAYERS: &[Layer] = &[
    layer("pointwise 25x5x64 -> 64", [25, 5, 64], 64, [1, 1], 1, false),
    pointwise("pointwise 48x48x8 -> 16", 48, 8, 16),
    pointwise("pointwise 24x24x16 -> 32", 24, 16, 32),
    pointwise("pointwise 24x24x32 -> 32", 24, 32, 32),
    pointwise("pointwise 12x12x32 -> 64", 12, 32, 64),
    pointwise("pointwise 12x12x64 -> 64", 12, 64, 64),
    pointwise("pointwise 6x6x64 -> 128", 6, 64, 128),
    pointwise("pointwise 6x6x128 -> 128", 6, 128, 128),
    pointwise("pointwise 3x3x128 -> 256", 3, 128, 256),
    pointwise("pointwise 3x3x256 -> 256", 3, 256, 256),
    layer("depthwise 25x5x64, 3x3", [25, 5, 64], 64, [3, 3], 1, true),
    depthwise("depthwise 48x48x8, 3x3", 48, 8, 1),
    depthwise("depthwise 48x48x16, 3x3 /2", 48, 16, 2),
    depthwise("depthwise 24x24x32, 3x3", 24, 32, 1),
    depthwise("depthwise 24x24x32, 3x3 /2", 24, 32, 2),
    depthwise("depthwise 12x12x64, 3x3", 12, 64, 1),
    depthwise("depthwise 12x12x64, 3x3 /2", 12, 64, 2),
    depthwise("depthwise 6x6x128, 3x3", 6, 128, 1),
    depthwise("depthwise 6x6x128, 3x3 /2", 6, 128, 2),
    depthwise("depthwise 3x3x256, 3x3", 3, 256, 1),
    layer(
        "conv 49x10x1 -> 64, 10x4 /2",
        [49, 10, 1],
        64,
        [10, 4],
        2,
        false,
    ),
    layer(
        "conv 96x96x1 -> 8, 3x3 /2",
        [96, 96, 1],
        8,
        [3, 3],
        2,
        false,
    ),
    layer(
        "conv 16x16x16 -> 32, 3x3 /2",
        [16, 16, 16],
        32,
        [3, 3],
        2,
        false,
    ),
    layer("conv 8x8x64 -> 64, 3x3", [8, 8, 64], 64, [3, 3], 1, false),
    layer("dense 256 -> 128", [1, 1, 256], 128, [1, 1], 1, false),
];

impl Layer {
    /// Its shape, padded so that the output is the input's size over the stride.
    pub fn conv(&self) -> Conv {
        let [h, w, c] = self.input;
        let mut p = Conv::new_2d(1, [h, w], c, self.outputs, self.kernel);
        p.stride = [1, self.stride, self.stride];
        p.output = [1, h.div_ceil(self.stride), w.div_ceil(self.stride)];
        p.pad_begin = [0, (self.kernel[0] - 1) / 2, (self.kernel[1] - 1) / 2];
        p.groups = if self.depthwise { c } else { 1 };
        p
    }

    /// Multiply-adds, those in the padding too.
    pub fn products(&self) -> u64 {
        let p = self.conv();
        let taps = p.kernel.iter().product::<usize>();
        let per = taps * p.in_channels / p.groups;
        (p.rows() * p.output[2] * p.out_channels * per) as u64
    }
}
