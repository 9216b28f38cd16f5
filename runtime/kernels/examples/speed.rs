//! Micro-benchmark: time and arithmetic rate of layers of MobileNetV2 and ResNet-18, and of other shapes.
//! `cargo run --release -p cygnet-kernels --features std --example speed [FILTER] [ISA]`
use cygnet_kernels::movement::{self, Side};
use cygnet_kernels::quantize::{self, Layout, Target, Term};
use cygnet_kernels::quantized::{Operands, QuantizedConv, Requantize};
use cygnet_kernels::{
    Activation, Attention, Conv, Features, Gemm, Kernels, Pool, PoolKind, Unary, Winograd, conv,
    gemm,
};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let filter = args.first().cloned().unwrap_or_default();
    let wanted = args
        .get(1)
        .and_then(|n| Features::from_name(n))
        .unwrap_or(Features::ALL);
    let k = Kernels::for_features(wanted);
    println!("instruction set: {}", k.name());
    let report = |name: &str, flops: f64, f: &mut dyn FnMut()| {
        if name.contains(&filter) {
            measure(name, flops, "Gop/s", f);
        }
    };
    bytes(&k, &filter);
    for (m, n, d) in [
        (1, 1000, 512),
        (1, 1280, 1280),
        (49, 512, 512),
        (196, 256, 256),
        (384, 384, 384),
        (3136, 64, 64),
        (128, 3072, 768),
        (12544, 16, 32),
        (3136, 24, 96),
        (3136, 144, 24),
        (49, 320, 960),
        (48, 320, 960),
        (54, 320, 960),
        (49, 960, 160),
        (48, 960, 160),
        (49, 1280, 320),
        (196, 96, 576),
        (12544, 96, 16),
        (1, 1000, 1280),
    ] {
        let (a, b) = (vec![0.5f32; m * d], vec![0.25f32; d * n]);
        let mut packed = vec![0.0; gemm::packed_len(d, n)];
        gemm::pack_b(&b, d, n, n, 1, &mut packed).unwrap();
        let mut c = vec![0.0; m * n];
        let p = Gemm {
            activation: Activation::Relu,
            ..Gemm::new(m, n, d)
        };
        report(
            &format!("gemm {m}x{n}x{d}"),
            2.0 * (m * n * d) as f64,
            &mut || k.gemm(&p, &a, &packed, None, None, &mut c).unwrap(),
        );
    }
    for (size, ci, co, kernel, stride) in [
        (224, 3, 64, 7, 2),
        (224, 3, 32, 3, 2),
        (56, 64, 64, 3, 1),
        (56, 64, 128, 3, 2),
        (28, 128, 128, 3, 1),
        (14, 256, 256, 3, 1),
        (7, 512, 512, 3, 1),
        (56, 64, 128, 1, 2),
    ] {
        let mut p = Conv::new_2d(1, [size, size], ci, co, [kernel, kernel]);
        p.stride = [1, stride, stride];
        p.pad_begin = [0, kernel / 2, kernel / 2];
        p.output = [1, size / stride, size / stride];
        p.activation = Activation::Relu;
        let x = vec![0.5f32; size * size * ci];
        let mut w = vec![0.0; p.packed_len()];
        conv::pack_weights(&p, |_, _, _| 0.25, &mut w).unwrap();
        let bias = vec![0.1; co];
        let mut y = vec![0.0; p.rows() * p.output[2] * co];
        // Parts of rows, short enough to be timed between the switches of a busy machine.
        let rows = p.rows().min(14);
        let row = p.output[2] * co;
        let flops = 2.0 * (rows * row * ci * kernel * kernel) as f64;
        report(
            &format!("conv {size}x{size}x{ci} -> {co}, {kernel}x{kernel} /{stride}, {rows} rows"),
            flops,
            &mut || {
                k.conv(&p, &x, &w, Some(&bias), None, &mut y[..rows * row], 0..rows)
                    .unwrap();
            },
        );
    }
    let one: (usize, &cygnet_kernels::conv::winograd::Spread<'_>) = (1, &|n, f| (0..n).for_each(f));
    // Whole layers, direct and by Winograd's algorithm: size, channels in and out.
    for (size, ci, co) in [
        (56, 64, 64),
        (28, 128, 128),
        (14, 256, 256),
        (7, 512, 512),
        (55, 16, 64),
        (27, 32, 128),
        (13, 64, 256),
    ] {
        let mut conv = Conv::new_2d(1, [size, size], ci, co, [3, 3]);
        conv.pad_begin = [0, 1, 1];
        conv.output = conv.input;
        conv.activation = Activation::Relu;
        let x = vec![0.5f32; size * size * ci];
        let w = vec![0.25f32; conv.packed_len()];
        let bias = vec![0.1; co];
        let mut y = vec![0.0; size * size * co];
        let flops = 2.0 * (y.len() * ci * 9) as f64;
        let rows = conv.rows();
        report(
            &format!("layer {size}x{size}x{ci} -> {co}, direct"),
            flops,
            &mut || {
                k.conv(&conv, &x, &w, Some(&bias), None, &mut y, 0..rows)
                    .unwrap();
            },
        );
        for tiles in [25, 49, 98] {
            for depth in [16, 32, 64, 128] {
                let p = Winograd { conv, depth };
                let tiles = p.tiles().min(tiles);
                if depth > ci.next_multiple_of(16) {
                    continue;
                }
                let n = p.scratch(tiles, 1).unwrap();
                let mut scratch = vec![0.0; n];
                report(
                    &format!(
                        "layer {size}x{size}x{ci} -> {co}, tiles {tiles} depth {depth} ({} KiB)",
                        n / 256
                    ),
                    flops,
                    &mut || {
                        k.winograd(&p, &x, &w, Some(&bias), None, &mut y, &mut scratch, one)
                            .unwrap();
                    },
                );
            }
        }
    }
    for (size, c, kernel, stride) in [
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (56, 144, 3, 1),
        (28, 192, 3, 1),
        (14, 384, 3, 1),
        (14, 576, 3, 2),
        (7, 960, 3, 1),
        (28, 240, 5, 1),
        (28, 240, 5, 2),
    ] {
        let mut p = Conv::new_2d(1, [size, size], c, c, [kernel, kernel]);
        p.groups = c;
        p.stride = [1, stride, stride];
        p.pad_begin = [0, kernel / 2, kernel / 2];
        p.output = [1, size / stride, size / stride];
        p.activation = Activation::Clip(0.0, 6.0);
        let x = vec![0.5f32; size * size * c];
        let w = vec![0.25; kernel * kernel * c];
        let bias = vec![0.1; c];
        let mut y = vec![0.0; p.rows() * p.output[2] * c];
        let flops = 2.0 * (p.rows() * p.output[2] * c * kernel * kernel) as f64;
        report(
            &format!("depthwise {size}x{size}x{c}, {kernel}x{kernel} /{stride}"),
            flops,
            &mut || {
                k.depthwise(&p, &x, &w, Some(&bias), None, &mut y, 0..p.rows())
                    .unwrap();
            },
        );
    }
    // Layers of MobileNetV2 and ResNet-18 in 8 bits: size, channels in and out, kernel, stride, depthwise.
    for (size, ci, co, kernel, stride, depthwise) in [
        (224, 3, 32, 3, 2, false),
        (224, 3, 64, 7, 2, false),
        (112, 16, 96, 1, 1, false),
        (56, 96, 24, 1, 1, false),
        (56, 24, 144, 1, 1, false),
        (28, 192, 32, 1, 1, false),
        (14, 64, 384, 1, 1, false),
        (14, 384, 64, 1, 1, false),
        (14, 576, 96, 1, 1, false),
        (7, 160, 960, 1, 1, false),
        (7, 960, 160, 1, 1, false),
        (7, 320, 1280, 1, 1, false),
        (1, 1280, 1000, 1, 1, false),
        (56, 64, 64, 3, 1, false),
        (28, 128, 128, 3, 1, false),
        (14, 256, 256, 3, 1, false),
        (7, 512, 512, 3, 1, false),
        (112, 32, 32, 3, 1, true),
        (112, 96, 96, 3, 2, true),
        (56, 144, 144, 3, 1, true),
        (28, 192, 192, 3, 1, true),
        (14, 384, 384, 3, 1, true),
        (7, 960, 960, 3, 1, true),
        (28, 240, 240, 5, 1, true),
    ] {
        let mut conv = Conv::new_2d(1, [size, size], ci, co, [kernel, kernel]);
        conv.groups = if depthwise { ci } else { 1 };
        conv.stride = [1, stride, stride];
        conv.pad_begin = [0, kernel / 2, kernel / 2];
        conv.output = [1, size.div_ceil(stride), size.div_ceil(stride)];
        let depth = kernel * kernel * if depthwise { 1 } else { ci };
        let x = vec![3u8; size * size * ci];
        let weights = vec![
            1i8;
            if depthwise {
                depth * co
            } else {
                conv.quantized_len()
            }
        ];
        let (start, multiplier) = (vec![7; 2 * co], vec![0.01; co]);
        let mut y = vec![0u8; conv.rows() * conv.output[2] * co];
        let flops = 2.0 * (y.len() * depth) as f64;
        let p = QuantizedConv {
            conv,
            signed: false,
            x_zero: 0,
            requantize: Requantize {
                zero: 0,
                low: 0,
                high: 255,
                sum: Default::default(),
            },
        };
        let o = Operands {
            x: &x,
            weights: &weights,
            start: &start,
            multiplier: &multiplier,
            residual: None,
        };
        let kind = if depthwise { "depthwise" } else { "conv" };
        report(
            &format!("int8 {kind} {size}x{size}x{ci} -> {co}, {kernel}x{kernel} /{stride}"),
            flops,
            &mut || {
                let rows = 0..p.conv.rows();
                if depthwise {
                    k.quantized_depthwise(&p, &o, &mut y, rows).unwrap();
                } else {
                    k.quantized_conv(&p, &o, &mut y, rows).unwrap();
                }
            },
        );
    }
    let p = Pool {
        kind: PoolKind::Max,
        batch: 1,
        input: [1, 112, 112],
        channels: 64,
        output: [1, 56, 56],
        kernel: [1, 3, 3],
        stride: [1, 2, 2],
        dilation: [1; 3],
        pad_begin: [0, 1, 1],
        pad_end: [0, 1, 1],
    };
    let (x, mut y) = (vec![0.5f32; 112 * 112 * 64], vec![0.0; 56 * 56 * 64]);
    report(
        "max pool 112x112x64, 3x3 /2",
        (56 * 56 * 64 * 9) as f64,
        &mut || k.pool(&p, &x, &mut y, 0..56).unwrap(),
    );
    let (x, mut y) = (vec![0.5f32; 100_000], vec![0.0; 100_000]);
    for op in [
        Unary::Relu,
        Unary::Exp,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Erf,
        Unary::Gelu,
        Unary::Log,
    ] {
        report(&format!("unary {op:?} of 100000"), 1e5, &mut || {
            k.unary(op, &x, &mut y).unwrap()
        });
    }
    report("softmax 100 x 1000", 1e5, &mut || {
        k.softmax(100, 1000, 1, false, &x, &mut y).unwrap()
    });
    report("layer norm 130 x 768", 1e5, &mut || {
        k.layer_norm(
            130,
            768,
            1e-5,
            None,
            None,
            &x[..130 * 768],
            &mut y[..130 * 768],
        )
        .unwrap()
    });
    let p = Attention {
        queries: 128,
        keys: 128,
        depth: 64,
        value_depth: 64,
        q_stride: 64,
        k_stride: 64,
        v_stride: 64,
        out_stride: 64,
        mask_stride: 0,
        scale: 0.125,
        causal: None,
    };
    let x = vec![0.5f32; 128 * 64];
    let mut y = vec![0.0; 128 * 64];
    report(
        "attention 128 x 128 x 64",
        4.0 * (128 * 128 * 64) as f64,
        &mut || k.attention(&p, &x, &x, &x, None, &mut y).unwrap(),
    );
}

/// Prints the least time of `f` and the rate of `amount` in `unit`, which counts thousands of millions a second.
fn measure(name: &str, amount: f64, unit: &str, f: &mut dyn FnMut()) {
    f();
    let (mut best, mut runs) = (f64::MAX, 0);
    let start = Instant::now();
    while runs < 5 || (start.elapsed().as_millis() < 150 && runs < 2000) {
        let t = Instant::now();
        f();
        best = best.min(t.elapsed().as_secs_f64());
        runs += 1;
    }
    println!(
        "{name:44} {:9.1} us  {:7.2} {unit}",
        best * 1e6,
        amount / best / 1e9
    );
}

/// Kernels that move bytes rather than compute: rates in bytes read and written, beside those of the plain functions.
fn bytes(k: &Kernels, filter: &str) {
    let report = |name: &str, bytes: usize, f: &mut dyn FnMut()| {
        if name.contains(filter) {
            measure(name, bytes as f64, "GB/s", f);
        }
    };
    const N: usize = 3 * 224 * 224;
    let floats: Vec<f32> = (0..N).map(|i| (i % 997) as f32 * 0.01 - 5.0).collect();
    let (mut q, mut f) = (vec![0u8; N], vec![0f32; N]);
    let one = Layout {
        shape: [1, N, 1],
        block: 0,
    };
    let columns = Layout {
        shape: [N / 96, 96, 1],
        block: 0,
    };
    report("bytes: quantize 3x224x224", 5 * N, &mut || {
        k.quantize(&one, &floats, &[0.02], &[120], false, (0, 255), &mut q)
            .unwrap()
    });
    report("bytes: quantize 3x224x224, plain", 5 * N, &mut || {
        let store = |v| v as u8;
        quantize::quantize(&one, &floats, &[0.02], &[120], (0, 255), 0, store, &mut q).unwrap()
    });
    report("bytes: dequantize 3x224x224", 5 * N, &mut || {
        k.dequantize(&one, &q, &[0.02], &[120], false, &mut f)
            .unwrap()
    });
    report("bytes: dequantize 3x224x224, plain", 5 * N, &mut || {
        quantize::dequantize(&one, &q, &[0.02], &[120], 0, &mut f).unwrap()
    });
    let (scale, zero) = (vec![0.02f32; 96], vec![120u8; 96]);
    report("bytes: dequantize 1568x96, columns", 5 * N, &mut || {
        k.dequantize(&columns, &q, &scale, &zero, false, &mut f)
            .unwrap()
    });
    let sums: Vec<i32> = (0..N as i32).map(|i| i % 9973 * 7 - 30_000).collect();
    report("bytes: dequantize 3x224x224 of i32", 8 * N, &mut || {
        k.dequantize_i32(&one, &sums, &[0.02], &mut f).unwrap()
    });
    let (bias, target) = (
        vec![7; 96],
        Target {
            zero: 120,
            low: 0,
            high: 255,
        },
    );
    report("bytes: requantize 1568x96", 5 * N, &mut || {
        k.requantize(96, &sums, Some(&bias), &scale, &target, &mut q)
            .unwrap()
    });
    report("bytes: requantize 1568x96, plain", 5 * N, &mut || {
        let (range, store) = ((0, 255), |v| v as u8);
        quantize::requantize(96, &sums, Some(&bias), &scale, 120, range, store, &mut q).unwrap()
    });
    let terms = [0.7, 1.3].map(|multiplier| Term {
        zero: 120,
        multiplier,
    });
    let other = q.clone();
    report("bytes: add 3x224x224 onto the first", 3 * N, &mut || {
        k.quantized_add(terms, &target, false, None, &other, &mut q)
            .unwrap()
    });
    report("bytes: add 3x224x224, plain", 3 * N, &mut || {
        quantize::add_in_place(terms, &target, &mut q, &other, |v| v as u8).unwrap()
    });
    for (name, kind, size, channels, kernel, stride) in [
        ("max", PoolKind::Max, 112, 64, 3, 2),
        ("average", PoolKind::Average, 56, 64, 3, 1),
        ("average", PoolKind::Average, 7, 1280, 7, 1),
        ("average", PoolKind::Average, 8, 24, 2, 2),
    ] {
        let pad = if kernel == 3 { 1 } else { 0 };
        let out = (size + 2 * pad - kernel) / stride + 1;
        let p = Pool {
            kind,
            batch: 1,
            input: [1, size, size],
            channels,
            output: [1, out, out],
            kernel: [1, kernel, kernel],
            stride: [1, stride, stride],
            dilation: [1; 3],
            pad_begin: [0, pad, pad],
            pad_end: [0, pad, pad],
        };
        let x = vec![3u8; size * size * channels];
        let mut y = vec![0u8; out * out * channels];
        let rows = 0..p.rows();
        report(
            &format!("bytes: {name} pool {size}x{size}x{channels}, {kernel}x{kernel} /{stride}"),
            x.len() + y.len(),
            &mut || {
                let rows = rows.clone();
                if kind == PoolKind::Max {
                    k.max_pool_bytes(&p, false, &x, &mut y, rows).unwrap();
                } else {
                    let of = (120, 0.8);
                    k.quantized_average_pool(&p, false, of, &target, &x, &mut y, rows)
                        .unwrap();
                }
            },
        );
    }
    for size in [1, 4] {
        let (x, mut y) = (vec![3u8; N * size], vec![0u8; N * size]);
        let shape = [224 * 224, 3];
        let from = Side {
            offset: 0,
            strides: &[1, 224 * 224],
        };
        let name = format!("bytes: 3 planes to pixels, {size} bytes");
        report(&name, 2 * N * size, &mut || {
            k.dense_copy(size, &shape, &x, from, &mut y).unwrap()
        });
        report(&format!("{name}, plain"), 2 * N * size, &mut || {
            movement::dense_copy(size, &shape, &x, from, &mut y).unwrap()
        });
    }
}
