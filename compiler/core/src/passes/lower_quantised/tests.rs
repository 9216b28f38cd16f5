//! Integer arithmetic against the float arithmetic it replaces: the same graph without and with the passes.

use crate::bundle::Array;
use crate::emit::{self, EmitOptions};
use crate::ir::{Graph, MAIN, Port, Type, ValueId, verify};
use crate::passes::{Level, run};
use crate::testing::Random;
use crate::verify::{Runner, RunnerOptions};
use cygnet_format::op::*;
use cygnet_format::{Axes, DType, Dim, Op, OpCode};

/// A graph under construction with one input of integers.
struct Net {
    g: Graph,
    r: Random,
    counter: usize,
}

fn axes(v: &[i32]) -> Axes {
    v.iter().copied().collect()
}

impl Net {
    fn new(seed: u64) -> Net {
        Net {
            g: Graph::default(),
            r: Random::new(seed),
            counter: 0,
        }
    }

    fn name(&mut self) -> String {
        self.counter += 1;
        format!("v{}", self.counter)
    }

    fn input(&mut self, dtype: DType, shape: &[usize]) -> ValueId {
        let name = self.name();
        let value = self.g.add_value(name.clone(), Type::fixed(dtype, shape));
        self.g.inputs.push(Port { name, value });
        value
    }

    fn bytes(&mut self, ty: Type, low: i32, high: i32) -> ValueId {
        let n = ty.fixed_len().unwrap();
        let draw = |r: &mut Random| low + r.below((high - low + 1) as usize) as i32;
        let data: Vec<u8> = match ty.dtype {
            DType::I32 => (0..n)
                .flat_map(|_| draw(&mut self.r).to_le_bytes())
                .collect(),
            _ => (0..n).map(|_| draw(&mut self.r) as u8).collect(),
        };
        let name = self.name();
        self.g.add_constant(name, ty, data)
    }

    /// Scales around `scale`: one, or one for each of `n`.
    fn scales(&mut self, scale: f32, n: Option<usize>) -> ValueId {
        let name = self.name();
        let data: Vec<f32> = (0..n.unwrap_or(1))
            .map(|_| scale * (0.5 + self.r.below(1000) as f32 / 1000.0))
            .collect();
        match n {
            None => self.g.add_f32(name, &[], &data),
            Some(n) => self.g.add_f32(name, &[n], &data),
        }
    }

    fn dequantise(&mut self, q: ValueId, scale: ValueId, zero: ValueId, axis: i32) -> ValueId {
        let ty = Type {
            dtype: DType::F32,
            shape: self.g.ty(q).shape,
        };
        let op = DequantizeLinear { axis, block: 0 };
        self.g.push(MAIN, "dq", op, &[q, scale, zero], ty)
    }

    /// An activation of scale `scale` and zero point `zero`.
    fn activation(&mut self, q: ValueId, scale: f32, zero: i32) -> ValueId {
        let (n, m) = (self.name(), self.name());
        let dtype = self.g.ty(q).dtype;
        let s = self.g.add_f32(n, &[], &[scale]);
        let z = self
            .g
            .add_constant(m, Type::new(dtype, &[]), vec![zero as u8]);
        self.dequantise(q, s, z, 0)
    }

    /// Quantises `x` and makes the integers the output.
    fn output(&mut self, x: ValueId, dtype: DType, scale: f32, zero: i32) {
        let (n, m) = (self.name(), self.name());
        let s = self.g.add_f32(n, &[], &[scale]);
        let z = self
            .g
            .add_constant(m, Type::new(dtype, &[]), vec![zero as u8]);
        let ty = Type {
            dtype,
            shape: self.g.ty(x).shape,
        };
        let op = QuantizeLinear {
            axis: 0,
            block: 0,
            saturate: true,
        };
        let value = self.g.push(MAIN, "q", op, &[x, s, z], ty);
        let name = "y".to_owned();
        self.g.outputs.push(Port { name, value });
    }

    fn push(&mut self, op: impl Into<Op>, x: &[ValueId], shape: &[usize]) -> ValueId {
        let dtype = self.g.ty(x[0]).dtype;
        self.g.push(MAIN, "n", op, x, Type::fixed(dtype, shape))
    }

    /// `[O, C/G, k, k]` weights as an importer lays them out, with a bias.
    fn conv(&mut self, x: ValueId, case: &Conv2d, w: ValueId, bias: ValueId) -> ValueId {
        let (g, o, per) = (
            case.group,
            case.out / case.group,
            case.channels / case.group,
        );
        let shape = self.g.ty(x).fixed_shape().unwrap();
        let out = |n: usize| (n + 2 - 3) / case.stride + 1;
        let y = [1, out(shape[1]), out(shape[2]), case.out];
        let stride = case.stride as i32;
        let (kernel, strides) = (axes(&[3, 3]), axes(&[stride, stride]));
        let (dilations, pads) = (axes(&[1, 1]), axes(&[1, 1, 1, 1]));
        if per == 1 && o == 1 {
            let w = self.push(Reshape {}, &[w], &[case.out, 9]);
            let w = self.push(
                Transpose {
                    perm: axes(&[1, 0]),
                },
                &[w],
                &[9, case.out],
            );
            let op = DepthwiseConv {
                kernel,
                strides,
                dilations,
                pads,
                ..Default::default()
            };
            return self.push(op, &[x, w, bias], &y);
        }
        let w = self.push(Reshape {}, &[w], &[g, o, per, 9]);
        let perm = axes(&[0, 3, 2, 1]);
        let w = self.push(Transpose { perm }, &[w], &[g, 9, per, o]);
        let w = self.push(Reshape {}, &[w], &[g, 9 * per, o]);
        let w = self.push(
            PackB { trans: false },
            &[w],
            &[g, o.div_ceil(16), 9 * per, 16],
        );
        let op = Conv {
            kernel,
            strides,
            dilations,
            pads,
            group: g as u32,
            ..Default::default()
        };
        self.push(op, &[x, w, bias], &y)
    }

    /// Runs without and with the passes: the codes of the lowered graph. At most one step apart, and seldom that.
    fn check(mut self) -> Vec<OpCode> {
        verify(&self.g).unwrap();
        let feeds: Vec<Array> = self
            .g
            .inputs
            .clone()
            .iter()
            .map(|p| {
                let ty = self.g.ty(p.value).clone();
                let n = ty.fixed_len().unwrap();
                let data = (0..n).map(|_| self.r.below(256) as u8).collect();
                Array::new(ty.dtype, ty.fixed_shape().unwrap(), data).unwrap()
            })
            .collect();
        let mut results = Vec::new();
        let mut codes = Vec::new();
        for level in [Level::None, Level::Full] {
            let mut g = self.g.clone();
            run(&mut g, level);
            verify(&g).unwrap();
            let program = emit::program(&g, &EmitOptions::default()).unwrap().bytes;
            let mut runner = Runner::from_bytes(&program, &RunnerOptions::default()).unwrap();
            runner
                .set_inputs(&feeds.iter().collect::<Vec<_>>())
                .unwrap();
            runner.run().unwrap();
            results.push(runner.output(0).unwrap());
            codes = g.blocks[0].nodes.iter().map(|n| n.op.code()).collect();
        }
        let (a, b) = (results[0].to_f64(), results[1].to_f64());
        let spread = a.iter().fold(0.0f64, |m, v| m.max((v - a[0]).abs()));
        assert!(spread > 20.0, "the case says nothing: {a:?}");
        let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
        assert!(apart.clone().all(|d| d <= 1.0), "{codes:?}\n{a:?}\n{b:?}");
        let differ = apart.filter(|&d| d > 0.0).count();
        assert!(differ * 200 <= a.len() + 199, "{differ} of {}", a.len());
        codes
    }
}

struct Conv2d {
    x: DType,
    w: DType,
    y: DType,
    channels: usize,
    out: usize,
    group: usize,
    stride: usize,
    per_channel: bool,
    clip: Option<(f32, f32)>,
    quantised_bias: bool,
    /// Weights whose zero points leave 8 signed bits.
    centred: bool,
}

#[test]
fn convolutions_become_integer() {
    use DType::{I8, U8};
    let base = |x, w, y| Conv2d {
        x,
        w,
        y,
        channels: 6,
        out: 20,
        group: 1,
        stride: 1,
        per_channel: true,
        clip: None,
        quantised_bias: true,
        centred: true,
    };
    let cases = [
        base(U8, I8, U8),
        Conv2d {
            per_channel: false,
            quantised_bias: false,
            ..base(I8, I8, I8)
        },
        Conv2d {
            clip: Some((0.0, f32::INFINITY)),
            ..base(U8, U8, U8)
        },
        Conv2d {
            clip: Some((-0.5, 0.75)),
            stride: 2,
            ..base(I8, U8, I8)
        },
        Conv2d {
            group: 2,
            ..base(U8, I8, I8)
        },
        Conv2d {
            centred: false,
            ..base(U8, I8, U8)
        },
        Conv2d {
            centred: false,
            ..base(I8, U8, U8)
        },
        Conv2d {
            group: 20,
            channels: 20,
            clip: Some((0.0, 1.0)),
            ..base(U8, I8, U8)
        },
    ];
    for (seed, case) in cases.iter().enumerate() {
        let mut net = Net::new(seed as u64);
        let q = net.input(case.x, &[1, 9, 8, case.channels]);
        let x = net.activation(q, 0.02, 117);
        let per = case.channels / case.group;
        let channels = case.per_channel.then_some(case.out);
        let w = net.bytes(Type::fixed(case.w, &[case.out, per, 3, 3]), -128, 127);
        let scale = net.scales(0.002, channels);
        let dims: Vec<Dim> = channels.iter().map(|&n| Dim(n as i32)).collect();
        // Unsigned weights have zero points in the middle, signed ones none or a few steps away.
        let middle = if case.w == U8 { 128 } else { 0 };
        let away = if case.centred { 0 } else { 3 };
        let zero = net.bytes(Type::new(case.w, &dims), middle - away, middle + away);
        let w = net.dequantise(w, scale, zero, 0);
        let bias = if case.quantised_bias {
            let q = net.bytes(Type::fixed(DType::I32, &[case.out]), -9000, 9000);
            let scales = net.g.constant_f32(scale).unwrap();
            let scales: Vec<f32> = scales.iter().map(|s| 0.02 * s).collect();
            let shape: &[usize] = if channels.is_some() { &[case.out] } else { &[] };
            let s = net.g.add_f32("bias_scale", shape, &scales);
            let zero = net.bytes(Type::fixed(DType::I32, shape), 0, 0);
            net.dequantise(q, s, zero, 0)
        } else {
            let data: Vec<f32> = (0..case.out).map(|i| i as f32 / 40.0).collect();
            net.g.add_f32("bias", &[case.out], &data)
        };
        let mut y = net.conv(x, case, w, bias);
        if let Some((a, b)) = case.clip {
            let shape = net.g.ty(y).fixed_shape().unwrap();
            let kind = if b.is_finite() {
                UnaryKind::Clip
            } else {
                UnaryKind::Relu
            };
            y = net.push(Unary { kind, a, b }, &[y], &shape);
        }
        net.output(y, case.y, 0.013, if case.y == U8 { 99 } else { -4 });
        let codes = net.check();
        let expected: &[OpCode] = match case {
            Conv2d { centred: false, .. } => &[OpCode::ConvInteger, OpCode::Requantize],
            Conv2d { group: 20, .. } => &[OpCode::QuantizedDepthwise],
            _ => &[OpCode::QuantizedConv],
        };
        assert_eq!(codes, expected, "case {seed}");
    }
}

#[test]
fn products_become_integer() {
    for (seed, trans) in [false, true].into_iter().enumerate() {
        let mut net = Net::new(40 + seed as u64);
        let q = net.input(DType::U8, &[2, 5, 30]);
        let x = net.activation(q, 0.03, 130);
        let shape: [usize; 2] = if trans { [21, 30] } else { [30, 21] };
        let w = net.bytes(Type::fixed(DType::I8, &shape), -127, 127);
        let scale = net.scales(0.004, Some(21));
        let zero = net.bytes(Type::fixed(DType::I8, &[21]), 0, 0);
        let w = net.dequantise(w, scale, zero, if trans { 0 } else { 1 });
        let w = net.push(PackB { trans }, &[w], &[2, 30, 16]);
        let bias: Vec<f32> = (0..21).map(|i| i as f32 - 10.0).collect();
        let bias = net.g.add_f32("bias", &[21], &bias);
        let op = MatMul {
            alpha: 0.5,
            act: Activation::default(),
        };
        let y = net.push(op, &[x, w, bias], &[2, 5, 21]);
        // The sums meet their quantisation through a reshape.
        let y = net.push(Reshape {}, &[y], &[10, 21]);
        net.output(y, DType::U8, 0.11, 128);
        let codes = net.check();
        let expected = [OpCode::QuantizedConv, OpCode::Reshape];
        assert_eq!(codes, expected);
    }
}

#[test]
fn residuals_join_the_product() {
    for (seed, shared) in [false, true].into_iter().enumerate() {
        let mut net = Net::new(60 + seed as u64);
        let q = net.input(DType::U8, &[1, 6, 5, 20]);
        let x = net.activation(q, 0.02, 117);
        let w = net.bytes(Type::fixed(DType::I8, &[20, 20, 3, 3]), -128, 127);
        let scale = net.scales(0.002, None);
        let zero = net.bytes(Type::new(DType::I8, &[]), 0, 0);
        let w = net.dequantise(w, scale, zero, 0);
        let bias = net.g.add_f32("bias", &[20], &[0.1; 20]);
        let case = Conv2d {
            x: DType::U8,
            w: DType::I8,
            y: DType::U8,
            channels: 20,
            out: 20,
            group: 1,
            stride: 1,
            per_channel: false,
            clip: None,
            quantised_bias: false,
            centred: true,
        };
        let y = net.conv(x, &case, w, bias);
        let (n, z) = (
            net.g.add_f32("scale", &[], &[0.02]),
            net.g
                .add_constant("zero", Type::new(DType::U8, &[]), vec![128]),
        );
        let op = QuantizeLinear {
            axis: 0,
            block: 0,
            saturate: true,
        };
        let ty = Type::fixed(DType::U8, &[1, 6, 5, 20]);
        let q = net.g.push(MAIN, "middle", op, &[y, n, z], ty);
        let y = net.activation(q, 0.02, 128);
        let add = Binary {
            kind: BinaryKind::Add,
        };
        let mut sum = net.push(add, &[x, y], &[1, 6, 5, 20]);
        if shared {
            // A second reader of the product's own result keeps the sum a step of its own.
            sum = net.push(add, &[sum, y], &[1, 6, 5, 20]);
        }
        net.output(sum, DType::U8, 0.03, 100);
        let codes = net.check();
        if shared {
            assert!(codes.contains(&OpCode::QuantizedConv) && codes.len() > 1);
        } else {
            assert_eq!(codes, [OpCode::QuantizedConv]);
        }
    }
}

#[test]
fn a_product_of_two_activations_becomes_integer() {
    let mut net = Net::new(77);
    let (a, b) = (
        net.input(DType::U8, &[3, 4, 16]),
        net.input(DType::I8, &[3, 7, 16]),
    );
    let (a, b) = (net.activation(a, 0.02, 120), net.activation(b, 0.03, 5));
    let b = net.push(PackB { trans: true }, &[b], &[3, 1, 16, 16]);
    let op = MatMul {
        alpha: 1.0,
        act: Activation::default(),
    };
    let y = net.push(op, &[a, b], &[3, 4, 7]);
    net.output(y, DType::I8, 0.15, 0);
    let codes = net.check();
    let expected = [OpCode::Transpose, OpCode::MatMulInteger, OpCode::Requantize];
    assert_eq!(codes, expected);
}

#[test]
fn sums_and_means_stay_eight_bits() {
    let mut net = Net::new(90);
    let (a, b) = (
        net.input(DType::U8, &[1, 6, 6, 8]),
        net.input(DType::U8, &[1, 6, 6, 8]),
    );
    let (a, b) = (net.activation(a, 0.02, 100), net.activation(b, 0.017, 140));
    let add = Binary {
        kind: BinaryKind::Add,
    };
    let y = net.push(add, &[a, b], &[1, 6, 6, 8]);
    let relu = Unary {
        kind: UnaryKind::Relu,
        a: 0.0,
        b: 0.0,
    };
    let y = net.push(relu, &[y], &[1, 6, 6, 8]);
    net.output(y, DType::U8, 0.02, 7);
    assert_eq!(net.check(), [OpCode::QuantizedAdd]);

    for (whole, pads) in [(true, 0), (false, 1)] {
        let mut net = Net::new(91);
        let a = net.input(DType::I8, &[2, 5, 5, 80]);
        let a = net.activation(a, 0.02, -100);
        let y = if whole {
            let op = Reduce {
                kind: ReduceKind::Mean,
                axes: axes(&[1, 2]),
            };
            net.push(op, &[a], &[2, 1, 1, 80])
        } else {
            let op = Pool {
                kind: PoolKind::Average,
                kernel: axes(&[3, 3]),
                strides: axes(&[2, 2]),
                dilations: axes(&[1, 1]),
                pads: axes(&[pads; 4]),
                ..Default::default()
            };
            net.push(op, &[a], &[2, 3, 3, 80])
        };
        net.output(y, DType::I8, 0.0083, -128);
        assert_eq!(net.check(), [OpCode::QuantizedAveragePool]);
    }
}

#[test]
fn movements_run_on_integers() {
    let mut net = Net::new(95);
    let (a, b) = (
        net.input(DType::U8, &[1, 6, 6, 8]),
        net.input(DType::U8, &[1, 3, 3, 8]),
    );
    let (a, b) = (net.activation(a, 0.02, 100), net.activation(b, 0.02, 100));
    let pool = Pool {
        kind: PoolKind::Max,
        kernel: axes(&[2, 2]),
        strides: axes(&[2, 2]),
        dilations: axes(&[1, 1]),
        pads: axes(&[0; 4]),
        ..Default::default()
    };
    let a = net.push(pool, &[a], &[1, 3, 3, 8]);
    let y = net.push(Concat { axis: 3 }, &[a, b], &[1, 3, 3, 16]);
    let y = net.push(Reshape {}, &[y], &[1, 144]);
    net.output(y, DType::U8, 0.02, 100);
    assert_eq!(net.check(), [OpCode::Pool, OpCode::Concat, OpCode::Reshape]);
}

#[test]
fn functions_of_one_operand_become_tables() {
    let unary = |kind, a, b| Unary { kind, a, b };
    // Another scale alone.
    let mut net = Net::new(96);
    let a = net.input(DType::U8, &[4, 50]);
    let a = net.activation(a, 0.02, 100);
    let perm = axes(&[1, 0]);
    let y = net.push(Transpose { perm }, &[a], &[50, 4]);
    net.output(y, DType::U8, 0.03, 100);
    assert_eq!(net.check(), [OpCode::Lookup, OpCode::Transpose]);

    for kind in [UnaryKind::HardSwish, UnaryKind::GeluErf, UnaryKind::Sigmoid] {
        let mut net = Net::new(97);
        let a = net.input(DType::I8, &[4, 50]);
        let a = net.activation(a, 0.05, -20);
        let y = net.push(unary(kind, 0.0, 0.0), &[a], &[4, 50]);
        let scale = if kind == UnaryKind::Sigmoid {
            0.004
        } else {
            0.03
        };
        net.output(y, DType::I8, scale, -100);
        assert_eq!(net.check(), [OpCode::Lookup]);
    }

    // x * clip(x + 3, 0, 6) / 6 step by step.
    let mut net = Net::new(98);
    let a = net.input(DType::U8, &[4, 50]);
    let a = net.activation(a, 0.05, 128);
    let (three, six) = (
        net.g.add_f32("three", &[1], &[3.0]),
        net.g.add_f32("six", &[], &[6.0]),
    );
    let binary = |kind| Binary { kind };
    let y = net.push(binary(BinaryKind::Add), &[a, three], &[4, 50]);
    let y = net.push(unary(UnaryKind::Clip, 0.0, 6.0), &[y], &[4, 50]);
    let y = net.push(binary(BinaryKind::Mul), &[a, y], &[4, 50]);
    let y = net.push(binary(BinaryKind::Div), &[y, six], &[4, 50]);
    net.output(y, DType::U8, 0.03, 10);
    assert_eq!(net.check(), [OpCode::Lookup]);

    // Of two operands there is no table.
    let mut net = Net::new(99);
    let (a, b) = (
        net.input(DType::U8, &[4, 50]),
        net.input(DType::U8, &[4, 50]),
    );
    let (a, b) = (net.activation(a, 0.02, 100), net.activation(b, 0.02, 100));
    let y = net.push(binary(BinaryKind::Sub), &[a, b], &[4, 50]);
    net.output(y, DType::U8, 0.03, 100);
    assert!(!net.check().contains(&OpCode::Lookup));
}

#[test]
fn products_of_two_operands_stay_eight_bits() {
    for (seed, b) in [[2, 6, 6, 8], [2, 1, 1, 8], [1, 1, 1, 8]]
        .iter()
        .enumerate()
    {
        for swapped in [false, true] {
            let mut net = Net::new(100 + seed as u64);
            let (a, b) = (net.input(DType::I8, &[2, 6, 6, 8]), net.input(DType::I8, b));
            let (a, b) = (net.activation(a, 0.02, 3), net.activation(b, 0.004, -128));
            let kind = BinaryKind::Mul;
            let operands = if swapped { [b, a] } else { [a, b] };
            let y = net.push(Binary { kind }, &operands, &[2, 6, 6, 8]);
            let relu = Unary {
                kind: UnaryKind::Relu,
                a: 0.0,
                b: 0.0,
            };
            let y = net.push(relu, &[y], &[2, 6, 6, 8]);
            net.output(y, DType::I8, 0.007, -60);
            assert_eq!(net.check(), [OpCode::QuantizedMul]);
        }
    }
}
