//! Operators of the engine against plain loops.

mod net;

use cygnet_format::op::*;
use cygnet_format::write::SymbolKind;
use cygnet_format::{DType, Dim, Dims, ExprOp, List, Op};
use cygnet_runtime::{Config, RunErrorKind, TensorId};
use net::*;

fn count(n: usize) -> Vec<f32> {
    (0..n).map(|v| v as f32).collect()
}

#[test]
fn movement() {
    let x = count(6);
    let t: Vec<f32> = run_one(
        Transpose {
            perm: axes(&[1, 0]),
        }
        .into(),
        &[(&[2, 3], &x)],
        DType::F32,
        &[3, 2],
    );
    assert_eq!(t, [0., 3., 1., 4., 2., 5.]);
    let starts = Dims::new(&[Dim(1), Dim(2)]).unwrap();
    let op = Slice {
        starts,
        steps: axes(&[-1, -2]),
    };
    let s: Vec<f32> = run_one(op.into(), &[(&[2, 3], &x)], DType::F32, &[2, 2]);
    assert_eq!(s, [5., 3., 2., 0.]);
    let c: Vec<f32> = run_one(
        Concat { axis: 1 }.into(),
        &[(&[2, 1], &x[..2]), (&[2, 0], &[]), (&[2, 2], &x[2..])],
        DType::F32,
        &[2, 3],
    );
    assert_eq!(c, [0., 2., 3., 1., 4., 5.]);
    let e: Vec<f32> = run_one(
        Expand {}.into(),
        &[(&[2, 1], &x[..2])],
        DType::F32,
        &[2, 2, 3],
    );
    assert_eq!(e, [0., 0., 0., 1., 1., 1., 0., 0., 0., 1., 1., 1.]);
    let t: Vec<f32> = run_one(Tile {}.into(), &[(&[2, 1], &x[..2])], DType::F32, &[4, 2]);
    assert_eq!(t, [0., 0., 1., 1., 0., 0., 1., 1.]);
    let op = Pad {
        before: Dims::new(&[Dim(0), Dim(2)]).unwrap(),
        mode: PadMode::Reflect,
    };
    let p: Vec<f32> = run_one(op.into(), &[(&[1, 3], &x[..3])], DType::F32, &[1, 6]);
    assert_eq!(p, [2., 1., 0., 1., 2., 1.]);
    let r: Vec<f32> = run_one(
        Range {}.into(),
        &[(&[], &[1.0]), (&[], &[4.0]), (&[], &[0.5])],
        DType::F32,
        &[6],
    );
    assert_eq!(r, [1., 1.5, 2., 2.5, 3., 3.5]);
    let big = noise(7 * 130 * 66, 3);
    let t: Vec<f32> = run_one(
        Transpose {
            perm: axes(&[0, 2, 1]),
        }
        .into(),
        &[(&[7, 130, 66], &big)],
        DType::F32,
        &[7, 66, 130],
    );
    for (b, i, j) in [(0, 0, 0), (3, 129, 65), (6, 64, 13)] {
        assert_eq!(t[(b * 66 + j) * 130 + i], big[(b * 130 + i) * 66 + j]);
    }
}

#[test]
fn elementwise() {
    let x = noise(70_000, 1);
    let y = noise(70_000, 2);
    let op = Binary {
        kind: BinaryKind::Sub,
    };
    let z: Vec<f32> = run_one(
        op.into(),
        &[(&[70_000], &x), (&[70_000], &y)],
        DType::F32,
        &[70_000],
    );
    assert!(
        z.iter()
            .zip(x.iter().zip(&y))
            .all(|(z, (x, y))| *z == x - y)
    );
    let z: Vec<u8> = run_one(
        Binary {
            kind: BinaryKind::Less,
        }
        .into(),
        &[(&[2, 1], &[1., 2.]), (&[2], &[2., 1.])],
        DType::Bool,
        &[2, 2],
    );
    assert_eq!(z, [1, 0, 0, 0]);
    let op = Unary {
        kind: UnaryKind::LeakyRelu,
        a: 0.5,
        b: 0.0,
    };
    let z: Vec<f32> = run_one(op.into(), &[(&[70_000], &x)], DType::F32, &[70_000]);
    assert!(
        z.iter()
            .zip(&x)
            .all(|(z, x)| *z == if *x < 0.0 { 0.5 * x } else { *x })
    );
    let z: Vec<u8> = run_one(
        Unary {
            kind: UnaryKind::IsNan,
            a: 0.0,
            b: 0.0,
        }
        .into(),
        &[(&[2], &[f32::NAN, 1.0])],
        DType::Bool,
        &[2],
    );
    assert_eq!(z, [1, 0]);
}

#[test]
fn chains_broadcast_like_single_steps() {
    let micro = |kind, code: u32, operand| Micro {
        kind,
        code,
        operand,
        a: 0.0,
        b: 0.0,
    };
    let (n, c) = (40, 900);
    let (x, full, channel, row) = (noise(n * c, 1), noise(n * c, 2), noise(c, 3), noise(n, 4));
    let steps = [
        micro(MicroKind::Binary, BinaryKind::Mul as u32, 1),
        micro(MicroKind::BinarySwapped, BinaryKind::Sub as u32, 2),
        micro(MicroKind::Unary, UnaryKind::Relu as u32, 0),
        micro(MicroKind::Binary, BinaryKind::Add as u32, 3),
    ];
    let op = Chain {
        steps: List::new(&steps).unwrap(),
    };
    for (dims, last) in [(&[c][..], &channel), (&[n, 1], &row), (&[n, c], &full)] {
        let inputs: [(&[usize], &[f32]); 4] = [
            (&[n, c], &x),
            (&[n, c], &full),
            (&[1], &[0.25]),
            (dims, last),
        ];
        let y: Vec<f32> = run_one(op.into(), &inputs, DType::F32, &[n, c]);
        let at = |i: usize| match dims.len() {
            1 => last[i % c],
            _ if dims[1] == 1 => last[i / c],
            _ => last[i],
        };
        let want: Vec<f32> = (0..n * c)
            .map(|i| (0.25 - x[i] * full[i]).max(0.0) + at(i))
            .collect();
        close(&y, &want, 1e-6);
    }
}

fn matmul(
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    a: impl Fn(usize, usize, usize) -> f32,
    b: impl Fn(usize, usize, usize) -> f32,
) -> Vec<f32> {
    let mut y = vec![0.0; batch * m * n];
    for (i, y) in y.iter_mut().enumerate() {
        let (b0, r, c) = (i / (m * n), i / n % m, i % n);
        *y = (0..k).map(|j| a(b0, r, j) * b(b0, j, c)).sum();
    }
    y
}

#[test]
fn matrix_products() {
    for (batch, m, k, n) in [
        (1, 1, 300, 700),
        (3, 5, 7, 17),
        (8, 40, 32, 33),
        (2, 200, 48, 16),
        (1, 0, 4, 4),
        (1, 4, 0, 4),
    ] {
        let (a, b) = (noise(batch * m * k, 1), noise(batch * k * n, 2));
        let packed: Vec<f32> = run_one(
            PackB { trans: false }.into(),
            &[(&[batch, k, n], &b)],
            DType::F32,
            &[batch, n.div_ceil(16), k, 16],
        );
        let op = MatMul {
            alpha: 2.0,
            act: Activation::default(),
        };
        let y: Vec<f32> = run_one(
            op.into(),
            &[
                (&[batch, m, k], &a),
                (&[batch, n.div_ceil(16), k, 16], &packed),
            ],
            DType::F32,
            &[batch, m, n],
        );
        let want = matmul(
            batch,
            m,
            k,
            n,
            |b0, r, j| 2.0 * a[(b0 * m + r) * k + j],
            |b0, j, c| b[(b0 * k + j) * n + c],
        );
        close(&y, &want, 1e-4);
        // One right operand for the whole batch, transposed before packing.
        let bt: Vec<f32> = (0..n * k)
            .map(|i| {
                b.get((i % k.max(1)) * n + i / k.max(1))
                    .copied()
                    .unwrap_or(0.0)
            })
            .collect();
        let packed: Vec<f32> = run_one(
            PackB { trans: true }.into(),
            &[(&[n, k], &bt)],
            DType::F32,
            &[n.div_ceil(16), k, 16],
        );
        let y: Vec<f32> = run_one(
            op.into(),
            &[(&[batch, m, k], &a), (&[n.div_ceil(16), k, 16], &packed)],
            DType::F32,
            &[batch, m, n],
        );
        let want = matmul(
            batch,
            m,
            k,
            n,
            |b0, r, j| 2.0 * a[(b0 * m + r) * k + j],
            |_, j, c| b[j * n + c],
        );
        close(&y, &want, 1e-4);
    }
}

#[test]
fn attention_agrees_with_its_general_case() {
    let (q, k, v, mask) = (
        noise(6 * 5 * 8, 1),
        noise(6 * 7 * 8, 2),
        noise(6 * 7 * 4, 3),
        noise(5 * 7, 4),
    );
    let inputs: [(&[usize], &[f32]); 4] = [
        (&[2, 3, 5, 8], &q),
        (&[2, 3, 7, 8], &k),
        (&[2, 3, 7, 4], &v),
        (&[5, 7], &mask),
    ];
    let attention = |softcap| Attention {
        scale: 0.3,
        causal: true,
        softcap,
    };
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
    net.step(
        Binary {
            kind: BinaryKind::Add,
        },
        &[x, other],
        sum,
    );
    let y = net.tensor(DType::F32, &[Dim(2), half]);
    net.step(
        Slice {
            starts: Dims::new(&[Dim(0), Dim(1)]).unwrap(),
            steps: axes(&[1, 2]),
        },
        &[sum],
        y,
    );
    let values = net.fixed(DType::I64, &[2]);
    net.step(
        DimValues {
            values: Dims::new(&[w, half]).unwrap(),
        },
        &[],
        values,
    );
    let mut program = net.write(&[y, values]);
    with_session(&mut program, Config::default(), |s| {
        assert_eq!(s.run().unwrap_err().kind, RunErrorKind::Unbound);
        assert_eq!(s.input_mut(0).unwrap_err().kind, RunErrorKind::Unbound);
        assert_eq!(
            s.set_input_shape(0, &[2, 65]).unwrap_err().kind,
            RunErrorKind::Range
        );
        assert_eq!(
            s.set_input_shape(0, &[3, 4]).unwrap_err().kind,
            RunErrorKind::Mismatch
        );
        assert_eq!(
            s.set_input_shape(0, &[2]).unwrap_err().kind,
            RunErrorKind::Rank
        );
        for w in [4usize, 64, 5, 1] {
            s.set_input_shape(0, &[2, w]).unwrap();
            assert_eq!(
                s.set_input_shape(1, &[w + 1]).unwrap_err().kind,
                RunErrorKind::Mismatch
            );
            s.set_input_shape(1, &[w]).unwrap();
            for (i, v) in s
                .input_mut(0)
                .unwrap()
                .as_mut_slice::<f32>()
                .unwrap()
                .iter_mut()
                .enumerate()
            {
                *v = i as f32;
            }
            s.input_mut(1)
                .unwrap()
                .as_mut_slice::<f32>()
                .unwrap()
                .fill(0.5);
            s.run().unwrap();
            let want: Vec<f32> = (0..2)
                .flat_map(|r| (0..w / 2).map(move |i| (r * w + 1 + 2 * i) as f32 + 0.5))
                .collect();
            assert_eq!(s.output(0).unwrap().as_slice::<f32>().unwrap(), want);
            assert_eq!(&*s.output(0).unwrap().shape, [2, w / 2]);
            assert_eq!(
                s.output(1).unwrap().as_slice::<i64>().unwrap(),
                [w as i64, (w / 2) as i64]
            );
        }
    });
}

#[test]
fn in_place_steps() {
    let mut net = Net::new();
    let x = net.fixed(DType::F32, &[8]);
    let x = net.input(x);
    let c = net.floats(&[8], &count(8));
    net.step(
        Unary {
            kind: UnaryKind::Neg,
            a: 0.0,
            b: 0.0,
        },
        &[x],
        x,
    );
    net.step(
        Binary {
            kind: BinaryKind::Sub,
        },
        &[c, x],
        x,
    );
    net.step(
        Softmax {
            axis: 0,
            kind: SoftmaxKind::Hard,
        },
        &[x],
        x,
    );
    let mut program = net.write(&[x]);
    with_session(&mut program, Config::default(), |s| {
        s.input_mut(0)
            .unwrap()
            .as_mut_slice::<f32>()
            .unwrap()
            .copy_from_slice(&[0., 9., 1., 1., 1., 1., 1., 1.]);
        s.run().unwrap();
        assert_eq!(
            s.output(0).unwrap().as_slice::<f32>().unwrap(),
            [0., 1., 0., 0., 0., 0., 0., 0.]
        );
    });
}

#[test]
fn wrong_shapes_are_errors() {
    let f = DType::F32;
    type Case = (Op, Vec<Vec<usize>>, DType, Vec<usize>);
    let cases: Vec<Case> = vec![
        (Reshape {}.into(), vec![vec![2, 3]], f, vec![5]),
        (
            Transpose {
                perm: axes(&[0, 0]),
            }
            .into(),
            vec![vec![2, 3]],
            f,
            vec![2, 2],
        ),
        (
            Transpose {
                perm: axes(&[-1, 0]),
            }
            .into(),
            vec![vec![2, 3]],
            f,
            vec![3, 2],
        ),
        (
            Slice {
                starts: Dims::new(&[Dim(2)]).unwrap(),
                steps: axes(&[1]),
            }
            .into(),
            vec![vec![3]],
            f,
            vec![2],
        ),
        (
            Slice {
                starts: Dims::new(&[Dim(i32::MAX)]).unwrap(),
                steps: axes(&[i32::MIN]),
            }
            .into(),
            vec![vec![3]],
            f,
            vec![2],
        ),
        (Concat { axis: -1 }.into(), vec![vec![2]], f, vec![2]),
        (
            Concat { axis: 0 }.into(),
            vec![vec![2], vec![2]],
            f,
            vec![3],
        ),
        (Expand {}.into(), vec![vec![2]], f, vec![3]),
        (Tile {}.into(), vec![vec![2]], f, vec![3]),
        (
            Binary {
                kind: BinaryKind::Add,
            }
            .into(),
            vec![vec![2], vec![3]],
            f,
            vec![3],
        ),
        (
            Binary {
                kind: BinaryKind::Add,
            }
            .into(),
            vec![vec![2], vec![2]],
            DType::I32,
            vec![2],
        ),
        (
            Binary {
                kind: BinaryKind::BitAnd,
            }
            .into(),
            vec![vec![2], vec![2]],
            f,
            vec![2],
        ),
        (
            MatMul {
                alpha: 1.0,
                act: Activation::default(),
            }
            .into(),
            vec![vec![2, 3], vec![1, 4, 16]],
            f,
            vec![2, 5],
        ),
        (
            PackB { trans: false }.into(),
            vec![vec![3, 17]],
            f,
            vec![1, 3, 16],
        ),
        (
            Softmax {
                axis: 9,
                kind: SoftmaxKind::Softmax,
            }
            .into(),
            vec![vec![2]],
            f,
            vec![2],
        ),
        (
            Chain {
                steps: List::new(&[Micro {
                    kind: MicroKind::Binary,
                    operand: 7,
                    ..Micro::default()
                }])
                .unwrap(),
            }
            .into(),
            vec![vec![2]],
            f,
            vec![2],
        ),
        (
            GroupNorm {
                groups: 0,
                epsilon: 0.0,
            }
            .into(),
            vec![vec![2, 2]],
            f,
            vec![2, 2],
        ),
        (
            LayerNorm {
                axis: 3,
                epsilon: 0.0,
                rms: false,
            }
            .into(),
            vec![vec![2, 2]],
            f,
            vec![2, 2],
        ),
        (
            Attention::default().into(),
            vec![vec![2, 2], vec![3, 2], vec![2, 2]],
            f,
            vec![2, 2],
        ),
        (
            Conv {
                kernel: axes(&[1, 1]),
                group: 0,
                ..Default::default()
            }
            .into(),
            vec![vec![1, 2, 2, 2], vec![1, 1, 2, 16]],
            f,
            vec![1, 2, 2, 2],
        ),
        (
            Conv {
                kernel: axes(&[i32::MAX, i32::MAX]),
                group: 1,
                ..Default::default()
            }
            .into(),
            vec![vec![1, 2, 2, 2], vec![1, 1, 2, 16]],
            f,
            vec![1, 2, 2, 2],
        ),
        (
            Pool_ {
                kernel: axes(&[0, 1]),
                ..Default::default()
            }
            .into(),
            vec![vec![1, 2, 2, 2]],
            f,
            vec![1, 2, 2, 2],
        ),
    ];
    use cygnet_format::op::Pool as Pool_;
    for (op, inputs, dtype, shape) in cases {
        let mut net = Net::new();
        let ids: Vec<TensorId> = inputs
            .iter()
            .map(|d| net.floats(d, &vec![0.0; d.iter().product()]))
            .collect();
        let y = net.fixed(dtype, &shape);
        net.step(op, &ids, y);
        let mut program = net.write(&[y]);
        with_session(&mut program, Config::default(), |s| {
            assert!(s.run().is_err(), "{op:?}")
        });
    }
}
