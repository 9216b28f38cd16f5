//! Convolution, pooling and normalisation against plain loops.

mod net;

use cygnet_format::op::*;
use cygnet_format::{Axes, DType, Op};
use net::*;

struct Geometry {
    x: [usize; 4],
    o: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [usize; 4],
    group: usize,
}

impl Geometry {
    fn out(&self, d: usize) -> usize {
        (self.x[1 + d] + self.pad[d] + self.pad[2 + d]
            - self.dilation[d] * (self.kernel[d] - 1)
            - 1)
            / self.stride[d]
            + 1
    }
    fn lists(&self) -> [Axes; 4] {
        let list = |v: &[usize]| axes(&v.iter().map(|&v| v as i32).collect::<Vec<_>>());
        [
            list(&self.kernel),
            list(&self.stride),
            list(&self.dilation),
            list(&self.pad),
        ]
    }
    /// `w[o][tap][c of the group]`.
    fn reference(&self, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f32> {
        let [n, h, wd, c] = self.x;
        let (oh, ow, cg, og) = (
            self.out(0),
            self.out(1),
            c / self.group,
            self.o / self.group,
        );
        let mut y = vec![0.0; n * oh * ow * self.o];
        for (i, y) in y.iter_mut().enumerate() {
            let (o, ox, oy, b) = (
                i % self.o,
                i / self.o % ow,
                i / self.o / ow % oh,
                i / self.o / ow / oh,
            );
            *y = bias[o];
            for (ky, kx) in
                (0..self.kernel[0]).flat_map(|a| (0..self.kernel[1]).map(move |b| (a, b)))
            {
                let iy = (oy * self.stride[0] + ky * self.dilation[0]).wrapping_sub(self.pad[0]);
                let ix = (ox * self.stride[1] + kx * self.dilation[1]).wrapping_sub(self.pad[1]);
                if iy < h && ix < wd {
                    for ci in 0..cg {
                        let tap = ky * self.kernel[1] + kx;
                        *y += x[((b * h + iy) * wd + ix) * c + o / og * cg + ci]
                            * w[(o * self.kernel[0] * self.kernel[1] + tap) * cg + ci];
                    }
                }
            }
        }
        y
    }
}

#[test]
fn convolutions() {
    let cases = [
        Geometry {
            x: [1, 9, 11, 3],
            o: 8,
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 1],
            pad: [1, 1, 1, 1],
            group: 1,
        },
        Geometry {
            x: [2, 14, 14, 24],
            o: 40,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0; 4],
            group: 1,
        },
        Geometry {
            x: [1, 20, 19, 8],
            o: 20,
            kernel: [3, 5],
            stride: [1, 2],
            dilation: [2, 1],
            pad: [2, 0, 1, 3],
            group: 4,
        },
        Geometry {
            x: [1, 30, 30, 20],
            o: 20,
            kernel: [3, 3],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [1; 4],
            group: 20,
        },
    ];
    for g in &cases {
        let taps = g.kernel[0] * g.kernel[1];
        let cg = g.x[3] / g.group;
        let x = noise(g.x.iter().product(), 5);
        let w = noise(g.o * taps * cg, 6);
        let bias = noise(g.o, 7);
        let shape = [g.x[0], g.out(0), g.out(1), g.o];
        let residual = noise(shape.iter().product(), 8);
        let mut want = g.reference(&x, &w, &bias);
        want.iter_mut()
            .zip(&residual)
            .for_each(|(y, r)| *y = (*y + r).max(0.0));
        let [kernel, strides, dilations, pads] = g.lists();
        let act = Activation {
            kind: ActivationKind::Relu,
            a: 0.0,
            b: 0.0,
        };
        let (op, dims, weights): (Op, Vec<usize>, Vec<f32>) = if g.group == g.o {
            let weights = (0..taps * g.o)
                .map(|i| w[i % g.o * taps + i / g.o])
                .collect();
            (
                DepthwiseConv {
                    kernel,
                    strides,
                    dilations,
                    pads,
                    act,
                }
                .into(),
                vec![taps, g.o],
                weights,
            )
        } else {
            let (og, panels) = (g.o / g.group, (g.o / g.group).div_ceil(16));
            let mut packed = vec![0.0; g.group * panels * taps * cg * 16];
            for (i, v) in packed.iter_mut().enumerate() {
                let (j, k, p, grp) = (
                    i % 16,
                    i / 16 % (taps * cg),
                    i / 16 / (taps * cg) % panels,
                    i / 16 / (taps * cg) / panels,
                );
                if p * 16 + j < og {
                    *v = w[(grp * og + p * 16 + j) * taps * cg + k];
                }
            }
            let op = Conv {
                kernel,
                strides,
                dilations,
                pads,
                group: g.group as u32,
                act,
            };
            (op.into(), vec![g.group, panels, taps * cg, 16], packed)
        };
        let y: Vec<f32> = run_one(
            op,
            &[
                (&g.x, &x),
                (&dims, &weights),
                (&[g.o], &bias),
                (&shape, &residual),
            ],
            DType::F32,
            &shape,
        );
        close(&y, &want, 1e-4);
    }
}

#[test]
fn transposed_convolution_is_the_adjoint() {
    // <conv(x), y> == <x, conv_transpose(y)> with the same weights.
    let g = Geometry {
        x: [1, 8, 7, 6],
        o: 4,
        kernel: [3, 2],
        stride: [2, 1],
        dilation: [1, 2],
        pad: [1, 1, 0, 1],
        group: 2,
    };
    let (taps, cg, og) = (6, 3, 2);
    let (x, w) = (noise(8 * 7 * 6, 1), noise(4 * taps * cg, 2));
    let forward = g.reference(&x, &w, &[0.0; 4]);
    let y = noise(forward.len(), 3);
    // w[G, O/G, taps, C/G] seen from the transposed side.
    let mut wt = vec![0.0; w.len()];
    for (i, v) in wt.iter_mut().enumerate() {
        let (c, tap, o, grp) = (
            i % cg,
            i / cg % taps,
            i / cg / taps % og,
            i / cg / taps / og,
        );
        *v = w[((grp * og + o) * taps + tap) * cg + c];
    }
    let [kernel, strides, dilations, pads] = g.lists();
    let op = ConvTranspose {
        kernel,
        strides,
        dilations,
        pads,
        group: 2,
        act: Activation::default(),
    };
    let shape = [1, g.out(0), g.out(1), 4];
    let back: Vec<f32> = run_one(
        op.into(),
        &[(&shape, &y), (&[2, og, taps, cg], &wt)],
        DType::F32,
        &g.x,
    );
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(&forward, &y) - dot(&x, &back)).abs() < 1e-3);
}

#[test]
fn pooling_norms_softmax() {
    let x = noise(2 * 6 * 6 * 3, 9);
    let pool = |kind| Pool_ {
        kind,
        kernel: axes(&[2, 2]),
        strides: axes(&[2, 2]),
        p: 2,
        ..Default::default()
    };
    use cygnet_format::op::Pool as Pool_;
    for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Lp] {
        let y: Vec<f32> = run_one(
            pool(kind).into(),
            &[(&[2, 6, 6, 3], &x)],
            DType::F32,
            &[2, 3, 3, 3],
        );
        let window = |i: usize| {
            let (c, ox, oy, b) = (i % 3, i / 3 % 3, i / 9 % 3, i / 27);
            [(0, 0), (0, 1), (1, 0), (1, 1)]
                .map(|(dy, dx)| x[((b * 6 + oy * 2 + dy) * 6 + ox * 2 + dx) * 3 + c])
        };
        let want: Vec<f32> = (0..y.len())
            .map(|i| match kind {
                PoolKind::Max => window(i).into_iter().fold(f32::MIN, f32::max),
                PoolKind::Average => window(i).iter().sum::<f32>() / 4.0,
                PoolKind::Lp => window(i).iter().map(|v| v * v).sum::<f32>().sqrt(),
            })
            .collect();
        close(&y, &want, 1e-5);
    }
    let rows = noise(300 * 64, 4);
    let softmax = |kind, axis, shape: &[usize]| -> Vec<f32> {
        run_one(
            Softmax { axis, kind }.into(),
            &[(shape, &rows)],
            DType::F32,
            shape,
        )
    };
    for row in softmax(SoftmaxKind::Softmax, 1, &[300, 64]).chunks(64) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let hard = softmax(SoftmaxKind::Hard, 0, &[300, 64]);
    assert!((0..64).all(|c| (0..300).map(|r| hard[r * 64 + c]).sum::<f32>() == 1.0));
    let scale = noise(64, 5);
    let y: Vec<f32> = run_one(
        LayerNorm {
            axis: 1,
            epsilon: 1e-5,
            rms: false,
        }
        .into(),
        &[(&[300, 64], &rows), (&[64], &scale)],
        DType::F32,
        &[300, 64],
    );
    let wide: Vec<f32> = (0..300 * 64).map(|i| scale[i % 64]).collect();
    let slow: Vec<f32> = run_one(
        LayerNorm {
            axis: 1,
            epsilon: 1e-5,
            rms: false,
        }
        .into(),
        &[(&[300, 64], &rows), (&[300, 64], &wide)],
        DType::F32,
        &[300, 64],
    );
    close(&y, &slow, 1e-4);
    for groups in [64u32, 16, 1] {
        let op = GroupNorm {
            groups,
            epsilon: 1e-5,
        };
        let y: Vec<f32> = run_one(
            op.into(),
            &[(&[3, 100, 64], &rows)],
            DType::F32,
            &[3, 100, 64],
        );
        let width = 64 / groups as usize;
        for (n, g) in (0..3).flat_map(|n| (0..groups as usize).map(move |g| (n, g))) {
            let values: Vec<f32> = (0..100)
                .flat_map(|p| (0..width).map(move |c| (p, c)))
                .map(|(p, c)| y[(n * 100 + p) * 64 + g * width + c])
                .collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let variance =
                values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
            assert!(
                mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-2,
                "{groups}: {mean} {variance}"
            );
        }
    }
}
