//! Unary, binary, chains.
use super::{Random, close, every_isa};
use crate::{Binary, Broadcast, KernelError, Step, Unary};
use std::{format, vec, vec::Vec};

type Oracle = fn(f64) -> f64;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Operator, double-precision oracle, whether the tolerance is relative throughout (else absolute below 1).
fn unary_cases() -> Vec<(Unary, Oracle, bool)> {
    vec![
        (Unary::Abs, f64::abs, true),
        (Unary::Neg, |x| -x, true),
        (
            Unary::Sign,
            |x| {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x
                }
            },
            true,
        ),
        (Unary::Floor, f64::floor, true),
        (Unary::Ceil, f64::ceil, true),
        (Unary::Round, f64::round_ties_even, true),
        (Unary::Trunc, f64::trunc, true),
        (Unary::Sqrt, f64::sqrt, true),
        (Unary::Rsqrt, |x| 1.0 / x.sqrt(), true),
        (Unary::Reciprocal, |x| 1.0 / x, true),
        (Unary::Square, |x| x * x, true),
        (Unary::Exp, f64::exp, true),
        (Unary::Log, f64::ln, true),
        (Unary::Sigmoid, sigmoid, true),
        (Unary::Tanh, f64::tanh, true),
        (Unary::Erf, libm::erf, true),
        (Unary::Relu, |x| if x < 0.0 { 0.0 } else { x }, true),
        (
            Unary::LeakyRelu(0.25),
            |x| if x < 0.0 { 0.25 * x } else { x },
            true,
        ),
        (Unary::Clip(-1.5, 2.0), |x| x.clamp(-1.5, 2.0), true),
        (
            Unary::Elu(0.5),
            |x| if x < 0.0 { 0.5 * x.exp_m1() } else { x },
            true,
        ),
        (
            Unary::Selu(1.5, 2.0),
            |x| 2.0 * if x < 0.0 { 1.5 * x.exp_m1() } else { x },
            true,
        ),
        (
            Unary::Celu(2.0),
            |x| x.max(0.0) + (2.0 * (x / 2.0).exp_m1()).min(0.0),
            true,
        ),
        (
            Unary::ThresholdedRelu(0.5),
            |x| if x > 0.5 { x } else { 0.0 },
            true,
        ),
        (
            Unary::Gelu,
            |x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
            false,
        ),
        (
            Unary::GeluTanh,
            |x| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x)).tanh()),
            false,
        ),
        (Unary::Silu, |x| x * sigmoid(x), true),
        (Unary::Swish(0.5), |x| x * sigmoid(0.5 * x), true),
        (
            Unary::HardSwish,
            |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            false,
        ),
        (
            Unary::HardSigmoid(0.25, 0.5),
            |x| (x * 0.25 + 0.5).clamp(0.0, 1.0),
            true,
        ),
        (
            Unary::Softplus,
            |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            true,
        ),
        (Unary::Softsign, |x| x / (1.0 + x.abs()), true),
        (
            Unary::Mish,
            |x| x * (x.max(0.0) + (-x.abs()).exp().ln_1p()).tanh(),
            true,
        ),
        (Unary::Affine(2.0, 0.5), |x| 2.0 * x + 0.5, false),
        (
            Unary::Shrink(0.5, 0.25),
            |x| {
                if x < -0.5 {
                    x + 0.25
                } else if x > 0.5 {
                    x - 0.25
                } else {
                    0.0
                }
            },
            true,
        ),
        (Unary::Sin, f64::sin, false),
        (Unary::Cos, f64::cos, false),
        (Unary::Tan, f64::tan, false),
        (Unary::Asin, f64::asin, true),
        (Unary::Acos, f64::acos, false),
        (Unary::Atan, f64::atan, true),
        (Unary::Sinh, f64::sinh, true),
        (Unary::Cosh, f64::cosh, true),
        (Unary::Asinh, f64::asinh, true),
        (Unary::Acosh, f64::acosh, false),
        (Unary::Atanh, f64::atanh, false),
    ]
}

#[test]
fn unary_matches_reference() {
    let mut rng = Random::new(21);
    let mut points: Vec<f32> = vec![
        0.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1.0, -1.0, 3.0, -3.0, 0.625, 0.9, 1e-6, -1e-6, 1e-30, 16.5,
        -16.5, 80.0, -80.0,
    ];
    for scale in [0.01f32, 0.5, 1.0, 4.0, 12.0, 40.0] {
        points.extend(rng.vec(700).iter().map(|v| v * scale));
    }
    for kernels in every_isa() {
        for (op, oracle, relative) in unary_cases() {
            let mut y = vec![f32::NAN; points.len()];
            kernels.unary(op, &points, &mut y).unwrap();
            for (&x, &got) in points.iter().zip(&y) {
                let want = oracle(x as f64);
                // Results below the normal range are flushed or rounded by design of the clamped exponential.
                let floor = if relative { 1e-37 } else { 1.0 };
                let ok = (want.is_nan() && got.is_nan())
                    || got as f64 == want
                    || (got as f64 - want).abs() <= 1e-6 * want.abs().max(floor);
                assert!(
                    ok,
                    "{} {op:?}({x}) is {got}, expected {want}",
                    kernels.name()
                );
            }
            // Every length around the lane counts, in place as well, and nothing beyond the end.
            for n in [0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33] {
                let mut z = points[..n + 1].to_vec();
                kernels.unary_inplace(op, &mut z[..n]);
                for i in 0..n {
                    let same = z[i] == y[i]
                        || (z[i].is_nan() && y[i].is_nan())
                        || (z[i] - y[i]).abs() <= 1e-6 * y[i].abs();
                    assert!(same, "{} {op:?} tail of {n}", kernels.name());
                }
                assert_eq!(z[n], points[n]);
            }
        }
    }
}

#[test]
fn special_values() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = [0.0, -0.0, inf, -inf, nan, 1e-40, 100.0, -110.0, -95.0];
    for kernels in every_isa() {
        let run = |op| {
            let mut y = x;
            kernels.unary_inplace(op, &mut y);
            y
        };
        let exp = run(Unary::Exp);
        assert_eq!(&exp[..4], &[1.0, 1.0, inf, 0.0], "{}", kernels.name());
        assert!(
            exp[4].is_nan()
                && exp[6] == inf
                && exp[7] == 0.0
                && (exp[8] / 5.52e-42 - 1.0).abs() < 0.01,
            "{exp:?}"
        );
        let log = run(Unary::Log);
        assert!(
            log[0] == -inf && log[1] == -inf && log[2] == inf && log[3].is_nan() && log[4].is_nan()
        );
        assert!((log[5] + 92.10341).abs() < 1e-4, "{}", log[5]);
        for op in [
            Unary::Relu,
            Unary::Tanh,
            Unary::Sigmoid,
            Unary::Erf,
            Unary::Abs,
            Unary::Gelu,
            Unary::Sign,
        ] {
            assert!(run(op)[4].is_nan(), "{} {op:?}(NaN)", kernels.name());
        }
        assert_eq!(run(Unary::Tanh)[2..4], [1.0, -1.0]);
        assert_eq!(run(Unary::Erf)[2..4], [1.0, -1.0]);
        assert_eq!(run(Unary::Sigmoid)[2], 1.0);
        assert!(run(Unary::Sigmoid)[3].abs() < 1e-37);
    }
}

fn apply(op: Binary, x: f32, y: f32) -> f64 {
    let (a, b) = (x as f64, y as f64);
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow => a.powf(b),
        Binary::Fmod => a % b,
        Binary::FloorMod => a - b * (a / b).floor(),
        Binary::Prelu => {
            if a < 0.0 {
                a * b
            } else {
                a
            }
        }
        Binary::SquaredDifference => (a - b) * (a - b),
    }
}

const OPS: [Binary; 11] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Min,
    Binary::Max,
    Binary::Pow,
    Binary::Fmod,
    Binary::FloorMod,
    Binary::Prelu,
    Binary::SquaredDifference,
];

#[test]
fn binary_broadcasts_like_numpy() {
    let mut rng = Random::new(22);
    let shapes: [(&[usize], &[usize]); 14] = [
        (&[], &[]),
        (&[5], &[5]),
        (&[17], &[]),
        (&[], &[9]),
        (&[2, 3, 8], &[8]),
        (&[2, 3, 8], &[2, 1, 8]),
        (&[2, 3, 8], &[3, 1]),
        (&[4, 1], &[1, 19]),
        (&[2, 1, 3, 1], &[5, 1, 7]),
        (&[3, 1, 5], &[3, 4, 5]),
        (&[2, 2, 2, 2, 2, 2, 2, 2], &[2, 1, 2, 1, 2, 1, 2, 1]),
        (&[0, 3], &[1, 3]),
        (&[1, 6, 10], &[1, 6, 10]),
        (&[2, 33, 1], &[2, 33, 1]),
    ];
    for kernels in every_isa() {
        for (sx, sy) in shapes {
            for op in OPS {
                // Positive bases for powers, divisors away from zero.
                let positive = matches!(op, Binary::Pow);
                let x: Vec<f32> = rng
                    .vec(sx.iter().product())
                    .iter()
                    .map(|v| if positive { v.abs() + 0.1 } else { v * 4.0 })
                    .collect();
                let y: Vec<f32> = rng
                    .vec(sy.iter().product())
                    .iter()
                    .map(|v| if v.abs() < 0.1 { 0.75 } else { *v * 2.0 })
                    .collect();
                let b = Broadcast::new(sx, sy).unwrap();
                let rank = sx.len().max(sy.len());
                let dim = |s: &[usize], d: usize| {
                    if d + s.len() >= rank {
                        s[d + s.len() - rank]
                    } else {
                        1
                    }
                };
                let out: Vec<usize> = (0..rank)
                    .map(|d| {
                        if dim(sx, d) == 1 {
                            dim(sy, d)
                        } else {
                            dim(sx, d)
                        }
                    })
                    .collect();
                let n: usize = out.iter().product();
                assert_eq!(b.len(), n);
                let want: Vec<f64> = (0..n)
                    .map(|i| {
                        let (mut rest, mut ix, mut iy, mut mx, mut my) = (i, 0, 0, 1, 1);
                        for d in (0..rank).rev() {
                            let k = rest % out[d];
                            rest /= out[d];
                            ix += if dim(sx, d) == 1 { 0 } else { k * mx };
                            iy += if dim(sy, d) == 1 { 0 } else { k * my };
                            mx *= dim(sx, d);
                            my *= dim(sy, d);
                        }
                        apply(op, x[ix], y[iy])
                    })
                    .collect();
                let what = format!("{} {op:?} {sx:?} {sy:?}", kernels.name());
                let mut z = vec![f32::NAN; n];
                kernels.binary(op, &b, &x, &y, &mut z).unwrap();
                close(&z, &want, 2e-6, &what);
                if x.len() == n {
                    let mut z = x.clone();
                    kernels.binary_inplace(op, &b, &mut z, &y).unwrap();
                    close(&z, &want, 2e-6, &what);
                }
                if y.len() == n {
                    let mut z = y.clone();
                    kernels.binary_inplace_right(op, &b, &x, &mut z).unwrap();
                    close(&z, &want, 2e-6, &what);
                }
            }
        }
        let b = Broadcast::new(&[1, 4], &[3, 4]).unwrap();
        assert_eq!(
            kernels.binary_inplace(Binary::Add, &b, &mut [0.0; 12], &[0.0; 12]),
            Err(KernelError::Parameter)
        );
    }
    assert!(matches!(
        Broadcast::new(&[2, 3], &[4]),
        Err(KernelError::Parameter)
    ));
}

#[test]
fn chain_equals_its_steps() {
    let mut rng = Random::new(23);
    for kernels in every_isa() {
        for n in [0, 1, 20, 511, 512, 513, 1500] {
            let (x, t) = (rng.vec(n), rng.vec(n));
            let c = rng.vec(7);
            let steps = [
                Step::Scalar(Binary::Mul, 3.0),
                Step::Tensor(Binary::Add, &t),
                Step::Unary(Unary::Sigmoid),
                Step::Channel(Binary::Sub, &c),
                Step::ScalarLeft(Binary::Sub, 1.0),
                Step::TensorLeft(Binary::Sub, &t),
            ];
            let want: Vec<f64> = (0..n)
                .map(|i| {
                    let v = sigmoid(x[i] as f64 * 3.0 + t[i] as f64) - c[i % 7] as f64;
                    t[i] as f64 - (1.0 - v)
                })
                .collect();
            let mut y = vec![f32::NAN; n];
            kernels.chain(&steps, &x, &mut y).unwrap();
            close(&y, &want, 1e-6, &format!("{} chain {n}", kernels.name()));
            let mut z = x.clone();
            kernels.chain_inplace(&steps, &mut z).unwrap();
            assert_eq!(y, z);
        }
        assert_eq!(
            kernels.chain(&[Step::Channel(Binary::Add, &[])], &[0.0], &mut [0.0]),
            Err(KernelError::Length)
        );
        assert_eq!(
            kernels.chain_inplace(&[Step::Tensor(Binary::Add, &[1.0])], &mut [0.0; 2]),
            Err(KernelError::Length)
        );
    }
}
