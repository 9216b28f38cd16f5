//! Pooling, softmax, normalisation, attention, permutation.
use super::{Random, close, every_isa, reference};
use crate::{Attention, Pool, PoolKind, movement};
use std::{format, vec, vec::Vec};

#[test]
fn pool_matches_reference() {
    let mut rng = Random::new(11);
    for kernels in every_isa() {
        for case in 0..150 {
            let kind = [
                PoolKind::Max,
                PoolKind::Average,
                PoolKind::AverageIncludePad,
            ][case % 3];
            let mut p = Pool {
                kind,
                batch: 1 + rng.below(2),
                input: [1; 3],
                channels: [1, 3, 8, 15, 16, 17, 40][rng.below(7)],
                output: [1; 3],
                kernel: [1; 3],
                stride: [1; 3],
                dilation: [1; 3],
                pad_begin: [0; 3],
                pad_end: [0; 3],
            };
            for d in 2 - case % 3..3 {
                p.input[d] = 2 + rng.below(7);
                p.kernel[d] = 1 + rng.below(3.min(p.input[d]));
                p.stride[d] = 1 + rng.below(2);
                p.dilation[d] = if p.kernel[d] * 2 < p.input[d] {
                    1 + rng.below(2)
                } else {
                    1
                };
                p.pad_begin[d] = rng.below(p.kernel[d]);
                p.pad_end[d] = rng.below(p.kernel[d]);
                let span = (p.kernel[d] - 1) * p.dilation[d] + 1;
                let room = p.input[d] + p.pad_begin[d] + p.pad_end[d] - span;
                p.output[d] = if rng.below(2) == 0 {
                    room / p.stride[d] + 1
                } else {
                    room.div_ceil(p.stride[d]) + 1
                };
            }
            let x = rng.vec(p.batch * p.input.iter().product::<usize>() * p.channels);
            let want = reference::pool(&p, &x);
            let row = p.output[2] * p.channels;
            let mut y = vec![f32::NAN; p.rows() * row];
            let half = p.rows() / 2;
            let (a, b) = y.split_at_mut(half * row);
            kernels.pool(&p, &x, a, 0..half).unwrap();
            kernels.pool(&p, &x, b, half..p.rows()).unwrap();
            close(&y, &want, 1e-6, &format!("{} {p:?}", kernels.name()));
        }
        for (batch, pixels, c) in [(1, 49, 70), (2, 1, 1), (3, 5, 64), (1, 10, 0), (0, 4, 4)] {
            let x = rng.vec(batch * pixels * c);
            let mut y = vec![f32::NAN; batch * c];
            kernels
                .global_average(batch, pixels, c, &x, &mut y)
                .unwrap();
            let want: Vec<f64> = (0..batch * c)
                .map(|i| {
                    (0..pixels)
                        .map(|p| x[(i / c * pixels + p) * c + i % c] as f64)
                        .sum::<f64>()
                        / pixels as f64
                })
                .collect();
            close(&y, &want, 1e-6, "global average");
        }
    }
}

#[test]
fn softmax_matches_reference() {
    let mut rng = Random::new(12);
    for kernels in every_isa() {
        for (outer, n, inner) in [
            (0, 3, 1),
            (2, 0, 1),
            (1, 1, 1),
            (3, 7, 1),
            (2, 8, 1),
            (2, 17, 1),
            (4, 100, 1),
            (2, 5, 3),
            (3, 4, 16),
            (1, 9, 21),
            (2, 3, 0),
        ] {
            for log in [false, true] {
                let x: Vec<f32> = rng
                    .vec(outer * n * inner)
                    .iter()
                    .map(|v| v * 20.0 + 90.0)
                    .collect();
                let want = reference::softmax(outer, n, inner, log, &x);
                let mut y = vec![f32::NAN; x.len()];
                kernels.softmax(outer, n, inner, log, &x, &mut y).unwrap();
                let what = format!("{} softmax {outer} {n} {inner} {log}", kernels.name());
                close(&y, &want, 2e-6, &what);
                let mut y = x.clone();
                kernels
                    .softmax_inplace(outer, n, inner, log, &mut y)
                    .unwrap();
                close(&y, &want, 2e-6, &what);
            }
        }
        // Small probabilities keep their relative precision.
        let mut y = [0.0f32, -40.0];
        kernels.softmax_inplace(1, 2, 1, false, &mut y).unwrap();
        assert!(
            (y[1] as f64 / (-40.0f64).exp() - 1.0).abs() < 1e-6,
            "{}",
            y[1]
        );
    }
}

#[test]
fn norms_match_reference() {
    let mut rng = Random::new(13);
    for kernels in every_isa() {
        for (rows, n) in [(0, 4), (3, 1), (2, 7), (2, 8), (3, 17), (2, 64), (1, 100)] {
            for which in 0..3 {
                let x: Vec<f32> = rng.vec(rows * n).iter().map(|v| v * 3.0 + 1.0).collect();
                let g = (which > 0).then(|| rng.vec(n));
                let b = (which > 1).then(|| rng.vec(n));
                let what = format!("{} norm {rows}x{n}", kernels.name());
                let want = reference::norm(n, 1e-5, g.as_deref(), b.as_deref(), true, &x);
                let mut y = vec![f32::NAN; x.len()];
                // A row of one element is all epsilon: rounding of x - mean is magnified.
                let tolerance = if n == 1 { 1e-3 } else { 5e-6 };
                kernels
                    .layer_norm(rows, n, 1e-5, g.as_deref(), b.as_deref(), &x, &mut y)
                    .unwrap();
                close(&y, &want, tolerance, &what);
                let mut y = x.clone();
                kernels
                    .layer_norm_inplace(rows, n, 1e-5, g.as_deref(), b.as_deref(), &mut y)
                    .unwrap();
                close(&y, &want, tolerance, &what);
                let want = reference::norm(n, 1e-5, g.as_deref(), None, false, &x);
                kernels
                    .rms_norm(rows, n, 1e-5, g.as_deref(), &x, &mut y)
                    .unwrap();
                close(&y, &want, 5e-6, &what);
            }
        }
    }
}

#[test]
fn attention_matches_reference() {
    let mut rng = Random::new(14);
    for kernels in every_isa() {
        for (queries, keys, depth, value_depth) in [
            (1, 1, 1, 1),
            (3, 5, 8, 8),
            (2, 63, 17, 33),
            (5, 64, 64, 64),
            (4, 130, 20, 70),
            (3, 0, 4, 4),
        ] {
            for variant in 0..4 {
                let p = Attention {
                    queries,
                    keys,
                    depth,
                    value_depth,
                    q_stride: depth,
                    k_stride: depth,
                    v_stride: value_depth,
                    out_stride: value_depth,
                    mask_stride: keys,
                    scale: 1.5 / (depth as f32).sqrt(),
                    causal: (variant == 1).then_some(keys / 2),
                };
                let (q, k, v) = (
                    rng.vec(queries * depth),
                    rng.vec(keys * depth),
                    rng.vec(keys * value_depth),
                );
                let mask: Option<Vec<f32>> = match variant {
                    2 => Some(rng.vec(queries * keys)),
                    // The first block of keys, and all keys of the last query, are masked out.
                    3 => Some(
                        (0..queries * keys)
                            .map(|i| {
                                if i % keys < 64.min(keys - 1) || i / keys == queries - 1 {
                                    f32::NEG_INFINITY
                                } else {
                                    0.5
                                }
                            })
                            .collect(),
                    ),
                    _ => None,
                };
                let want = reference::attention(&p, &q, &k, &v, mask.as_deref());
                let mut out = vec![f32::NAN; queries * value_depth];
                kernels
                    .attention(&p, &q, &k, &v, mask.as_deref(), &mut out)
                    .unwrap();
                close(&out, &want, 5e-6, &format!("{} {p:?}", kernels.name()));
            }
        }
    }
}

#[test]
fn permute_matches_index_arithmetic() {
    let mut rng = Random::new(15);
    for _ in 0..120 {
        let rank = 1 + rng.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + rng.below(6)).collect();
        let mut perm: Vec<usize> = (0..rank).collect();
        for i in (1..rank).rev() {
            perm.swap(i, rng.below(i + 1));
        }
        let n: usize = shape.iter().product();
        let x: Vec<u8> = (0..n as u16).flat_map(u16::to_le_bytes).collect();
        let mut y = vec![0u8; 2 * n];
        movement::transpose(2, &shape, &perm, &x, &mut y).unwrap();
        let out: Vec<usize> = perm.iter().map(|&d| shape[d]).collect();
        for (i, v) in y.chunks_exact(2).enumerate() {
            let v = u16::from_le_bytes([v[0], v[1]]);
            let (mut rest, mut at) = (i, vec![0; rank]);
            for d in (0..rank).rev() {
                at[perm[d]] = rest % out[d];
                rest /= out[d];
            }
            let want = at.iter().zip(&shape).fold(0, |a, (i, n)| a * n + i);
            assert_eq!(v as usize, want, "{shape:?} {perm:?}");
        }
    }
}
