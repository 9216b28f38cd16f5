//! Definitions by example, and every kernel row against the plain functions.
use super::*;
use crate::Kernels;
use crate::tests::{Random, every_isa};
use std::vec::Vec;

#[test]
fn quantisation_rounds_half_to_even_and_saturates() {
    let layout = Layout {
        shape: [1, 6, 1],
        block: 0,
    };
    let mut y = [0u8; 6];
    quantize(
        &layout,
        &[0., 2., 3., 1000., -254., -1000.],
        &[2.0],
        &[128],
        (0, 255),
        0,
        |v| v as u8,
        &mut y,
    )
    .unwrap();
    assert_eq!(y, [128, 129, 130, 255, 1, 0]);
    let mut back = [0f32; 6];
    dequantize(&layout, &y, &[2.0], &[128], 0, &mut back).unwrap();
    assert_eq!(back, [0., 2., 4., 254., -254., -256.]);
}

#[test]
fn blocks_have_their_own_scales() {
    let layout = Layout {
        shape: [1, 4, 2],
        block: 2,
    };
    let mut y = [0f32; 8];
    dequantize(&layout, &[1i8; 8], &[1., 2., 3., 4.], &[], 0, &mut y).unwrap();
    assert_eq!(y, [1., 2., 1., 2., 3., 4., 3., 4.]);
}

#[test]
fn dynamic_range_includes_zero() {
    let mut y = [0u8; 6];
    let (scale, zero) = dynamic_quantize(&[0., 2., -3., -2.5, 1.34, 0.5], &mut y).unwrap();
    assert!((scale - 0.019607844).abs() < 1e-9);
    assert_eq!((zero, y), (153, [153, 255, 0, 26, 221, 179]));
}

#[test]
fn sums_round_once_and_are_clamped() {
    let terms = [
        Term {
            zero: 1,
            multiplier: 0.5,
        },
        Term {
            zero: -2,
            multiplier: 0.25,
        },
    ];
    let target = Target {
        zero: 3,
        low: 3,
        high: 60,
    };
    let (a, b) = ([2i8, -1, 127, -128], [0i8, -2, 127, -128]);
    let mut y = [0; 4];
    add(terms, &target, &a, &b, |v| v as i8, &mut y).unwrap();
    // 0.5 + 0.5, -1 + 0, 63 + 32.25, -64.5 - 31.5
    assert_eq!(y, [4, 3, 60, 3]);
    let mut z = a;
    add_in_place(terms, &target, &mut z, &b, |v| v as i8).unwrap();
    assert_eq!(z, y);
    assert!(add_in_place(terms, &target, &mut z, &b[1..], |v| v as i8).is_err());
    // A tie goes to the even integer before the zero point is added.
    assert_eq!(mean(10, 4, 1.0, &target), 5);
}

#[test]
fn requantisation_saturates() {
    let mut y = [0i8; 3];
    requantize(
        1,
        &[5, -3, i32::MAX],
        None,
        &[0.5],
        1,
        (-128, 127),
        |v| v as i8,
        &mut y,
    )
    .unwrap();
    assert_eq!(y, [3, -1, 127]);
}

/// Sizes around vectors of 4 to 64 lanes.
const SIZES: &[usize] = &[
    0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 300,
];

/// Floats that are ties, extremes, no numbers or ordinary, `n` of them.
fn floats(n: usize, rng: &mut Random) -> Vec<f32> {
    const AWKWARD: &[f32] = &[
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -126.5,
        -127.5,
        -128.5,
        127.5,
        255.5,
        0.49999997,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        4194303.5,
        8388609.0,
        -8388609.0,
        2147483648.0,
        -2147483648.0,
        1e19,
        -1e19,
    ];
    (0..n)
        .map(|_| match rng.below(3) {
            0 => AWKWARD[rng.below(AWKWARD.len())],
            1 => rng.next() * 300.0,
            _ => (rng.next() * 600.0).round() * 0.5,
        })
        .collect()
}

fn scales(n: usize, rng: &mut Random) -> Vec<f32> {
    const AWKWARD: &[f32] = &[
        0.0,
        -0.0,
        -0.75,
        f32::NAN,
        f32::INFINITY,
        1e-45,
        1e-38,
        f32::MAX,
    ];
    (0..n)
        .map(|_| match rng.below(4) {
            0 => AWKWARD[rng.below(AWKWARD.len())],
            1 => 0.5,
            _ => rng.next().abs() + 1e-3,
        })
        .collect()
}

/// Layouts of `n` elements in parts of every kind, with their numbers of scales.
fn layouts(n: usize) -> Vec<(Layout, usize)> {
    let layout = |shape, block| Layout { shape, block };
    std::vec![
        (layout([1, n, 1], 0), 1),
        (layout([2, n, 1], 0), n),
        (layout([2, 3, n], 0), 3),
        (layout([2, n, 1], 5), 2 * n.div_ceil(5)),
        (layout([2, 5, n], 2), 6 * n),
    ]
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter()
        .map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() })
        .collect()
}

#[test]
fn every_row_quantises_as_plain_code() {
    let mut rng = Random::new(31);
    let signed = |v: &[u8]| v.iter().map(|&b| b as i8).collect::<Vec<_>>();
    for k in every_isa() {
        for (n, case) in SIZES.iter().flat_map(|&n| (0..8).map(move |c| (n, c))) {
            for (layout, count) in layouts(n) {
                let x = floats(layout.shape.iter().product(), &mut rng);
                let scale = scales(count, &mut rng);
                let zero: Vec<u8> = (0..if case % 2 == 0 { count } else { 0 })
                    .map(|_| rng.below(256) as u8)
                    .collect();
                let what = std::format!("{} {layout:?} case {case}", k.name());
                let mut got = std::vec![0u8; x.len()];
                if case < 4 {
                    let range = if case < 2 { (0, 255) } else { (0, 15) };
                    let mut want = got.clone();
                    let wide = (range.0 as i64, range.1 as i64);
                    quantize(&layout, &x, &scale, &zero, wide, 0, |v| v as u8, &mut want).unwrap();
                    k.quantize(&layout, &x, &scale, &zero, false, range, &mut got)
                        .unwrap();
                    assert_eq!(got, want, "{what}");
                } else {
                    let range = if case < 6 { (-128, 127) } else { (-8, 7) };
                    let mut want = signed(&got);
                    let wide = (range.0 as i64, range.1 as i64);
                    let zeros = signed(&zero);
                    quantize(&layout, &x, &scale, &zeros, wide, 0, |v| v as i8, &mut want).unwrap();
                    k.quantize(&layout, &x, &scale, &zero, true, range, &mut got)
                        .unwrap();
                    assert_eq!(signed(&got), want, "{what}");
                }
            }
        }
    }
}

#[test]
fn every_row_dequantises_as_plain_code() {
    let mut rng = Random::new(32);
    for k in every_isa() {
        for (n, case) in SIZES.iter().flat_map(|&n| (0..4).map(move |c| (n, c))) {
            for (layout, count) in layouts(n) {
                let x: Vec<u8> = (0..layout.shape.iter().product())
                    .map(|_| rng.below(256) as u8)
                    .collect();
                let scale = scales(count, &mut rng);
                let zero: Vec<u8> = (0..if case % 2 == 0 { count } else { 0 })
                    .map(|_| rng.below(256) as u8)
                    .collect();
                let what = std::format!("{} {layout:?} case {case}", k.name());
                let (mut got, mut want) = (std::vec![0.0; x.len()], std::vec![0.0; x.len()]);
                k.dequantize(&layout, &x, &scale, &zero, case < 2, &mut got)
                    .unwrap();
                if case < 2 {
                    let (x, zero): (Vec<i8>, Vec<i8>) = (
                        x.iter().map(|&b| b as i8).collect(),
                        zero.iter().map(|&b| b as i8).collect(),
                    );
                    dequantize(&layout, &x, &scale, &zero, 0, &mut want).unwrap();
                } else {
                    dequantize(&layout, &x, &scale, &zero, 0, &mut want).unwrap();
                }
                assert_eq!(bits(&got), bits(&want), "{what}");
                let x: Vec<i32> = (0..x.len()).map(|_| sum(&mut rng)).collect();
                k.dequantize_i32(&layout, &x, &scale, &mut got).unwrap();
                dequantize(&layout, &x, &scale, &[], 0, &mut want).unwrap();
                assert_eq!(bits(&got), bits(&want), "{what}, 32 bits");
            }
        }
    }
}

/// A 32-bit integer: small, large or an extreme.
fn sum(rng: &mut Random) -> i32 {
    match rng.below(8) {
        0 => [i32::MAX, i32::MIN, 16_777_217, -16_777_219][rng.below(4)],
        1 => (rng.next() * i32::MAX as f32) as i32,
        _ => (rng.next() * 1000.0) as i32,
    }
}

#[test]
fn every_row_requantises_as_plain_code() {
    let mut rng = Random::new(33);
    for k in every_isa() {
        for (n, case) in SIZES.iter().flat_map(|&n| (0..8).map(move |c| (n, c))) {
            let acc: Vec<i32> = (0..3 * n).map(|_| sum(&mut rng)).collect();
            let bias: Vec<i32> = (0..n).map(|_| sum(&mut rng)).collect();
            let bias = (case % 2 == 0).then_some(&bias[..]);
            let multiplier = scales(if case % 4 < 2 { 1 } else { n }, &mut rng);
            let target = Target {
                zero: rng.below(256) as i32 - 128,
                low: [-128, -3][case / 4],
                high: [127, 90][case / 4],
            };
            let (mut got, mut want) = (std::vec![0u8; 3 * n], std::vec![0u8; 3 * n]);
            let range = (target.low, target.high);
            let store = |v| v as u8;
            requantize(
                n,
                &acc,
                bias,
                &multiplier,
                target.zero,
                range,
                store,
                &mut want,
            )
            .unwrap();
            k.requantize(n, &acc, bias, &multiplier, &target, &mut got)
                .unwrap();
            assert_eq!(got, want, "{} {n} {target:?} case {case}", k.name());
        }
    }
}

#[test]
fn every_row_adds_as_plain_code() {
    let mut rng = Random::new(34);
    for k in every_isa() {
        for (n, case) in SIZES.iter().flat_map(|&n| (0..16).map(move |c| (n, c))) {
            let signed = case % 2 == 0;
            let mut random =
                |n: usize| -> Vec<u8> { (0..n).map(|_| rng.below(256) as u8).collect() };
            let (a, b) = (random(n), random(n));
            let multipliers = scales(2, &mut rng);
            let terms = [0, 1].map(|i| Term {
                zero: rng.below(511) as i32 - 255,
                multiplier: multipliers[i] * if case < 4 { 1.0 } else { 1e-2 },
            });
            let (low, high) = if signed { (-128, 127) } else { (0, 255) };
            let cut = rng.below(2) as i32 * 40;
            let target = Target {
                zero: rng.below(256) as i32 + low,
                low: low + cut,
                high: high - cut,
            };
            let (mut got, mut want) = (std::vec![0u8; n], std::vec![0u8; n]);
            let mut in_place = a.clone();
            if signed {
                let as_signed = |v: &[u8]| v.iter().map(|&b| b as i8).collect::<Vec<_>>();
                let mut y = as_signed(&want);
                let (a, b) = (as_signed(&a), as_signed(&b));
                add(terms, &target, &a, &b, |v| v as i8, &mut y).unwrap();
                want = y.iter().map(|&v| v as u8).collect();
            } else {
                add(terms, &target, &a, &b, |v| v as u8, &mut want).unwrap();
            }
            k.quantized_add(terms, &target, signed, Some(&a), &b, &mut got)
                .unwrap();
            k.quantized_add(terms, &target, signed, None, &b, &mut in_place)
                .unwrap();
            assert_eq!(got, want, "{} {n} {terms:?} {target:?}", k.name());
            assert_eq!(in_place, want, "{} {n} {terms:?} in place", k.name());
        }
    }
}

#[test]
fn lengths_and_bounds_are_checked() {
    let k = Kernels::best();
    let layout = Layout {
        shape: [2, 3, 1],
        block: 0,
    };
    let (x, mut y, mut f) = ([0.0; 6], [0u8; 6], [0f32; 6]);
    let length = Err(KernelError::Length);
    let bytes = (0, 255);
    assert_eq!(
        k.quantize(&layout, &x, &[1.0; 2], &[], false, bytes, &mut y),
        length
    );
    assert_eq!(
        k.quantize(&layout, &x, &[1.0; 3], &[0], false, bytes, &mut y),
        length
    );
    assert_eq!(
        k.quantize(&layout, &x[1..], &[1.0], &[], false, bytes, &mut y[1..]),
        length
    );
    assert_eq!(
        k.quantize(&layout, &x, &[1.0], &[], false, bytes, &mut y[1..]),
        length
    );
    let parameter = Err(KernelError::Parameter);
    assert_eq!(
        k.quantize(&layout, &x, &[1.0], &[], true, bytes, &mut y),
        parameter
    );
    assert_eq!(
        k.dequantize(&layout, &y, &[1.0], &[], true, &mut f[1..]),
        length
    );
    assert_eq!(
        k.dequantize_i32(&layout, &[0; 5], &[1.0], &mut f[1..]),
        length
    );
    let far = Target {
        zero: 1 << 22,
        low: 0,
        high: 255,
    };
    assert_eq!(
        k.requantize(3, &[0; 6], None, &[1.0], &far, &mut y),
        parameter
    );
    let near = Target { zero: 0, ..far };
    assert_eq!(
        k.requantize(3, &[0; 6], None, &[1.0; 2], &near, &mut y),
        length
    );
    assert_eq!(
        k.requantize(0, &[0; 6], None, &[1.0], &near, &mut y),
        length
    );
    let term = Term {
        zero: 0,
        multiplier: 1.0,
    };
    let mut add = |term, a, b| k.quantized_add([term, term], &near, false, a, b, &mut y);
    assert_eq!(add(term, None, &[0; 5]), length);
    assert_eq!(add(term, Some(&[0; 5]), &[0; 6]), length);
    assert_eq!(add(Term { zero: 256, ..term }, None, &[0; 6]), parameter);
}

#[test]
fn every_row_multiplies_as_plain_code() {
    let mut rng = Random::new(35);
    for k in every_isa() {
        for (n, case) in SIZES.iter().flat_map(|&n| (0..16).map(move |c| (n, c))) {
            let signed = case % 2 == 0;
            let rows = [1, 3][case / 2 % 2];
            let mut random =
                |n: usize| -> Vec<u8> { (0..n).map(|_| rng.below(256) as u8).collect() };
            let (a, b) = (random(n * rows), random(n));
            let factors = Factors {
                a_zero: rng.below(511) as i32 - 255,
                b_zero: rng.below(511) as i32 - 255,
                multiplier: scales(1, &mut rng)[0] * if case < 4 { 1.0 } else { 1e-2 },
            };
            let (low, high) = if signed { (-128, 127) } else { (0, 255) };
            let cut = rng.below(2) as i32 * 40;
            let target = Target {
                zero: rng.below(256) as i32 + low,
                low: low + cut,
                high: high - cut,
            };
            let what = std::format!("{} {n} x {rows} {factors:?} {target:?}", k.name());
            let mut want = std::vec![0u8; a.len()];
            if signed {
                let of = |v: &[u8]| v.iter().map(|&b| b as i8).collect::<Vec<_>>();
                let mut y = of(&want);
                mul(&factors, &target, &of(&a), &of(&b), |v| v as i8, &mut y).unwrap();
                want = y.iter().map(|&v| v as u8).collect();
            } else {
                mul(&factors, &target, &a, &b, |v| v as u8, &mut want).unwrap();
            }
            let mut got = std::vec![0u8; a.len()];
            k.quantized_mul(&factors, &target, signed, Some(&a), &b, &mut got)
                .unwrap();
            assert_eq!(got, want, "{what}");
            got.copy_from_slice(&a);
            k.quantized_mul(&factors, &target, signed, None, &b, &mut got)
                .unwrap();
            assert_eq!(got, want, "{what} in place");
        }
    }
}

#[test]
fn tables_are_looked_up_by_bytes() {
    let table: Vec<u8> = (0..=255u8).map(|b| b.wrapping_mul(7) ^ 0x55).collect();
    let x: Vec<u8> = (0..1000).map(|i| (i * 31 % 256) as u8).collect();
    let want: Vec<u8> = x.iter().map(|&b| b.wrapping_mul(7) ^ 0x55).collect();
    let mut y = std::vec![0; x.len()];
    lookup(&table, Some(&x), &mut y).unwrap();
    assert_eq!(y, want);
    y.copy_from_slice(&x);
    lookup(&table, None, &mut y).unwrap();
    assert_eq!(y, want);
    assert!(lookup(&table[1..], None, &mut y).is_err());
    assert!(lookup(&table, Some(&x[1..]), &mut y).is_err());
}
