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

/// Of keyword spotting (DS-CNN), visual wake words (MobileNet 0.25) and image classification (ResNet-8).
pub const LAYERS: &[Layer] = &[
    layer("pointwise 25x5x64 -> 64", [25, 5, 64], 64, [1, 1], 1, false),
    layer(
        "pointwise 12x12x32 -> 64",
        [12, 12, 32],
        64,
        [1, 1],
        1,
        false,
    ),
    layer(
        "conv 49x10x1 -> 64, 10x4 /2",
        [49, 10, 1],
        64,
        [10, 4],
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
    layer("depthwise 25x5x64, 3x3", [25, 5, 64], 64, [3, 3], 1, true),
    layer(
        "depthwise 24x24x16, 3x3 /2",
        [24, 24, 16],
        16,
        [3, 3],
        2,
        true,
    ),
    layer("depthwise 6x6x128, 3x3", [6, 6, 128], 128, [3, 3], 1, true),
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
