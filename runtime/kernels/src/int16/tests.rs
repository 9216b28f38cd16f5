//! Every body against the plain integer convolution and the plain requantisation, bit for bit.
use super::{Int16Conv, Operands};
use crate::integer::{self, ConvGeometry};
use crate::quantize::{self, Target, Term};
use crate::quantized::pack_weights;
use crate::tests::{Random, every_isa};
use crate::{Conv, Pool, PoolKind};
use std::{vec, vec::Vec};

fn value(rng: &mut Random) -> i16 {
    // Extremes often: they are where narrow arithmetic saturates.
    match rng.below(6) {
        0 => i16::MIN,
        1 => i16::MAX,
        _ => rng.below(1 << 16) as u16 as i16,
    }
}

fn values(rng: &mut Random, n: usize) -> Vec<i16> {
    (0..n).map(|_| value(rng)).collect()
}

fn bounds(rng: &mut Random) -> (i32, i32) {
    match rng.below(3) {
        0 => (0, 30_000),
        1 => (-20_000, 20_000),
        _ => (i16::MIN.into(), i16::MAX.into()),
    }
}

/// A geometry; depthwise when asked for.
fn geometry(rng: &mut Random, depthwise: bool) -> Conv {
    let pick = |rng: &mut Random, from: &[usize]| from[rng.below(from.len())];
    let sizes = [1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 31, 33, 48, 65, 130];
    let (i, o) = (pick(rng, &sizes), pick(rng, &sizes));
    let groups = pick(rng, &[1, 1, 1, 2, 3]);
    let mut conv = if depthwise {
        Conv::new_2d(1, [1, 1], i, i, [1, 1])
    } else {
        Conv::new_2d(1, [1, 1], i * groups, o * groups, [1, 1])
    };
    conv.groups = if depthwise { i } else { groups };
    conv.batch = 1 + rng.below(2);
    if !depthwise && rng.below(3) == 0 {
        conv.input = [1, 1 + rng.below(4), 1 + rng.below(9)];
        conv.output = conv.input;
        return conv;
    }
    for d in 0..3 {
        let (k, dilation) = match d {
            0 => (1 + rng.below(6) / 5, 1),
            _ => (pick(rng, &[1, 2, 3, 3, 3, 5]), 1 + rng.below(4) / 3),
        };
        (conv.kernel[d], conv.dilation[d]) = (k, dilation);
        conv.stride[d] = 1 + rng.below(3) / 2;
        conv.pad_begin[d] = rng.below(k.min(3));
        let reach = (k - 1) * dilation + 1;
        let padded = conv.pad_begin[d] + rng.below(k.min(3));
        conv.input[d] =
            (1 + rng.below(if d == 0 { 2 } else { 12 })).max(reach.saturating_sub(padded));
        conv.output[d] = (conv.input[d] + padded - reach) / conv.stride[d] + 1;
    }
    conv
}

fn volume(s: [usize; 3]) -> usize {
    s.iter().product()
}

/// The plain sums and results of a convolution with weights `[O, taps, C/G]`.
fn reference(p: &Int16Conv, x: &[i16], w: &[i8], bias: &[i32], multiplier: &[f32]) -> Vec<i16> {
    let c = &p.conv;
    let g = ConvGeometry {
        batch: c.batch,
        input: c.input,
        output: c.output,
        kernel: c.kernel,
        strides: c.stride,
        dilations: c.dilation,
        pads_before: c.pad_begin,
        channels: c.in_channels,
        outputs: c.out_channels,
        group: c.groups,
    };
    let mut acc = vec![0; c.batch * volume(c.output) * c.out_channels];
    integer::conv(&g, x, &[], w, &[], &mut acc).unwrap();
    let mut y = vec![0; acc.len()];
    let store = |v: i32| v as i16;
    quantize::requantize(
        c.out_channels,
        &acc,
        Some(bias),
        multiplier,
        0,
        p.bounds,
        store,
        &mut y,
    )
    .unwrap();
    y
}

fn check(depthwise: bool, cases: usize) {
    let mut rng = Random::new(7 + u64::from(depthwise));
    for case in 0..cases {
        let conv = geometry(&mut rng, depthwise);
        let p = Int16Conv {
            conv,
            bounds: bounds(&mut rng),
        };
        let (taps, o) = (volume(conv.kernel), conv.out_channels);
        let ig = conv.in_channels / conv.groups;
        let x = values(&mut rng, conv.batch * volume(conv.input) * conv.in_channels);
        let w: Vec<i8> = (0..o * taps * ig).map(|_| value(&mut rng) as i8).collect();
        let bias: Vec<i32> = (0..o).map(|_| i32::from(value(&mut rng)) * 99).collect();
        let scale = 40.0 / (taps * ig) as f32;
        let multiplier: Vec<f32> = (0..o)
            .map(|_| (1 + rng.below(1000)) as f32 * 1e-5 * scale)
            .collect();
        let expected = reference(&p, &x, &w, &bias, &multiplier);
        let weights = if depthwise {
            (0..taps * o).map(|i| w[i % o * taps + i / o]).collect()
        } else {
            let mut packed = vec![0; conv.quantized_len()];
            let weight = |o: usize, tap: usize, i: usize| w[(o * taps + tap) * ig + i];
            pack_weights(&conv, weight, &mut packed).unwrap();
            packed
        };
        let operands = Operands {
            x: &x,
            weights: &weights,
            bias: &bias,
            multiplier: &multiplier,
        };
        for k in every_isa() {
            let run = if depthwise {
                crate::Kernels::int16_depthwise
            } else {
                crate::Kernels::int16_conv
            };
            // In two parts, as threads do.
            let (row, half) = (conv.output[2] * o, conv.rows() / 2);
            let mut y = vec![99; expected.len()];
            let (a, b) = y.split_at_mut(half * row);
            run(&k, &p, &operands, a, 0..half).unwrap();
            run(&k, &p, &operands, b, half..conv.rows()).unwrap();
            assert!(y == expected, "{} case {case}: {conv:?}", k.name());
        }
    }
}

#[test]
fn dense_convolutions() {
    check(false, 400);
}

#[test]
fn depthwise_convolutions() {
    check(true, 200);
}

#[test]
fn long_sums_stay_exact() {
    // As many products of extremes as 32 bits hold.
    let conv = Conv::new_2d(1, [1, 5], 512, 3, [1, 1]);
    let x = vec![i16::MIN; 5 * 512];
    let mut packed = vec![0; conv.quantized_len()];
    pack_weights(&conv, |_, _, _| 127, &mut packed).unwrap();
    let p = Int16Conv {
        conv,
        bounds: (-32768, 32767),
    };
    for k in every_isa() {
        let operands = Operands {
            x: &x,
            weights: &packed,
            bias: &[0; 3],
            multiplier: &[1e-5; 3],
        };
        let mut y = vec![0; 15];
        k.int16_conv(&p, &operands, &mut y, 0..1).unwrap();
        assert_eq!(y, [-21307; 15], "{}", k.name());
    }
}

#[test]
fn sums_products_and_conversions() {
    let mut rng = Random::new(3);
    for n in [0, 1, 7, 8, 16, 33, 100] {
        let (a, b) = (values(&mut rng, n * 3), values(&mut rng, n * 3));
        let bounds = bounds(&mut rng);
        let target = Target {
            zero: 0,
            low: bounds.0,
            high: bounds.1,
        };
        let store = |v: i32| v as i16;
        let multipliers = [0.3, 1.7];
        let terms = multipliers.map(|multiplier| Term {
            zero: 0,
            multiplier,
        });
        let mut sum = vec![0; 3 * n];
        quantize::add(terms, &target, &a, &b, store, &mut sum).unwrap();
        let factors = quantize::Factors {
            a_zero: 0,
            b_zero: 0,
            multiplier: 3e-5,
        };
        let mut product = vec![0; 3 * n];
        if n > 0 {
            quantize::mul(&factors, &target, &a, &b[..n], store, &mut product).unwrap();
        }
        let floats: Vec<f32> = b.iter().map(|&v| f32::from(v) * 1.25e-3).collect();
        for k in every_isa() {
            let mut y = vec![5; 3 * n];
            k.int16_add(multipliers, bounds, Some(&a), &b, &mut y)
                .unwrap();
            assert_eq!(y, sum, "{}", k.name());
            y.copy_from_slice(&a);
            k.int16_add(multipliers, bounds, None, &b, &mut y).unwrap();
            assert_eq!(y, sum, "{}", k.name());
            k.int16_mul(3e-5, bounds, Some(&a), &b[..n], &mut y)
                .unwrap();
            assert_eq!(y, product, "{}", k.name());
            y.copy_from_slice(&a);
            k.int16_mul(3e-5, bounds, None, &b[..n], &mut y).unwrap();
            assert_eq!(y, product, "{}", k.name());
            let mut back = vec![0.0; 3 * n];
            k.dequantize_i16(&b, 1.25e-3, &mut back).unwrap();
            assert_eq!(back, floats, "{}", k.name());
            k.quantize_i16(&floats, 1.25e-3, &mut y).unwrap();
            assert_eq!(y, b, "{}", k.name());
        }
    }
    for k in every_isa() {
        let mut y = [1; 4];
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.5];
        k.quantize_i16(&x, 1.0, &mut y).unwrap();
        assert_eq!(y, [0, i16::MAX, i16::MIN, 2], "{}", k.name());
    }
}

#[test]
fn pools() {
    let mut rng = Random::new(4);
    for c in [1, 5, 32, 40, 70] {
        for kind in [
            PoolKind::Max,
            PoolKind::Average,
            PoolKind::AverageIncludePad,
        ] {
            let p = Pool {
                kind,
                batch: 2,
                input: [1, 5, 6],
                output: [1, 3, 3],
                channels: c,
                kernel: [1, 3, 2],
                stride: [1, 2, 2],
                dilation: [1, 1, 1],
                pad_begin: [0, 1, 0],
                pad_end: [0, 1, 0],
            };
            let x = values(&mut rng, 2 * 30 * c);
            let target = Target {
                zero: 0,
                low: -30000,
                high: 32767,
            };
            let mut expected = Vec::new();
            for i in 0..2 * 9 * c {
                let (ch, ox, oy, n) = (i % c, i / c % 3, i / c / 3 % 3, i / c / 9);
                let mut seen = Vec::new();
                for k in 0..6 {
                    let (y, x_at) = (2 * oy + k / 2, 2 * ox + k % 2);
                    if (1..6).contains(&y) {
                        seen.push(x[((n * 5 + y - 1) * 6 + x_at) * c + ch]);
                    }
                }
                expected.push(if kind == PoolKind::Max {
                    *seen.iter().max().unwrap()
                } else {
                    let count = if kind == PoolKind::Average {
                        seen.len()
                    } else {
                        6
                    };
                    let sum = seen.iter().map(|&v| i32::from(v)).sum();
                    quantize::mean(sum, count, 1.3, &target) as i16
                });
            }
            for k in every_isa() {
                let mut y = vec![0; expected.len()];
                k.int16_pool(&p, 1.3, (-30000, 32767), &x, &mut y, 0..p.rows())
                    .unwrap();
                assert_eq!(y, expected, "{} {kind:?} {c}", k.name());
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let conv = Conv::new_2d(1, [1, 2], 4, 4, [1, 1]);
    let weights = vec![0; conv.quantized_len()];
    let operands = Operands {
        x: &[0; 8],
        weights: &weights,
        bias: &[0; 4],
        multiplier: &[0.0; 4],
    };
    let k = crate::Kernels::best();
    for (bounds, len, rows) in [
        ((-40_000, 0), 8, 0..1),
        ((5, 4), 8, 0..1),
        ((0, 5), 7, 0..1),
        ((0, 5), 8, 0..2),
    ] {
        let p = Int16Conv { conv, bounds };
        assert!(
            k.int16_conv(&p, &operands, &mut vec![0; len], rows)
                .is_err()
        );
    }
    let short = Operands {
        bias: &[0; 3],
        ..operands
    };
    let p = Int16Conv {
        conv,
        bounds: (0, 5),
    };
    assert!(k.int16_conv(&p, &short, &mut [0; 8], 0..1).is_err());
}
