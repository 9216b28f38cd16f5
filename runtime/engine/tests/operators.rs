//! Operators of the engine against plain loops.

mod net;

use cygnet_format::op::*;
use cygnet_format::write::SymbolKind;
use cygnet_format::{Axes, DType, Dim, Dims, ExprOp, List, Op};
use cygnet_runtime::{Config, Element, Pool, RunErrorKind, TensorId};
use net::*;

/// Runs one operator on constant f32 inputs; the output has this type and shape.
fn run_one<T: Element>(op: Op, inputs: &[(&[usize], &[f32])], dtype: DType, shape: &[usize]) -> Vec<T> {
    let pool = Pool::new(3);
    let mut results: Vec<Vec<T>> = Vec::new();
    for parallel in [None, Some(&pool as &dyn cygnet_runtime::Parallel)] {
        let mut net = Net::new();
        let ids: Vec<TensorId> = inputs.iter().map(|(dims, data)| net.floats(dims, data)).collect();
        let y = net.fixed(dtype, shape);
        net.step(op, &ids, y);
        let mut program = net.write(&[y]);
        let config = Config { parallel, ..Config::default() };
        results.push(with_session(&mut program, config, |s| {
            s.run().unwrap();
            s.output(0).unwrap().as_slice::<T>().unwrap().to_vec()
        }));
    }
    let threads = results.pop().unwrap();
    let bytes = |v: &[T]| unsafe { std::slice::from_raw_parts(v.as_ptr().cast::<u8>(), std::mem::size_of_val(v)).to_vec() };
    assert_eq!(bytes(&threads), bytes(&results[0]), "threads do not change results");
    threads
}

fn axes(values: &[i32]) -> Axes {
    Axes::new(values).unwrap()
}

fn count(n: usize) -> Vec<f32> {
    (0..n).map(|v| v as f32).collect()
}

#[test]
fn movement() {
    let x = count(6);
    let t: Vec<f32> = run_one(Transpose { perm: axes(&[1, 0]) }.into(), &[(&[2, 3], &x)], DType::F32, &[3, 2]);
    assert_eq!(t, [0., 3., 1., 4., 2., 5.]);
    let starts = Dims::new(&[Dim(1), Dim(2)]).unwrap();
    let op = Slice { starts, steps: axes(&[-1, -2]) };
    let s: Vec<f32> = run_one(op.into(), &[(&[2, 3], &x)], DType::F32, &[2, 2]);
    assert_eq!(s, [5., 3., 2., 0.]);
    let c: Vec<f32> = run_one(Concat { axis: 1 }.into(), &[(&[2, 1], &x[..2]), (&[2, 0], &[]), (&[2, 2], &x[2..])], DType::F32, &[2, 3]);
    assert_eq!(c, [0., 2., 3., 1., 4., 5.]);
    let e: Vec<f32> = run_one(Expand {}.into(), &[(&[2, 1], &x[..2])], DType::F32, &[2, 2, 3]);
    assert_eq!(e, [0., 0., 0., 1., 1., 1., 0., 0., 0., 1., 1., 1.]);
    let t: Vec<f32> = run_one(Tile {}.into(), &[(&[2, 1], &x[..2])], DType::F32, &[4, 2]);
    assert_eq!(t, [0., 0., 1., 1., 0., 0., 1., 1.]);
    let op = Pad { before: Dims::new(&[Dim(0), Dim(2)]).unwrap(), mode: PadMode::Reflect };
    let p: Vec<f32> = run_one(op.into(), &[(&[1, 3], &x[..3])], DType::F32, &[1, 6]);
    assert_eq!(p, [2., 1., 0., 1., 2., 1.]);
    let r: Vec<f32> = run_one(Range {}.into(), &[(&[], &[1.0]), (&[], &[4.0]), (&[], &[0.5])], DType::F32, &[6]);
    assert_eq!(r, [1., 1.5, 2., 2.5, 3., 3.5]);
    let big = noise(7 * 130 * 66, 3);
    let t: Vec<f32> = run_one(Transpose { perm: axes(&[0, 2, 1]) }.into(), &[(&[7, 130, 66], &big)], DType::F32, &[7, 66, 130]);
    for (b, i, j) in [(0, 0, 0), (3, 129, 65), (6, 64, 13)] {
        assert_eq!(t[(b * 66 + j) * 130 + i], big[(b * 130 + i) * 66 + j]);
    }
}

#[test]
fn elementwise() {
    let x = noise(70_000, 1);
    let y = noise(70_000, 2);
    let op = Binary { kind: BinaryKind::Sub };
    let z: Vec<f32> = run_one(op.into(), &[(&[70_000], &x), (&[70_000], &y)], DType::F32, &[70_000]);
    assert!(z.iter().zip(x.iter().zip(&y)).all(|(z, (x, y))| *z == x - y));
    let z: Vec<u8> = run_one(Binary { kind: BinaryKind::Less }.into(), &[(&[2, 1], &[1., 2.]), (&[2], &[2., 1.])], DType::Bool, &[2, 2]);
    assert_eq!(z, [1, 0, 0, 0]);
    let op = Unary { kind: UnaryKind::LeakyRelu, a: 0.5, b: 0.0 };
    let z: Vec<f32> = run_one(op.into(), &[(&[70_000], &x)], DType::F32, &[70_000]);
    assert!(z.iter().zip(&x).all(|(z, x)| *z == if *x < 0.0 { 0.5 * x } else { *x }));
    let z: Vec<u8> = run_one(Unary { kind: UnaryKind::IsNan, a: 0.0, b: 0.0 }.into(), &[(&[2], &[f32::NAN, 1.0])], DType::Bool, &[2]);
    assert_eq!(z, [1, 0]);
}

#[test]
fn chains_broadcast_like_single_steps() {
    let micro = |kind, code: u32, operand| Micro { kind, code, operand, a: 0.0, b: 0.0 };
    let (n, c) = (40, 900);
    let (x, full, channel, row) = (noise(n * c, 1), noise(n * c, 2), noise(c, 3), noise(n, 4));
    let steps = [
        micro(MicroKind::Binary, BinaryKind::Mul as u32, 1),
        micro(MicroKind::BinarySwapped, BinaryKind::Sub as u32, 2),
        micro(MicroKind::Unary, UnaryKind::Relu as u32, 0),
        micro(MicroKind::Binary, BinaryKind::Add as u32, 3),
    ];
    let op = Chain { steps: List::new(&steps).unwrap() };
    for (dims, last) in [(&[c][..], &channel), (&[n, 1], &row), (&[n, c], &full)] {
        let inputs: [(&[usize], &[f32]); 4] = [(&[n, c], &x), (&[n, c], &full), (&[1], &[0.25]), (dims, last)];
        let y: Vec<f32> = run_one(op.into(), &inputs, DType::F32, &[n, c]);
        let at = |i: usize| match dims.len() {
            1 => last[i % c],
            _ if dims[1] == 1 => last[i / c],
            _ => last[i],
        };
        let want: Vec<f32> = (0..n * c).map(|i| (0.25 - x[i] * full[i]).max(0.0) + at(i)).collect();
        close(&y, &want, 1e-6);
    }
}

fn matmul(batch: usize, m: usize, k: usize, n: usize, a: impl Fn(usize, usize, usize) -> f32, b: impl Fn(usize, usize, usize) -> f32) -> Vec<f32> {
    let mut y = vec![0.0; batch * m * n];
    for (i, y) in y.iter_mut().enumerate() {
        let (b0, r, c) = (i / (m * n), i / n % m, i % n);
        *y = (0..k).map(|j| a(b0, r, j) * b(b0, j, c)).sum();
    }
    y
}

#[test]
fn matrix_products() {
    for (batch, m, k, n) in [(1, 1, 300, 700), (3, 5, 7, 17), (8, 40, 32, 33), (2, 200, 48, 16), (1, 0, 4, 4), (1, 4, 0, 4)] {
        let (a, b) = (noise(batch * m * k, 1), noise(batch * k * n, 2));
        let packed: Vec<f32> = run_one(PackB { trans: false }.into(), &[(&[batch, k, n], &b)], DType::F32, &[batch, n.div_ceil(16), k, 16]);
        let op = MatMul { alpha: 2.0, act: Activation::default() };
        let y: Vec<f32> = run_one(op.into(), &[(&[batch, m, k], &a), (&[batch, n.div_ceil(16), k, 16], &packed)], DType::F32, &[batch, m, n]);
        let want = matmul(batch, m, k, n, |b0, r, j| 2.0 * a[(b0 * m + r) * k + j], |b0, j, c| b[(b0 * k + j) * n + c]);
        close(&y, &want, 1e-4);
        // One right operand for the whole batch, transposed before packing.
        let bt: Vec<f32> = (0..n * k).map(|i| b.get((i % k.max(1)) * n + i / k.max(1)).copied().unwrap_or(0.0)).collect();
        let packed: Vec<f32> = run_one(PackB { trans: true }.into(), &[(&[n, k], &bt)], DType::F32, &[n.div_ceil(16), k, 16]);
        let y: Vec<f32> = run_one(op.into(), &[(&[batch, m, k], &a), (&[n.div_ceil(16), k, 16], &packed)], DType::F32, &[batch, m, n]);
        let want = matmul(batch, m, k, n, |b0, r, j| 2.0 * a[(b0 * m + r) * k + j], |_, j, c| b[j * n + c]);
        close(&y, &want, 1e-4);
    }
}

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
        (self.x[1 + d] + self.pad[d] + self.pad[2 + d] - self.dilation[d] * (self.kernel[d] - 1) - 1) / self.stride[d] + 1
    }
    fn lists(&self) -> [Axes; 4] {
        let list = |v: &[usize]| axes(&v.iter().map(|&v| v as i32).collect::<Vec<_>>());
        [list(&self.kernel), list(&self.stride), list(&self.dilation), list(&self.pad)]
    }
    /// `w[o][tap][c of the group]`.
    fn reference(&self, x: &[f32], w: &[f32], bias: &[f32]) -> Vec<f32> {
        let [n, h, wd, c] = self.x;
        let (oh, ow, cg, og) = (self.out(0), self.out(1), c / self.group, self.o / self.group);
        let mut y = vec![0.0; n * oh * ow * self.o];
        for (i, y) in y.iter_mut().enumerate() {
            let (o, ox, oy, b) = (i % self.o, i / self.o % ow, i / self.o / ow % oh, i / self.o / ow / oh);
            *y = bias[o];
            for (ky, kx) in (0..self.kernel[0]).flat_map(|a| (0..self.kernel[1]).map(move |b| (a, b))) {
                let iy = (oy * self.stride[0] + ky * self.dilation[0]).wrapping_sub(self.pad[0]);
                let ix = (ox * self.stride[1] + kx * self.dilation[1]).wrapping_sub(self.pad[1]);
                if iy < h && ix < wd {
                    for ci in 0..cg {
                        let tap = ky * self.kernel[1] + kx;
                        *y += x[((b * h + iy) * wd + ix) * c + o / og * cg + ci] * w[(o * self.kernel[0] * self.kernel[1] + tap) * cg + ci];
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
        Geometry { x: [1, 9, 11, 3], o: 8, kernel: [3, 3], stride: [2, 2], dilation: [1, 1], pad: [1, 1, 1, 1], group: 1 },
        Geometry { x: [2, 14, 14, 24], o: 40, kernel: [1, 1], stride: [1, 1], dilation: [1, 1], pad: [0; 4], group: 1 },
        Geometry { x: [1, 20, 19, 8], o: 20, kernel: [3, 5], stride: [1, 2], dilation: [2, 1], pad: [2, 0, 1, 3], group: 4 },
        Geometry { x: [1, 30, 30, 20], o: 20, kernel: [3, 3], stride: [1, 1], dilation: [1, 1], pad: [1; 4], group: 20 },
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
        want.iter_mut().zip(&residual).for_each(|(y, r)| *y = (*y + r).max(0.0));
        let [kernel, strides, dilations, pads] = g.lists();
        let act = Activation { kind: ActivationKind::Relu, a: 0.0, b: 0.0 };
        let (op, dims, weights): (Op, Vec<usize>, Vec<f32>) = if g.group == g.o {
            let weights = (0..taps * g.o).map(|i| w[i % g.o * taps + i / g.o]).collect();
            (DepthwiseConv { kernel, strides, dilations, pads, act }.into(), vec![taps, g.o], weights)
        } else {
            let (og, panels) = (g.o / g.group, (g.o / g.group).div_ceil(16));
            let mut packed = vec![0.0; g.group * panels * taps * cg * 16];
            for (i, v) in packed.iter_mut().enumerate() {
                let (j, k, p, grp) = (i % 16, i / 16 % (taps * cg), i / 16 / (taps * cg) % panels, i / 16 / (taps * cg) / panels);
                if p * 16 + j < og {
                    *v = w[(grp * og + p * 16 + j) * taps * cg + k];
                }
            }
            let op = Conv { kernel, strides, dilations, pads, group: g.group as u32, act };
            (op.into(), vec![g.group, panels, taps * cg, 16], packed)
        };
        let y: Vec<f32> = run_one(op, &[(&g.x, &x), (&dims, &weights), (&[g.o], &bias), (&shape, &residual)], DType::F32, &shape);
        close(&y, &want, 1e-4);
    }
}

#[test]
fn transposed_convolution_is_the_adjoint() {
    // <conv(x), y> == <x, conv_transpose(y)> with the same weights.
    let g = Geometry { x: [1, 8, 7, 6], o: 4, kernel: [3, 2], stride: [2, 1], dilation: [1, 2], pad: [1, 1, 0, 1], group: 2 };
    let (taps, cg, og) = (6, 3, 2);
    let (x, w) = (noise(8 * 7 * 6, 1), noise(4 * taps * cg, 2));
    let forward = g.reference(&x, &w, &[0.0; 4]);
    let y = noise(forward.len(), 3);
    // w[G, O/G, taps, C/G] seen from the transposed side.
    let mut wt = vec![0.0; w.len()];
    for (i, v) in wt.iter_mut().enumerate() {
        let (c, tap, o, grp) = (i % cg, i / cg % taps, i / cg / taps % og, i / cg / taps / og);
        *v = w[((grp * og + o) * taps + tap) * cg + c];
    }
    let [kernel, strides, dilations, pads] = g.lists();
    let op = ConvTranspose { kernel, strides, dilations, pads, group: 2, act: Activation::default() };
    let shape = [1, g.out(0), g.out(1), 4];
    let back: Vec<f32> = run_one(op.into(), &[(&shape, &y), (&[2, og, taps, cg], &wt)], DType::F32, &g.x);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    assert!((dot(&forward, &y) - dot(&x, &back)).abs() < 1e-3);
}

#[test]
fn pooling_norms_softmax() {
    let x = noise(2 * 6 * 6 * 3, 9);
    let pool = |kind| Pool_ { kind, kernel: axes(&[2, 2]), strides: axes(&[2, 2]), p: 2, ..Default::default() };
    use cygnet_format::op::Pool as Pool_;
    for kind in [PoolKind::Max, PoolKind::Average, PoolKind::Lp] {
        let y: Vec<f32> = run_one(pool(kind).into(), &[(&[2, 6, 6, 3], &x)], DType::F32, &[2, 3, 3, 3]);
        let window = |i: usize| {
            let (c, ox, oy, b) = (i % 3, i / 3 % 3, i / 9 % 3, i / 27);
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| x[((b * 6 + oy * 2 + dy) * 6 + ox * 2 + dx) * 3 + c])
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
    let softmax = |kind, axis, shape: &[usize]| -> Vec<f32> { run_one(Softmax { axis, kind }.into(), &[(shape, &rows)], DType::F32, shape) };
    for row in softmax(SoftmaxKind::Softmax, 1, &[300, 64]).chunks(64) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let hard = softmax(SoftmaxKind::Hard, 0, &[300, 64]);
    assert!((0..64).all(|c| (0..300).map(|r| hard[r * 64 + c]).sum::<f32>() == 1.0));
    let scale = noise(64, 5);
    let y: Vec<f32> = run_one(LayerNorm { axis: 1, epsilon: 1e-5, rms: false }.into(), &[(&[300, 64], &rows), (&[64], &scale)], DType::F32, &[300, 64]);
    let wide: Vec<f32> = (0..300 * 64).map(|i| scale[i % 64]).collect();
    let slow: Vec<f32> = run_one(LayerNorm { axis: 1, epsilon: 1e-5, rms: false }.into(), &[(&[300, 64], &rows), (&[300, 64], &wide)], DType::F32, &[300, 64]);
    close(&y, &slow, 1e-4);
    for groups in [64u32, 16, 1] {
        let op = GroupNorm { groups, epsilon: 1e-5 };
        let y: Vec<f32> = run_one(op.into(), &[(&[3, 100, 64], &rows)], DType::F32, &[3, 100, 64]);
        let width = 64 / groups as usize;
        for (n, g) in (0..3).flat_map(|n| (0..groups as usize).map(move |g| (n, g))) {
            let values: Vec<f32> = (0..100).flat_map(|p| (0..width).map(move |c| (p, c))).map(|(p, c)| y[(n * 100 + p) * 64 + g * width + c]).collect();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
            assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-2, "{groups}: {mean} {variance}");
        }
    }
}

#[test]
fn attention_agrees_with_its_general_case() {
    let (q, k, v, mask) = (noise(6 * 5 * 8, 1), noise(6 * 7 * 8, 2), noise(6 * 7 * 4, 3), noise(5 * 7, 4));
    let inputs: [(&[usize], &[f32]); 4] = [(&[2, 3, 5, 8], &q), (&[2, 3, 7, 8], &k), (&[2, 3, 7, 4], &v), (&[5, 7], &mask)];
    let attention = |softcap| Attention { scale: 0.3, causal: true, softcap };
    let fast: Vec<f32> = run_one(attention(0.0).into(), &inputs, DType::F32, &[2, 3, 5, 4]);
    // A very high cap changes nothing.
    let slow: Vec<f32> = run_one(attention(1e6).into(), &inputs, DType::F32, &[2, 3, 5, 4]);
    close(&fast, &slow, 1e-3);
}

#[test]
fn symbols_bind_check_and_shrink() {
    let mut net = Net::new();
    let w = net.symbol("w", 1, 64, SymbolKind::Input);
    let half = net.expr(&[ExprOp::Symbol(0), ExprOp::Const(2), ExprOp::FloorDiv]);
    let x = net.tensor(DType::F32, &[Dim(2), w]);
    let other = net.tensor(DType::F32, &[w]);
    let (x, other) = (net.input(x), net.input(other));
    let sum = net.tensor(DType::F32, &[Dim(2), w]);
    net.step(Binary { kind: BinaryKind::Add }, &[x, other], sum);
    let y = net.tensor(DType::F32, &[Dim(2), half]);
    net.step(Slice { starts: Dims::new(&[Dim(0), Dim(1)]).unwrap(), steps: axes(&[1, 2]) }, &[sum], y);
    let values = net.fixed(DType::I64, &[2]);
    net.step(DimValues { values: Dims::new(&[w, half]).unwrap() }, &[], values);
    let mut program = net.write(&[y, values]);
    with_session(&mut program, Config::default(), |s| {
        assert_eq!(s.run().unwrap_err().kind, RunErrorKind::Unbound);
        assert_eq!(s.input_mut(0).unwrap_err().kind, RunErrorKind::Unbound);
        assert_eq!(s.set_input_shape(0, &[2, 65]).unwrap_err().kind, RunErrorKind::Range);
        assert_eq!(s.set_input_shape(0, &[3, 4]).unwrap_err().kind, RunErrorKind::Mismatch);
        assert_eq!(s.set_input_shape(0, &[2]).unwrap_err().kind, RunErrorKind::Rank);
        for w in [4usize, 64, 5, 1] {
            s.set_input_shape(0, &[2, w]).unwrap();
            assert_eq!(s.set_input_shape(1, &[w + 1]).unwrap_err().kind, RunErrorKind::Mismatch);
            s.set_input_shape(1, &[w]).unwrap();
            for (i, v) in s.input_mut(0).unwrap().as_mut_slice::<f32>().unwrap().iter_mut().enumerate() {
                *v = i as f32;
            }
            s.input_mut(1).unwrap().as_mut_slice::<f32>().unwrap().fill(0.5);
            s.run().unwrap();
            let want: Vec<f32> = (0..2).flat_map(|r| (0..w / 2).map(move |i| (r * w + 1 + 2 * i) as f32 + 0.5)).collect();
            assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), want);
            assert_eq!(&*s.output(0).unwrap().shape, [2, w / 2]);
            assert_eq!(s.output(1).unwrap().as_slice::<i64>().unwrap(), [w as i64, (w / 2) as i64]);
        }
    });
}

#[test]
fn in_place_steps() {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[8]);
    let x = net.input(x);
    let c = net.floats(&[8], &count(8));
    net.step(Unary { kind: UnaryKind::Neg, a: 0.0, b: 0.0 }, &[x], x);
    net.step(Binary { kind: BinaryKind::Sub }, &[c, x], x);
    net.step(Softmax { axis: 0, kind: SoftmaxKind::Hard }, &[x], x);
    let mut program = net.write(&[x]);
    with_session(&mut program, Config::default(), |s| {
        s.input_mut(0).unwrap().as_mut_slice::<f32>().unwrap().copy_from_slice(&[0., 9., 1., 1., 1., 1., 1., 1.]);
        s.run().unwrap();
        assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), [0., 1., 0., 0., 0., 0., 0., 0.]);
    });
}

#[test]
fn wrong_shapes_are_errors() {
    let f = DType::F32;
    let cases: Vec<(Op, Vec<Vec<usize>>, DType, Vec<usize>)> = vec![
        (Reshape {}.into(), vec![vec![2, 3]], f, vec![5]),
        (Transpose { perm: axes(&[0, 0]) }.into(), vec![vec![2, 3]], f, vec![2, 2]),
        (Transpose { perm: axes(&[-1, 0]) }.into(), vec![vec![2, 3]], f, vec![3, 2]),
        (Slice { starts: Dims::new(&[Dim(2)]).unwrap(), steps: axes(&[1]) }.into(), vec![vec![3]], f, vec![2]),
        (Slice { starts: Dims::new(&[Dim(i32::MAX)]).unwrap(), steps: axes(&[i32::MIN]) }.into(), vec![vec![3]], f, vec![2]),
        (Concat { axis: -1 }.into(), vec![vec![2]], f, vec![2]),
        (Concat { axis: 0 }.into(), vec![vec![2], vec![2]], f, vec![3]),
        (Expand {}.into(), vec![vec![2]], f, vec![3]),
        (Tile {}.into(), vec![vec![2]], f, vec![3]),
        (Binary { kind: BinaryKind::Add }.into(), vec![vec![2], vec![3]], f, vec![3]),
        (Binary { kind: BinaryKind::Add }.into(), vec![vec![2], vec![2]], DType::I32, vec![2]),
        (Binary { kind: BinaryKind::BitAnd }.into(), vec![vec![2], vec![2]], f, vec![2]),
        (MatMul { alpha: 1.0, act: Activation::default() }.into(), vec![vec![2, 3], vec![1, 4, 16]], f, vec![2, 5]),
        (PackB { trans: false }.into(), vec![vec![3, 17]], f, vec![1, 3, 16]),
        (Softmax { axis: 9, kind: SoftmaxKind::Softmax }.into(), vec![vec![2]], f, vec![2]),
        (Chain { steps: List::new(&[Micro { kind: MicroKind::Binary, operand: 7, ..Micro::default() }]).unwrap() }.into(), vec![vec![2]], f, vec![2]),
        (GroupNorm { groups: 0, epsilon: 0.0 }.into(), vec![vec![2, 2]], f, vec![2, 2]),
        (LayerNorm { axis: 3, epsilon: 0.0, rms: false }.into(), vec![vec![2, 2]], f, vec![2, 2]),
        (Attention::default().into(), vec![vec![2, 2], vec![3, 2], vec![2, 2]], f, vec![2, 2]),
        (Conv { kernel: axes(&[1, 1]), group: 0, ..Default::default() }.into(), vec![vec![1, 2, 2, 2], vec![1, 1, 2, 16]], f, vec![1, 2, 2, 2]),
        (Conv { kernel: axes(&[i32::MAX, i32::MAX]), group: 1, ..Default::default() }.into(), vec![vec![1, 2, 2, 2], vec![1, 1, 2, 16]], f, vec![1, 2, 2, 2]),
        (Pool_ { kernel: axes(&[0, 1]), ..Default::default() }.into(), vec![vec![1, 2, 2, 2]], f, vec![1, 2, 2, 2]),
    ];
    use cygnet_format::op::Pool as Pool_;
    for (op, inputs, dtype, shape) in cases {
        let mut net = Net::new();
        let ids: Vec<TensorId> = inputs.iter().map(|d| net.floats(d, &vec![0.0; d.iter().product()])).collect();
        let y = net.fixed(dtype, &shape);
        net.step(op, &ids, y);
        let mut program = net.write(&[y]);
        with_session(&mut program, Config::default(), |s| assert!(s.run().is_err(), "{op:?}"));
    }
}
