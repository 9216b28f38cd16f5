//! Quantised convolutions of random shapes, in buffers of fixed size.
use crate::{Random, digest};
use core::ops::Range;
use cygnet_kernels::quantized::{Operands, QuantizedConv, Requantize, Sum, pack_weights, start};
use cygnet_kernels::{Conv, KernelError, Kernels};

/// Bytes of the largest tensor of a random case. Cases depend on it.
const LARGEST: usize = 1 << 14;

/// Bytes of the largest tensor of a layer.
const ROOM: usize = 48 * 48 * 16;

/// Room for a case.
pub struct Buffers {
    pub x: [u8; ROOM],
    /// Packed.
    pub weights: [i8; 1 << 16],
    pub start: [i32; 512],
    pub multiplier: [f32; 256],
    pub residual: [u8; ROOM],
    pub y: [u8; ROOM],
}

impl Buffers {
    /// Zeros.
    pub const NEW: Self = Self {
        x: [0; ROOM],
        weights: [0; 1 << 16],
        start: [0; 512],
        multiplier: [0.0; 256],
        residual: [0; ROOM],
        y: [0; ROOM],
    };
}

/// A convolution whose operands lie in [`Buffers`].
#[derive(Debug)]
pub struct Case {
    pub p: QuantizedConv,
    pub depthwise: bool,
    pub residual: bool,
}

pub(crate) fn elements(batch: usize, spatial: &[usize; 3], channels: usize) -> usize {
    batch * spatial.iter().product::<usize>() * channels
}

/// Bytes of packed weights in panels of sixteen columns, whatever those of this build are: cases depend on it.
pub(crate) fn wide_len(p: &Conv) -> usize {
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let run = (p.kernel[2] * ig).next_multiple_of(4);
    p.groups * og.next_multiple_of(16) * p.kernel[0] * p.kernel[1] * run
}

pub(crate) fn geometry(rng: &mut Random, depthwise: bool) -> Conv {
    let pointwise = !depthwise && rng.below(3) == 0;
    let groups = if depthwise || pointwise {
        1
    } else {
        rng.pick(&[1, 1, 1, 2, 3])
    };
    let sizes = [
        1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 64, 65, 80,
    ];
    let (ig, og) = (rng.pick(&sizes), rng.pick(&sizes));
    let og = if depthwise { ig } else { og };
    let mut conv = Conv::new_2d(1 + rng.below(2), [1, 1], ig * groups, og * groups, [1, 1]);
    conv.groups = if depthwise { ig } else { groups };
    if pointwise {
        conv.input = [1, 1 + rng.below(4), 1 + rng.below(9)];
        conv.output = conv.input;
        return conv;
    }
    for d in 0..3 {
        let (k, dilation) = match d {
            0 => (1 + rng.below(6) / 5, 1),
            _ => (rng.pick(&[1, 2, 3, 3, 3, 5]), 1 + rng.below(4) / 3),
        };
        conv.kernel[d] = k;
        conv.dilation[d] = dilation;
        conv.stride[d] = 1 + rng.below(3) / 2;
        conv.input[d] = 1 + rng.below(if d == 0 { 2 } else { 9 });
        conv.pad_begin[d] = rng.below(k.min(3));
        let padded = conv.input[d] + conv.pad_begin[d] + rng.below(k.min(3));
        let reach = (k - 1) * dilation + 1;
        conv.input[d] += reach.saturating_sub(padded);
        conv.output[d] = (padded.max(reach) - reach) / conv.stride[d] + 1;
    }
    conv
}

impl Case {
    /// The case of a seed, with its operands in `b`.
    pub fn random(seed: u64, depthwise: bool, b: &mut Buffers) -> Self {
        let mut rng = Random::new(seed);
        loop {
            let conv = geometry(&mut rng, depthwise);
            let fits = |n: usize| n <= LARGEST;
            if fits(elements(conv.batch, &conv.input, conv.in_channels))
                && fits(elements(conv.batch, &conv.output, conv.out_channels))
                && (depthwise || wide_len(&conv) <= b.weights.len())
            {
                let mut case = Self::new(&mut rng, conv, depthwise, b);
                if seed % 4 == 3 {
                    // As a Clip does.
                    let r = &mut case.p.requantize;
                    let sum = (&mut r.sum.low, &mut r.sum.high);
                    for (low, high) in [(&mut r.low, &mut r.high), sum] {
                        let sixth = (*high - *low) / 6;
                        *low += sixth;
                        *high -= 2 * sixth;
                    }
                }
                return case;
            }
        }
    }

    /// A case of a shape, with random operands in `b`.
    pub fn new(rng: &mut Random, conv: Conv, depthwise: bool, b: &mut Buffers) -> Self {
        let (signed, y_signed, r_signed) =
            (rng.below(2) == 0, rng.below(2) == 0, rng.below(2) == 0);
        let bounds = |signed: bool| if signed { (-128, 127) } else { (0, 255) };
        let (low, high) = bounds(y_signed);
        let mut any = |signed: bool| {
            let (low, high) = bounds(signed);
            rng.within(low, high)
        };
        let (zero, sum_zero, residual_zero) = (any(y_signed), any(y_signed), any(r_signed));
        let mut requantize = Requantize {
            zero,
            low,
            high,
            sum: Sum {
                own: rng.factor(),
                other: rng.factor(),
                residual_zero,
                residual_signed: r_signed,
                zero: sum_zero,
                low,
                high,
            },
        };
        if rng.below(2) == 0 {
            // As a Relu does.
            requantize.low = zero.min(high - 1);
            requantize.sum.low = sum_zero.min(high - 1);
        }
        let p = QuantizedConv {
            conv,
            signed,
            x_zero: rng.byte(),
            requantize,
        };
        let outputs = conv.out_channels;
        for x in &mut b.x[..elements(conv.batch, &conv.input, conv.in_channels)] {
            *x = rng.byte();
        }
        for r in &mut b.residual[..elements(conv.batch, &conv.output, outputs)] {
            *r = rng.byte();
        }
        let taps = conv.kernel.iter().product::<usize>();
        let ig = if depthwise {
            1
        } else {
            conv.in_channels / conv.groups
        };
        // A weight depends on its place alone, so that it can be asked for again.
        let key = rng.bits() as usize;
        let weight = |o: usize, tap: usize, i: usize| {
            Random::new((key + (o * taps + tap) * ig + i) as u64).byte() as i8
        };
        if depthwise {
            for tap in 0..taps {
                for o in 0..outputs {
                    b.weights[tap * outputs + o] = weight(o, tap, 0);
                }
            }
        } else {
            let packed = &mut b.weights[..conv.quantized_len()];
            pack_weights(&conv, weight, packed).expect("the buffer has the packed size");
        }
        // Sums grow with the root of their terms: half of the results are within the bounds.
        let root = (1..=512)
            .find(|r| r * r >= taps * ig)
            .expect("windows are small");
        let scale = 1.0 / (64 * root) as f32;
        for o in 0..outputs {
            let terms = (0..taps * ig).map(|k| i32::from(weight(o, k / ig, k % ig)));
            let both = start(rng.within(-60000, 60000), terms.sum(), signed, p.x_zero);
            b.start[o] = both[0];
            b.start[outputs + o] = both[1];
            b.multiplier[o] = scale * rng.factor();
        }
        Self {
            p,
            depthwise,
            residual: rng.below(3) == 0,
        }
    }

    /// Computes the outputs into `b.y` in two parts, as threads do; gives their number.
    pub fn run(&self, kernels: &Kernels, b: &mut Buffers) -> Result<usize, KernelError> {
        let half = self.p.conv.rows() / 2;
        let first = self.part(kernels, b, 0..half)?;
        Ok(first + self.part(kernels, b, half..self.p.conv.rows())?)
    }

    /// Computes the outputs of rows into `b.y`; gives their number.
    pub fn part(
        &self,
        kernels: &Kernels,
        b: &mut Buffers,
        rows: Range<usize>,
    ) -> Result<usize, KernelError> {
        let p = &self.p.conv;
        let row = p.output[2] * p.out_channels;
        let part = rows.start * row..rows.end * row;
        let weights = if self.depthwise {
            p.kernel.iter().product::<usize>() * p.out_channels
        } else {
            p.quantized_len()
        };
        let o = Operands {
            x: &b.x[..elements(p.batch, &p.input, p.in_channels)],
            weights: &b.weights[..weights],
            start: &b.start[..2 * p.out_channels],
            multiplier: &b.multiplier[..p.out_channels],
            residual: self.residual.then_some(&b.residual[part.clone()]),
        };
        let outputs = part.len();
        if self.depthwise {
            kernels.quantized_depthwise(&self.p, &o, &mut b.y[part], rows)?;
        } else {
            kernels.quantized_conv(&self.p, &o, &mut b.y[part], rows)?;
        }
        Ok(outputs)
    }

    /// The digest of the outputs.
    pub fn digest(&self, kernels: &Kernels, b: &mut Buffers) -> Result<u64, KernelError> {
        b.y.fill(0);
        let n = self.run(kernels, b)?;
        Ok(digest(b.y[..n].iter().copied()))
    }
}
