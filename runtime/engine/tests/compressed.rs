//! Products with weights of few bits against those with the same weights as floats, and hostile shapes of them.

mod net;

use cygnet_format::op::*;
use cygnet_format::{BlockId, DType, program::TensorId};
use cygnet_runtime::{Config, Features, Parallel, Pool};
use net::*;

const SILU: Activation = Activation {
    kind: ActivationKind::Silu,
    a: 0.0,
    b: 0.0,
};

fn words(n: usize, seed: u32) -> Vec<u8> {
    let high = noise(n, seed);
    let low = noise(n, seed + 1000);
    let half = |v: f32| ((v + 1.0) * 32767.0) as u32;
    let words = high
        .iter()
        .zip(&low)
        .map(|(&h, &l)| half(h) << 16 | half(l));
    words.flat_map(u32::to_le_bytes).collect()
}

fn halves(values: &[f32]) -> Vec<u8> {
    let narrow = values.iter().map(|&v| half::f16::from_f32(v));
    narrow.flat_map(|h| h.to_le_bytes()).collect()
}

/// A way to store weights.
#[derive(Clone, Copy, Debug)]
enum Way {
    Half,
    Integers {
        bits: u32,
        group: u32,
        offsets: bool,
    },
    Table {
        bits: u32,
    },
}

/// Operands of a matrix of `panels` panels: codes, scales, offsets, table.
fn weights(net: &mut Net, way: Way, panels: usize, k: usize) -> (u32, u32, [Option<TensorId>; 4]) {
    match way {
        Way::Half => {
            let bytes = halves(&noise(panels * k * 16, 5));
            let w = net.constant(DType::F16, &[panels, k, 16], &bytes);
            (16, 0, [Some(w), None, None, None])
        }
        Way::Integers {
            bits,
            group,
            offsets,
        } => {
            let rows = k.div_ceil(32 / bits as usize);
            let groups = if group == 0 {
                1
            } else {
                k.div_ceil(group as usize)
            };
            let w = net.constant(
                DType::U32,
                &[panels, rows, 16],
                &words(panels * rows * 16, 6),
            );
            let top = (1 << (bits - 1)) as f32;
            let scales: Vec<f32> = noise(panels * groups * 16, 7)
                .iter()
                .map(|v| v / top)
                .collect();
            let shape = [panels, groups, 16];
            let scales = net.constant(DType::F16, &shape, &halves(&scales));
            let offsets = offsets.then(|| {
                let values = halves(&noise(panels * groups * 16, 8));
                net.constant(DType::F16, &shape, &values)
            });
            (bits, group, [Some(w), Some(scales), offsets, None])
        }
        Way::Table { bits } => {
            let rows = k.div_ceil(32 / bits as usize);
            let w = net.constant(
                DType::U32,
                &[panels, rows, 16],
                &words(panels * rows * 16, 9),
            );
            let table = net.floats(&[panels, 1 << bits], &noise(panels << bits, 10));
            (bits, 0, [Some(w), None, None, Some(table)])
        }
    }
}

const WAYS: [Way; 6] = [
    Way::Half,
    Way::Integers {
        bits: 4,
        group: 32,
        offsets: false,
    },
    Way::Integers {
        bits: 4,
        group: 64,
        offsets: true,
    },
    Way::Integers {
        bits: 8,
        group: 0,
        offsets: false,
    },
    Way::Table { bits: 4 },
    Way::Table { bits: 8 },
];

#[test]
fn compressed_products_give_what_expanded_weights_give() {
    let pool = Pool::new(3);
    for way in WAYS {
        for (lead, k, n) in [
            (&[1][..], 100, 40usize),
            (&[2, 3], 64, 33),
            (&[300], 96, 70),
        ] {
            for parallel in [None, Some(&pool as &dyn Parallel)] {
                for features in [Features::NONE, Features::ALL] {
                    let panels = n.div_ceil(16);
                    let rows: usize = lead.iter().product();
                    let shape = |last: usize| [lead, &[last]].concat();
                    let mut net = Net::new();
                    let a = net.floats(&shape(k), &noise(rows * k, 1));
                    let bias = net.floats(&[n], &noise(n, 2));
                    let residual = net.floats(&shape(n), &noise(rows * n, 3));
                    let (bits, group, [w, scales, offsets, table]) =
                        weights(&mut net, way, panels, k);
                    let floats = net.fixed(DType::F32, &[panels, k, 16]);
                    let expand = ExpandWeights { bits, group };
                    net.step_in(
                        BlockId(0),
                        expand,
                        &[w, scales, offsets, table],
                        &[Some(floats)],
                    );
                    let want = net.fixed(DType::F32, &shape(n));
                    let plain = net.fixed(DType::F32, &[rows, n]);
                    let flat = net.floats(&[rows, k], &noise(rows * k, 1));
                    let flat_residual = net.floats(&[rows, n], &noise(rows * n, 3));
                    let op = MatMul {
                        alpha: 1.0,
                        act: SILU,
                    };
                    net.step(op, &[flat, floats, bias, flat_residual], plain);
                    net.step(Reshape {}, &[plain], want);
                    let got = net.fixed(DType::F32, &shape(n));
                    let scratch = net.fixed(DType::F32, &[2, k * 16]);
                    let op = CompressedMatMul {
                        bits,
                        group,
                        act: SILU,
                    };
                    let inputs = [
                        Some(a),
                        w,
                        scales,
                        offsets,
                        table,
                        Some(bias),
                        Some(residual),
                    ];
                    net.step_in(BlockId(0), op, &inputs, &[Some(got), Some(scratch)]);
                    let config = Config {
                        parallel,
                        features,
                        ..Config::default()
                    };
                    with_session(&mut net.write(&[want, got]), config, |s| {
                        s.run().unwrap();
                        let get = |i| s.output(i).unwrap().as_slice::<f32>().unwrap().to_vec();
                        let (want, got) = (get(0), get(1));
                        assert!(want.iter().any(|&v| v != 0.0));
                        close(&got, &want, 1e-4);
                    });
                }
            }
        }
    }
}

/// What differs from a step that runs.
#[derive(Clone, Copy)]
struct Wrong {
    bits: u32,
    group: u32,
    a: [usize; 2],
    w: [usize; 3],
    scales: [usize; 3],
    table: usize,
    bias: usize,
    y: [usize; 2],
    scratch: usize,
}

const RIGHT: Wrong = Wrong {
    bits: 4,
    group: 32,
    a: [2, 64],
    w: [2, 8, 16],
    scales: [2, 2, 16],
    table: 0,
    bias: 20,
    y: [2, 20],
    scratch: 64 * 16,
};

fn error(case: Wrong) -> Option<String> {
    let mut net = Net::new();
    let a = net.floats(&case.a, &noise(case.a.iter().product(), 1));
    let bytes = words(case.w.iter().product(), 2);
    let w = net.constant(DType::U32, &case.w, &bytes);
    let scales = net.floats(&case.scales, &noise(case.scales.iter().product(), 3));
    let table = (case.table > 0).then(|| net.floats(&[1, case.table], &noise(case.table, 4)));
    let bias = net.floats(&[case.bias], &noise(case.bias, 5));
    let y = net.fixed(DType::F32, &case.y);
    let scratch = net.fixed(DType::F32, &[1, case.scratch]);
    let op = CompressedMatMul {
        bits: case.bits,
        group: case.group,
        ..CompressedMatMul::default()
    };
    let inputs = [Some(a), Some(w), Some(scales), None, table, Some(bias)];
    net.step_in(BlockId(0), op, &inputs, &[Some(y), Some(scratch)]);
    with_session(&mut net.write(&[y]), Config::default(), |s| {
        s.run().err().map(|e| e.to_string())
    })
}

#[test]
fn hostile_shapes_are_errors() {
    assert_eq!(error(RIGHT), None);
    for (case, word) in [
        (Wrong { bits: 3, ..RIGHT }, "bits"),
        (Wrong { bits: 8, ..RIGHT }, "do not fit"),
        (Wrong { bits: 16, ..RIGHT }, "do not fit"),
        (Wrong { group: 8, ..RIGHT }, "multiple of 16"),
        (Wrong { group: 16, ..RIGHT }, "do not fit"),
        (
            Wrong {
                a: [2, 65],
                ..RIGHT
            },
            "do not fit",
        ),
        (
            Wrong {
                a: [3, 64],
                ..RIGHT
            },
            "[.., K]",
        ),
        (
            Wrong {
                w: [3, 8, 16],
                ..RIGHT
            },
            "do not fit",
        ),
        (
            Wrong {
                scales: [2, 1, 16],
                ..RIGHT
            },
            "do not fit",
        ),
        (Wrong { table: 16, ..RIGHT }, "scales or a table"),
        (Wrong { bias: 19, ..RIGHT }, "bias"),
        (
            Wrong {
                y: [2, 40],
                bias: 40,
                ..RIGHT
            },
            "do not fit",
        ),
        (
            Wrong {
                scratch: 64 * 16 - 1,
                ..RIGHT
            },
            "scratch",
        ),
    ] {
        let text = error(case).expect("an error");
        assert!(text.contains(word), "{text} does not name {word}");
    }
}

/// The definition, from integers.
fn dynamic(x: &[f32], w: &[i8], scale: &[f32], bias: &[f32], [m, k, n]: [usize; 3]) -> Vec<f32> {
    let mut y = Vec::new();
    for i in 0..m {
        let row = &x[i * k..][..k];
        let (lo, hi) = row
            .iter()
            .fold((0f32, 0f32), |(a, b), &v| (a.min(v), b.max(v)));
        let inverse = 255.0 / (hi - lo);
        let zero = (-128.0 - lo * inverse).round_ties_even() as i32;
        for j in 0..n {
            let sum: i32 = (0..k)
                .map(|c| {
                    let q = (row[c] * inverse).round_ties_even() as i32 + zero;
                    (q.clamp(-128, 127) - zero) * i32::from(w[c * n + j])
                })
                .sum();
            y.push(sum as f32 * ((hi - lo) / 255.0 * scale[j]) + bias[j]);
        }
    }
    y
}

#[test]
fn dynamic_products_are_exact_however_they_are_split() {
    let pool = Pool::new(3);
    for [m, k, n] in [[1, 50, 30], [7, 33, 100], [150, 64, 48]] {
        let x = noise(m * k, 1);
        let w: Vec<i8> = noise(k * n, 2).iter().map(|v| (v * 127.0) as i8).collect();
        let scale: Vec<f32> = noise(n, 3).iter().map(|v| v.abs() * 0.01).collect();
        let bias = noise(n, 4);
        let want = dynamic(&x, &w, &scale, &bias, [m, k, n]);
        let (panels, groups) = (n.div_ceil(16), k.div_ceil(4));
        let mut packed = vec![0u8; panels * groups * 64];
        for i in 0..k {
            for j in 0..n {
                packed[((j / 16 * groups + i / 4) * 16 + j % 16) * 4 + i % 4] = w[i * n + j] as u8;
            }
        }
        let sums: Vec<u8> = (0..n)
            .map(|j| (0..k).map(|i| i32::from(w[i * n + j])).sum::<i32>())
            .flat_map(i32::to_le_bytes)
            .collect();
        for parallel in [None, Some(&pool as &dyn Parallel)] {
            for (features, room) in [(Features::NONE, 0), (Features::ALL, 0), (Features::ALL, 1)] {
                let mut net = Net::new();
                let a = net.floats(&[m, k], &x);
                let weights = net.constant(DType::I8, &[panels, groups, 16, 4], &packed);
                let sums = net.constant(DType::I32, &[n], &sums);
                let (scale, bias) = (net.floats(&[n], &scale), net.floats(&[n], &bias));
                let y = net.fixed(DType::F32, &[m, n]);
                let scratch = net.fixed(DType::I32, &[m * (2 + 2 * groups) - room]);
                let inputs = [a, weights, sums, scale, bias].map(Some);
                let op = DynamicMatMul::default();
                net.step_in(BlockId(0), op, &inputs, &[Some(y), Some(scratch)]);
                let config = Config {
                    parallel,
                    features,
                    ..Config::default()
                };
                with_session(&mut net.write(&[y]), config, |s| {
                    if room > 0 {
                        let text = s.run().unwrap_err().to_string();
                        assert!(text.contains("scratch"), "{text}");
                        return;
                    }
                    s.run().unwrap();
                    assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), want);
                });
            }
        }
    }
}
