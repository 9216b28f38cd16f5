//! Gradients against their definitions in double precision, on every instruction set at awkward sizes.
use super::*;
use crate::Activation;
use crate::tests::{Random, every_isa};
use std::{vec, vec::Vec};

fn random(seed: u64, n: usize) -> Vec<f32> {
    let mut random = Random::new(seed);
    (0..n).map(|_| random.next()).collect()
}

fn close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    let peak = want.iter().fold(1e-3f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(*g) - w).abs();
        assert!(off <= tolerance * peak, "{name} at {i}: {g} for {w}");
    }
}

/// (batch, [h, w], in, out, kernel, stride, dilation, pad, depthwise)
type Case = (
    usize,
    [usize; 2],
    usize,
    usize,
    [usize; 2],
    usize,
    usize,
    usize,
    bool,
);

#[rustfmt::skip]
const SHAPES: &[Case] = &[
    (2, [5, 7], 3, 5, [3, 3], 1, 1, 1, false),
    (1, [9, 8], 3, 16, [3, 3], 2, 1, 1, false),
    (2, [4, 4], 32, 48, [1, 1], 1, 1, 0, false),
    (3, [11, 13], 16, 16, [1, 1], 1, 1, 0, false),
    (2, [6, 6], 20, 17, [1, 1], 2, 1, 0, false),
    (1, [12, 5], 33, 35, [3, 2], 1, 1, 1, false),
    (1, [14, 14], 36, 70, [3, 3], 1, 2, 2, false),
    (1, [1, 1], 300, 10, [1, 1], 1, 1, 0, false),
    (2, [5, 7], 9, 9, [3, 3], 1, 1, 1, true),
    (2, [9, 9], 24, 24, [3, 3], 2, 1, 1, true),
    (1, [8, 10], 17, 17, [5, 5], 2, 1, 2, true),
    (1, [8, 10], 5, 5, [4, 3], 1, 2, 1, true),
    (1, [3, 3], 8, 8, [7, 7], 1, 1, 3, true),
];

fn shape((batch, input, i, o, kernel, stride, dilation, pad, depthwise): Case) -> Conv {
    let mut p = Conv::new_2d(batch, input, i, o, kernel);
    p.stride = [1, stride, stride];
    p.dilation = [1, dilation, dilation];
    p.pad_begin = [0, pad, pad];
    for d in 1..3 {
        p.output[d] = (p.input[d] + 2 * pad - (p.kernel[d] - 1) * dilation - 1) / stride + 1;
    }
    p.groups = if depthwise { i } else { 1 };
    p
}

/// Calls `f` with (input index, weight index, output index) of every product of the convolution.
fn products(p: &Conv, mut f: impl FnMut(usize, usize, usize)) {
    let (c, n) = (p.in_channels, p.out_channels);
    let [_, h, w] = p.input;
    for image in 0..p.batch {
        for oy in 0..p.output[1] {
            for ox in 0..p.output[2] {
                for ky in 0..p.kernel[1] {
                    for kx in 0..p.kernel[2] {
                        let y =
                            (oy * p.stride[1] + ky * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                        let x =
                            (ox * p.stride[2] + kx * p.dilation[2]).wrapping_sub(p.pad_begin[2]);
                        if y >= h || x >= w {
                            continue;
                        }
                        let input = ((image * h + y) * w + x) * c;
                        let output = ((image * p.output[1] + oy) * p.output[2] + ox) * n;
                        let tap = ky * p.kernel[2] + kx;
                        if p.groups == 1 {
                            for i in 0..c {
                                for o in 0..n {
                                    f(input + i, (tap * c + i) * n + o, output + o);
                                }
                            }
                        } else {
                            for i in 0..c {
                                f(input + i, tap * c + i, output + i);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn weights_and_inputs_of_convolutions() {
    for (seed, &case) in SHAPES.iter().enumerate() {
        let p = shape(case);
        let depthwise = p.groups > 1;
        let [input, output] = p.elements().unwrap();
        let weights =
            p.kernel[1] * p.kernel[2] * p.in_channels * if depthwise { 1 } else { p.out_channels };
        let (x, dy, w) = (
            random(seed as u64, input),
            random(seed as u64 + 100, output),
            random(seed as u64 + 200, weights),
        );
        let (mut want_w, mut want_x) = (vec![0f64; weights], vec![0f64; input]);
        products(&p, |i, k, o| {
            want_w[k] += f64::from(x[i]) * f64::from(dy[o]);
            want_x[i] += f64::from(w[k]) * f64::from(dy[o]);
        });
        for kernels in every_isa() {
            let name = std::format!("{case:?} on {}", kernels.name());
            let mut dw = vec![0f32; weights];
            if depthwise {
                let half = p.rows() / 2;
                kernels
                    .depthwise_weights_gradient(&p, &x, &dy, &mut dw, 0..half)
                    .unwrap();
                kernels
                    .depthwise_weights_gradient(&p, &x, &dy, &mut dw, half..p.rows())
                    .unwrap();
                let rows = p.batch * p.input[1];
                let width = p.input[2] * p.in_channels;
                let mut dx = vec![7f32; input];
                let (front, back) = dx.split_at_mut(width * (rows / 3));
                kernels
                    .depthwise_input_gradient(&p, &dy, &w, front, 0..rows / 3)
                    .unwrap();
                kernels
                    .depthwise_input_gradient(&p, &dy, &w, back, rows / 3..rows)
                    .unwrap();
                close(&name, &dx, &want_x, 1e-5);
            } else {
                let rows = weights / p.out_channels;
                let cut = rows / 2 / 16 * 16;
                let mut scratch = vec![f32::NAN; scratch_len(&p)];
                let (front, back) = dw.split_at_mut(cut * p.out_channels);
                kernels
                    .conv_weights_gradient(&p, &x, &dy, front, 0..cut, &mut scratch)
                    .unwrap();
                kernels
                    .conv_weights_gradient(&p, &x, &dy, back, cut..rows, &mut scratch)
                    .unwrap();
            }
            close(&name, &dw, &want_w, 1e-5);
        }
    }
}

fn activated(a: Activation, z: f64) -> (f64, f64) {
    match a {
        Activation::None => (z, 1.0),
        Activation::Relu => (z.max(0.0), f64::from(u8::from(z > 0.0))),
        Activation::Clip(lo, hi) => {
            let (lo, hi) = (f64::from(lo), f64::from(hi));
            (z.clamp(lo, hi), f64::from(u8::from(z > lo && z < hi)))
        }
        Activation::HardSwish => {
            let slope = if z <= -3.0 {
                0.0
            } else if z >= 3.0 {
                1.0
            } else {
                z / 3.0 + 0.5
            };
            (z * (z / 6.0 + 0.5).clamp(0.0, 1.0), slope)
        }
        _ => unreachable!(),
    }
}

#[test]
fn batch_normalisation() {
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::Clip(0.0, 0.75),
        Activation::HardSwish,
    ];
    for (seed, (n, c)) in [(1, 1), (3, 8), (70, 17), (200, 5), (9, 64)]
        .into_iter()
        .enumerate()
    {
        let x = random(seed as u64, n * c);
        let dy = random(seed as u64 + 9, n * c);
        let [scale, shift, mean, inverse] =
            [1, 2, 3, 4].map(|s| random(s, c).iter().map(|v| v * 3.0).collect::<Vec<f32>>());
        let [by_x, constant] = [5, 6].map(|s| random(s, c));
        for kernels in every_isa() {
            for activation in activations {
                let name = std::format!("{n} x {c}, {activation:?} on {}", kernels.name());
                let p = Normalize {
                    mean: &mean,
                    inverse_deviation: &inverse,
                    scale: &scale,
                    shift: &shift,
                    activation,
                };
                let mut want = [(); 6].map(|()| vec![0f64; c]);
                let (mut y, mut dx) = (vec![0f64; n * c], vec![0f64; n * c]);
                for i in 0..n * c {
                    let (j, v) = (i % c, f64::from(x[i]));
                    let [s, b, m, r] = [&scale, &shift, &mean, &inverse].map(|a| f64::from(a[j]));
                    let (value, slope) = activated(activation, v * s + b);
                    let g = f64::from(dy[i]) * slope;
                    y[i] = value;
                    dx[i] = s * g + f64::from(by_x[j]) * v + f64::from(constant[j]);
                    want[0][j] += v - m;
                    want[1][j] += (v - m) * (v - m);
                    want[2][j] += g;
                    want[3][j] += g * (v - m) * r;
                }
                let mut got = [(); 4].map(|()| vec![0f32; c]);
                let [a, b, g, h] = &mut got;
                kernels.channel_moments(&x, &mean, a, b).unwrap();
                kernels.normalize_sums(&p, &x, &dy, g, h).unwrap();
                for (got, want) in got.iter().zip(&want) {
                    close(&name, got, want, 1e-5);
                }
                let mut out = vec![0f32; n * c];
                kernels
                    .channel_affine(&x, &scale, &shift, activation, &mut out)
                    .unwrap();
                close(&name, &out, &y, 1e-5);
                let mut out = x.clone();
                kernels
                    .normalize_gradient(&p, &mut out, &dy, &by_x, &constant)
                    .unwrap();
                close(&name, &out, &dx, 1e-5);
            }
        }
        let sigmoid = kernels_refuse(&x, &scale, &shift);
        assert_eq!(sigmoid, Err(KernelError::Parameter));
    }
}

fn kernels_refuse(x: &[f32], scale: &[f32], shift: &[f32]) -> Result<(), KernelError> {
    let mut y = vec![0f32; x.len()];
    every_isa()[0].channel_affine(x, scale, shift, Activation::Sigmoid, &mut y)
}

#[test]
fn optimiser_steps() {
    for n in [1, 7, 8, 33] {
        let g = random(1, n);
        for kernels in every_isa() {
            let mut w = random(2, n);
            let mut want: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
            let (mut mean, mut square) = (vec![0f32; n], vec![0f32; n]);
            let (mut m, mut v) = (vec![0f64; n], vec![0f64; n]);
            for step in 1..=3u32 {
                let p = AdamW {
                    rate: 0.01,
                    beta1: 0.9,
                    beta2: 0.999,
                    epsilon: 1e-8,
                    decay: 0.05,
                    step,
                    gradient_scale: 0.5,
                };
                kernels
                    .adamw(&p, &mut w, &g, &mut mean, &mut square)
                    .unwrap();
                for i in 0..n {
                    let g = f64::from(g[i]) * 0.5;
                    m[i] = 0.9 * m[i] + 0.1 * g;
                    v[i] = 0.999 * v[i] + 0.001 * g * g;
                    let corrected = m[i] / (1.0 - 0.9f64.powi(step as i32));
                    let root = (v[i] / (1.0 - 0.999f64.powi(step as i32))).sqrt();
                    want[i] -= 0.01 * 0.05 * want[i];
                    want[i] -= 0.01 * corrected / (root + 1e-8);
                }
            }
            close("adamw", &w, &want, 1e-5);

            for nesterov in [false, true] {
                let mut w = random(2, n);
                let mut want: Vec<f64> = w.iter().map(|v| f64::from(*v)).collect();
                let (mut velocity, mut v) = (vec![0f32; n], vec![0f64; n]);
                let p = Momentum {
                    rate: 0.1,
                    momentum: 0.9,
                    nesterov,
                    decay: 0.01,
                    gradient_scale: 2.0,
                };
                for _ in 0..3 {
                    kernels.momentum(&p, &mut w, &g, &mut velocity).unwrap();
                    for i in 0..n {
                        let g = f64::from(g[i]) * 2.0 + 0.01 * want[i];
                        v[i] = 0.9 * v[i] + g;
                        want[i] -= 0.1 * if nesterov { g + 0.9 * v[i] } else { v[i] };
                    }
                }
                close("momentum", &w, &want, 1e-5);
            }
        }
    }
}

#[test]
fn wrong_slices_are_refused() {
    let k = crate::Kernels::best();
    let p = shape(SHAPES[0]);
    let [input, output] = p.elements().unwrap();
    let (x, dy) = (vec![0f32; input], vec![0f32; output]);
    let mut scratch = vec![0f32; scratch_len(&p)];
    let mut dw = vec![0f32; 27 * 5];
    let short = k.conv_weights_gradient(&p, &x, &dy[1..], &mut dw, 0..27, &mut scratch);
    assert_eq!(short, Err(KernelError::Length));
    let beyond = k.conv_weights_gradient(&p, &x, &dy, &mut dw, 1..28, &mut scratch);
    assert_eq!(beyond, Err(KernelError::Parameter));
    let small = k.conv_weights_gradient(&p, &x, &dy, &mut dw, 0..27, &mut scratch[1..]);
    assert_eq!(small, Err(KernelError::Length));
    let dense = k.depthwise_weights_gradient(&p, &x, &dy, &mut dw, 0..1);
    assert_eq!(dense, Err(KernelError::Parameter));
}
