//! What a convolution of a model is.
use candle_core::{Result, Tensor, bail};
use cygnet_kernels::Conv;

/// Dense or by channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Weights `[kh, kw, in, out]`.
    Dense,
    /// Weights `[kh, kw, channels]`.
    Depthwise,
}

/// Steps and padding of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Dense or by channel.
    pub kind: Kind,
    /// Steps of height and width.
    pub stride: [usize; 2],
    /// Zeros before height and width,
    pub padding: [usize; 2],
    /// and how many more there are behind them.
    pub more: [usize; 2],
}

impl Geometry {
    /// A dense convolution of unit stride without padding.
    pub const POINTWISE: Self = Self {
        kind: Kind::Dense,
        stride: [1; 2],
        padding: [0; 2],
        more: [0; 2],
    };

    /// A convolution whose padding keeps the size at unit stride.
    pub const fn same(kind: Kind, kernel: [usize; 2], stride: usize) -> Self {
        Self {
            kind,
            stride: [stride; 2],
            padding: [kernel[0] / 2, kernel[1] / 2],
            more: [0; 2],
        }
    }

    /// A convolution of an image of that size padded as TensorFlow's SAME: every stride begins inside of the image, and where
    /// the zeros are odd, the end has one more.
    pub fn tensorflow(kind: Kind, kernel: [usize; 2], stride: usize, size: [usize; 2]) -> Self {
        let all = [0, 1].map(|d| {
            let reach = (size[d].div_ceil(stride).max(1) - 1) * stride + kernel[d];
            reach.saturating_sub(size[d])
        });
        Self {
            kind,
            stride: [stride; 2],
            padding: all.map(|n| n / 2),
            more: all.map(|n| n % 2),
        }
    }

    /// The shape of the convolution of `x` `[batch, height, width, in]` with `w`.
    ///
    /// # Errors
    /// Ranks and channels that do not fit each other, and windows larger than the padded input.
    pub fn shape(&self, x: &[usize], w: &[usize]) -> Result<Conv> {
        let [batch, h, width, channels] = *x else {
            bail!("a convolution takes [batch, height, width, channels], not {x:?}");
        };
        let (kernel, out) = match (self.kind, w) {
            (Kind::Dense, &[kh, kw, i, o]) if i == channels => ([kh, kw], o),
            (Kind::Depthwise, &[kh, kw, c]) if c == channels => ([kh, kw], c),
            _ => bail!("{:?} weights {w:?} do not fit an input {x:?}", self.kind),
        };
        let mut p = Conv::new_2d(batch, [h, width], channels, out, kernel);
        for d in 0..2 {
            let padded = p.input[d + 1] + 2 * self.padding[d] + self.more[d];
            if kernel[d] > padded {
                bail!("a window of {kernel:?} is larger than the padded input {x:?}");
            }
            p.stride[d + 1] = self.stride[d];
            p.pad_begin[d + 1] = self.padding[d];
            p.output[d + 1] = (padded - kernel[d]) / self.stride[d] + 1;
        }
        if self.kind == Kind::Depthwise {
            p.groups = channels;
        }
        Ok(p)
    }

    /// The convolution by candle's operators, for devices without kernels here.
    pub(crate) fn by_candle(&self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        let p = self.shape(x.dims(), w.dims())?;
        if self.stride[0] != self.stride[1] || self.padding[0] != self.padding[1] {
            bail!("this device needs the same stride and padding in height and width");
        }
        let x = x.permute((0, 3, 1, 2))?.contiguous()?;
        let x = x
            .pad_with_zeros(2, 0, self.more[0])?
            .pad_with_zeros(3, 0, self.more[1])?;
        let w = match self.kind {
            Kind::Dense => w.permute((3, 2, 0, 1))?.contiguous()?,
            Kind::Depthwise => w.permute((2, 0, 1))?.unsqueeze(1)?.contiguous()?,
        };
        x.conv2d(&w, self.padding[0], self.stride[0], 1, p.groups)?
            .permute((0, 2, 3, 1))?
            .contiguous()
    }

    /// Inputs that one output is made from.
    pub fn fan_in(&self, w: &[usize]) -> usize {
        match self.kind {
            Kind::Dense => w[..w.len() - 1].iter().product(),
            Kind::Depthwise => w[0] * w[1],
        }
    }
}
