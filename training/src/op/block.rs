//! Convolution, batch normalisation (Ioffe and Szegedy, 2015) and activation as one operator: sums are taken while the
//! convolution's output is in the cache, and the gradient of the normalisation takes the place of its input.
use super::conv;
use super::memory::Memory;
use super::work::{by_pixels, kernels, parts, sum_parts};
use candle_core::{Result, bail};
use cygnet_kernels::gradient::Normalize;
use cygnet_kernels::{Activation, Conv, KernelError};

/// Mean and variance of a batch by channel.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Means.
    pub mean: Vec<f32>,
    /// Variances, of all pixels (not corrected for their number).
    pub variance: Vec<f32>,
    /// Pixels they were taken from.
    pub pixels: usize,
}

/// How a convolution's output is normalised.
#[derive(Clone, Copy)]
pub(crate) enum Norm<'a> {
    /// By the batch's own mean and variance, times gamma plus beta (both in one slice), with this added to variances.
    Batch(&'a [f32], f32),
    /// By a given scale and shift (both in one slice).
    Fixed(&'a [f32]),
}

/// What the gradient needs of the forward pass.
pub(crate) struct Saved {
    /// The convolution's output.
    z: Vec<f32>,
    mean: Vec<f32>,
    /// Empty where the normalisation was fixed.
    inverse_deviation: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    activation: Activation,
}

/// The gradients of a block; those not asked for are absent.
pub(crate) struct Gradients {
    pub x: Option<Vec<f32>>,
    pub weights: Option<Vec<f32>>,
    /// Of gamma, then beta. Of a fixed normalisation the second half alone means something: the gradient of the shift.
    pub affine: Option<Vec<f32>>,
}

/// Pixels, sum and sum of squares about the first pixel, of a piece.
struct Moments {
    pixels: usize,
    about: Vec<f32>,
    sums: Vec<f32>,
    squares: Vec<f32>,
}

fn moments(z: &[f32], c: usize) -> std::result::Result<Moments, KernelError> {
    let mut m = Moments {
        pixels: z.len() / c,
        about: z[..c].to_vec(),
        sums: vec![0.0; c],
        squares: vec![0.0; c],
    };
    kernels().channel_moments(z, &m.about, &mut m.sums, &mut m.squares)?;
    Ok(m)
}

/// Mean and variance of all pieces together (Chan, Golub and LeVeque, 1983).
fn statistics(pieces: &[Moments], c: usize) -> Result<Statistics> {
    let mut mean = vec![0f64; c];
    let mut spread = vec![0f64; c];
    let mut pixels = 0;
    for m in pieces {
        let (n, all) = (m.pixels as f64, (pixels + m.pixels) as f64);
        for j in 0..c {
            let sum = f64::from(m.sums[j]);
            let own = f64::from(m.about[j]) + sum / n;
            let off = own - mean[j];
            spread[j] +=
                f64::from(m.squares[j]) - sum * sum / n + off * off * (pixels as f64) * n / all;
            mean[j] += off * n / all;
        }
        pixels += m.pixels;
    }
    if pixels == 0 {
        bail!("batch normalisation of an empty batch");
    }
    Ok(Statistics {
        mean: mean.iter().map(|v| *v as f32).collect(),
        variance: spread
            .iter()
            .map(|v| (v / pixels as f64).max(0.0) as f32)
            .collect(),
        pixels,
    })
}

/// The block's output, what its gradient needs (if `keep`), and the batch's statistics (if it was normalised by them).
pub(crate) fn forward(
    p: &Conv,
    x: &[f32],
    w: &[f32],
    norm: Norm,
    activation: Activation,
    keep: bool,
    memory: &mut Memory,
) -> Result<(Vec<f32>, Option<Saved>, Option<Statistics>)> {
    let c = p.out_channels;
    let (z, mean, inverse_deviation, scale, shift, statistics);
    match norm {
        Norm::Batch(affine, epsilon) => {
            let (output, pieces) = conv::forward(p, x, w, memory, |z| moments(z, c))?;
            let s = self::statistics(&pieces, c)?;
            z = output;
            inverse_deviation = s
                .variance
                .iter()
                .map(|v| 1.0 / (v + epsilon).sqrt())
                .collect::<Vec<f32>>();
            scale = (0..c)
                .map(|j| affine[j] * inverse_deviation[j])
                .collect::<Vec<f32>>();
            shift = (0..c)
                .map(|j| affine[c + j] - s.mean[j] * scale[j])
                .collect::<Vec<f32>>();
            mean = s.mean.clone();
            statistics = Some(s);
        }
        Norm::Fixed(affine) => {
            z = conv::forward(p, x, w, memory, |_| Ok(()))?.0;
            (scale, shift) = (affine[..c].to_vec(), affine[c..].to_vec());
            (mean, inverse_deviation) = (Vec::new(), Vec::new());
            statistics = None;
        }
    }
    let mut y = memory.take(z.len());
    by_pixels(c, &mut y, &z, |y, z| {
        kernels().channel_affine(z, &scale, &shift, activation, y)
    })?;
    let saved = Saved {
        z,
        mean,
        inverse_deviation,
        scale,
        shift,
        activation,
    };
    if keep {
        return Ok((y, Some(saved), statistics));
    }
    memory.give(saved.z);
    Ok((y, None, statistics))
}

/// Pixels from which a part of a sum over pixels is worth a thread.
const PART: usize = 512;

/// The gradients, of the input and of the parameters as asked for.
pub(crate) fn gradient(
    p: &Conv,
    x: &[f32],
    w: &[f32],
    mut saved: Saved,
    dy: &[f32],
    (want_x, want_parameters): (bool, bool),
    memory: &mut Memory,
) -> Result<Gradients> {
    let c = p.out_channels;
    let pixels = saved.z.len() / c;
    let fixed = saved.inverse_deviation.is_empty();
    let none = vec![0.0; c];
    let normalize = Normalize {
        mean: if fixed { &none } else { &saved.mean },
        inverse_deviation: if fixed {
            &none
        } else {
            &saved.inverse_deviation
        },
        scale: &saved.scale,
        shift: &saved.shift,
        activation: saved.activation,
    };
    let mut sums = None;
    let (mut by_x, mut constant) = (none.clone(), none.clone());
    if !fixed || want_parameters {
        let both = sum_parts(&parts(pixels, PART), 2 * c, |part, out| {
            let part = part.start * c..part.end * c;
            let (gamma, beta) = out.split_at_mut(c);
            kernels().normalize_sums(&normalize, &saved.z[part.clone()], &dy[part], beta, gamma)
        })?;
        let (gamma, beta) = both.split_at(c);
        let n = pixels as f32;
        for j in (0..c).filter(|_| !fixed) {
            by_x[j] = -saved.scale[j] * saved.inverse_deviation[j] * gamma[j] / n;
            constant[j] = -saved.scale[j] * beta[j] / n - by_x[j] * saved.mean[j];
        }
        sums = Some(both);
    }
    by_pixels(c, &mut saved.z, dy, |z, dy| {
        kernels().normalize_gradient(&normalize, z, dy, &by_x, &constant)
    })?;
    let dz = saved.z;
    let gradients = Gradients {
        weights: want_parameters
            .then(|| conv::weights_gradient(p, x, &dz))
            .transpose()?,
        x: want_x
            .then(|| conv::input_gradient(p, &dz, w, memory))
            .transpose()?,
        affine: sums.filter(|_| want_parameters),
    };
    memory.give(dz);
    Ok(gradients)
}
