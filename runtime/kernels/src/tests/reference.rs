//! Naive implementations in double precision: the oracle of the kernel tests.
use crate::{Activation, Attention, Conv, Pool, PoolKind};
use std::{vec, vec::Vec};

/// Abramowitz and Stegun 7.1.5 / continued fraction through `libm` in double precision.
fn erf(x: f64) -> f64 {
    libm::erf(x)
}

pub fn activate(a: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match a {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clip(lo, hi) => x.max(lo as f64).min(hi as f64),
        Activation::LeakyRelu(a) => {
            if x < 0.0 {
                a as f64 * x
            } else {
                x
            }
        }
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::HardSigmoid(a, b) => (a as f64 * x + b as f64).clamp(0.0, 1.0),
        Activation::Silu => x * sigmoid(x),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::Elu(a) => {
            if x < 0.0 {
                a as f64 * x.exp_m1()
            } else {
                x
            }
        }
    }
}

/// C[m, n] with A `[m, k]`, B `[k, n]`.
pub fn gemm(
    (m, n, k): (usize, usize, usize),
    alpha: f32,
    act: Activation,
    a: &[f32],
    b: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let mut s = 0.0;
            for l in 0..k {
                s += a[i * k + l] as f64 * b[l * n + j] as f64;
            }
            s = alpha as f64 * s
                + bias.map_or(0.0, |b| b[j] as f64)
                + residual.map_or(0.0, |r| r[i * n + j] as f64);
            c[i * n + j] = activate(act, s);
        }
    }
    c
}

/// Coordinates of output or input `index` of `[batch, sizes.., channels]`.
fn place(index: usize, size: &[usize; 3], channels: usize) -> (usize, [usize; 3], usize) {
    let c = index % channels;
    let mut p = index / channels;
    let x = p % size[2];
    p /= size[2];
    let y = p % size[1];
    p /= size[1];
    (p / size[0], [p % size[0], y, x], c)
}

fn offset(image: usize, at: [usize; 3], c: usize, size: &[usize; 3], channels: usize) -> usize {
    (((image * size[0] + at[0]) * size[1] + at[1]) * size[2] + at[2]) * channels + c
}

fn taps(kernel: &[usize; 3]) -> impl Iterator<Item = (usize, [usize; 3])> {
    let k = *kernel;
    (0..k[0] * k[1] * k[2]).map(move |t| (t, [t / (k[1] * k[2]), t / k[2] % k[1], t % k[2]]))
}

/// `weight(o, tap, i)` as in `conv::pack_weights`.
pub fn conv(
    p: &Conv,
    x: &[f32],
    weight: impl Fn(usize, usize, usize) -> f32,
    bias: &[f32],
    residual: Option<&[f32]>,
) -> Vec<f64> {
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let n = p.rows() * p.output[2] * p.out_channels;
    (0..n)
        .map(|index| {
            let (image, at, o) = place(index, &p.output, p.out_channels);
            let mut s = bias[o] as f64;
            for (tap, k) in taps(&p.kernel) {
                let mut from = [0; 3];
                let mut inside = true;
                for d in 0..3 {
                    let v = (at[d] * p.stride[d] + k[d] * p.dilation[d]) as isize
                        - p.pad_begin[d] as isize;
                    inside &= v >= 0 && (v as usize) < p.input[d];
                    from[d] = v.max(0) as usize;
                }
                if inside {
                    for i in 0..ig {
                        let c = o / og * ig + i;
                        s += x[offset(image, from, c, &p.input, p.in_channels)] as f64
                            * weight(o, tap, i) as f64;
                    }
                }
            }
            activate(p.activation, s + residual.map_or(0.0, |r| r[index] as f64))
        })
        .collect()
}

/// Scatters, as the definition says.
pub fn conv_transpose(
    p: &Conv,
    x: &[f32],
    weight: impl Fn(usize, usize, usize) -> f32,
    bias: &[f32],
) -> Vec<f64> {
    let (ig, og) = (p.in_channels / p.groups, p.out_channels / p.groups);
    let n = p.rows() * p.output[2] * p.out_channels;
    let mut y: Vec<f64> = (0..n).map(|i| bias[i % p.out_channels] as f64).collect();
    for (index, &v) in x.iter().enumerate() {
        let (image, at, c) = place(index, &p.input, p.in_channels);
        for (tap, k) in taps(&p.kernel) {
            let mut to = [0; 3];
            let mut inside = true;
            for d in 0..3 {
                let v =
                    (at[d] * p.stride[d] + k[d] * p.dilation[d]) as isize - p.pad_begin[d] as isize;
                inside &= v >= 0 && (v as usize) < p.output[d];
                to[d] = v.max(0) as usize;
            }
            if inside {
                let g = c / ig;
                for o in g * og..(g + 1) * og {
                    y[offset(image, to, o, &p.output, p.out_channels)] +=
                        v as f64 * weight(o, tap, c % ig) as f64;
                }
            }
        }
    }
    for v in &mut y {
        *v = activate(p.activation, *v);
    }
    y
}

pub fn pool(p: &Pool, x: &[f32]) -> Vec<f64> {
    (0..p.rows() * p.output[2] * p.channels)
        .map(|index| {
            let (image, at, c) = place(index, &p.output, p.channels);
            let (mut max, mut sum, mut inside_n, mut padded_n) = (f64::NEG_INFINITY, 0.0, 0, 0);
            for (_, k) in taps(&p.kernel) {
                let mut from = [0; 3];
                let (mut inside, mut padded) = (true, true);
                for d in 0..3 {
                    let v = (at[d] * p.stride[d] + k[d] * p.dilation[d]) as isize
                        - p.pad_begin[d] as isize;
                    inside &= v >= 0 && (v as usize) < p.input[d];
                    padded &= v < (p.input[d] + p.pad_end[d]) as isize;
                    from[d] = v.max(0) as usize;
                }
                padded_n += usize::from(padded);
                if inside {
                    let v = x[offset(image, from, c, &p.input, p.channels)] as f64;
                    max = max.max(v);
                    sum += v;
                    inside_n += 1;
                }
            }
            match p.kind {
                PoolKind::Max => max,
                PoolKind::Average => sum / inside_n.max(1) as f64,
                PoolKind::AverageIncludePad => sum / padded_n.max(1) as f64,
            }
        })
        .collect()
}

/// Softmax of `[outer, n, inner]` along the middle axis.
pub fn softmax(outer: usize, n: usize, inner: usize, log: bool, x: &[f32]) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for o in 0..outer {
        for i in 0..inner {
            let at = |k: usize| (o * n + k) * inner + i;
            let m = (0..n)
                .map(|k| x[at(k)] as f64)
                .fold(f64::NEG_INFINITY, f64::max);
            let s: f64 = (0..n).map(|k| (x[at(k)] as f64 - m).exp()).sum();
            for k in 0..n {
                let d = x[at(k)] as f64 - m;
                y[at(k)] = if log { d - s.ln() } else { d.exp() / s };
            }
        }
    }
    y
}

pub fn norm(
    n: usize,
    eps: f32,
    gamma: Option<&[f32]>,
    beta: Option<&[f32]>,
    center: bool,
    x: &[f32],
) -> Vec<f64> {
    x.chunks(n.max(1))
        .flat_map(|row| {
            let mean = if center {
                row.iter().map(|&v| v as f64).sum::<f64>() / n as f64
            } else {
                0.0
            };
            let var = row.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / n as f64;
            row.iter()
                .enumerate()
                .map(|(i, &v)| {
                    (v as f64 - mean) / (var + eps as f64).sqrt()
                        * gamma.map_or(1.0, |g| g[i] as f64)
                        + beta.map_or(0.0, |b| b[i] as f64)
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Dense heads; strides of `p` are ignored.
pub fn attention(p: &Attention, q: &[f32], k: &[f32], v: &[f32], mask: Option<&[f32]>) -> Vec<f64> {
    let mut out = vec![];
    for i in 0..p.queries {
        let seen = p.causal.map_or(p.keys, |o| p.keys.min(i + o + 1));
        let s: Vec<f64> = (0..seen)
            .map(|j| {
                let dot: f64 = (0..p.depth)
                    .map(|d| q[i * p.depth + d] as f64 * k[j * p.depth + d] as f64)
                    .sum();
                dot * p.scale as f64 + mask.map_or(0.0, |m| m[i * p.keys + j] as f64)
            })
            .collect();
        let m = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let e: Vec<f64> = s
            .iter()
            .map(|s| {
                if m == f64::NEG_INFINITY {
                    0.0
                } else {
                    (s - m).exp()
                }
            })
            .collect();
        let sum: f64 = e.iter().sum();
        for d in 0..p.value_depth {
            let dot: f64 = e
                .iter()
                .enumerate()
                .map(|(j, e)| e * v[j * p.value_depth + d] as f64)
                .sum();
            out.push(if sum > 0.0 { dot / sum } else { 0.0 });
        }
    }
    out
}
