//! Convolutions of 16-bit activations of random shapes.
use crate::case::{Buffers, elements, geometry, wide_len};
use crate::{Random, digest};
use cygnet_kernels::int16::{Int16Conv, Operands};
use cygnet_kernels::quantized::GROUP;
use cygnet_kernels::{Conv, KernelError, Kernels};

/// Elements of the largest tensor.
const LARGEST: usize = 1 << 12;

/// Columns of a panel of weights, in every build.
const PANEL: usize = 16;

fn shape(rng: &mut Random, depthwise: bool, b: &Buffers) -> Conv {
    loop {
        let conv = geometry(rng, depthwise);
        if elements(conv.batch, &conv.input, conv.in_channels) <= LARGEST
            && elements(conv.batch, &conv.output, conv.out_channels) <= LARGEST
            && (depthwise || wide_len(&conv) <= b.weights.len())
        {
            return conv;
        }
    }
}

/// The place of a weight in panels of sixteen columns.
fn place(p: &Conv, output: usize, tap: usize, channel: usize) -> usize {
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let groups = (p.kernel[2] * ig).div_ceil(GROUP);
    let rows = p.kernel[0] * p.kernel[1];
    let panel = output / og * og.div_ceil(PANEL) + output % og / PANEL;
    let (row, k) = (tap / p.kernel[2], tap % p.kernel[2] * ig + channel);
    let group = (panel * rows + row) * groups + k / GROUP;
    (group * PANEL + output % og % PANEL) * GROUP + k % GROUP
}

/// The digest of the outputs of a seed's case, which is computed in two parts, as threads do.
pub fn run(
    kernels: &Kernels,
    seed: u64,
    depthwise: bool,
    b: &mut Buffers,
) -> Result<u64, KernelError> {
    let rng = &mut Random::new(seed);
    let conv = shape(rng, depthwise, b);
    let taps = conv.kernel.iter().product::<usize>();
    let ig = conv.in_channels / conv.groups;
    let weights = if depthwise {
        for w in &mut b.weights[..taps * conv.out_channels] {
            *w = rng.byte() as i8;
        }
        &b.weights[..taps * conv.out_channels]
    } else {
        let packed = &mut b.weights[..wide_len(&conv)];
        packed.fill(0);
        for output in 0..conv.out_channels {
            for k in 0..taps * ig {
                packed[place(&conv, output, k / ig, k % ig)] = rng.byte() as i8;
            }
        }
        packed
    };
    // Values of all sizes: sums may wrap around.
    let value = |rng: &mut Random| (rng.bits() as i16) >> rng.below(12);
    let mut x = [0i16; LARGEST];
    let x = &mut x[..elements(conv.batch, &conv.input, conv.in_channels)];
    x.iter_mut().for_each(|x| *x = value(rng));
    let mut bias = [0; 256];
    let mut multiplier = [0.0; 256];
    let (bias, multiplier) = (
        &mut bias[..conv.out_channels],
        &mut multiplier[..conv.out_channels],
    );
    for (bias, multiplier) in bias.iter_mut().zip(&mut *multiplier) {
        *bias = rng.bits() as i32 >> 8;
        *multiplier = rng.factor() / 1024.0;
    }
    let low = rng.within(-32768, 0);
    let p = Int16Conv {
        conv,
        bounds: (low, rng.within(0, 32767)),
    };
    let o = Operands {
        x,
        weights,
        bias,
        multiplier,
    };
    let mut y = [0i16; LARGEST];
    let row = conv.output[2] * conv.out_channels;
    let half = conv.rows() / 2;
    for rows in [0..half, half..conv.rows()] {
        let y = &mut y[rows.start * row..rows.end * row];
        if depthwise {
            kernels.int16_depthwise(&p, &o, y, rows)?;
        } else {
            kernels.int16_conv(&p, &o, y, rows)?;
        }
    }
    let y = &y[..conv.rows() * row];
    Ok(digest(y.iter().flat_map(|y| y.to_le_bytes())))
}
