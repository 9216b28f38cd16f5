//! Matrix products and convolutions. Tolerance: 1e-6 times the square root of the length of the sum.
use super::{Random, close, every_isa, reference};
use crate::{Activation, Conv, Gemm, KernelError, conv, gemm};
use std::{format, vec, vec::Vec};

const ACTIVATIONS: [Activation; 12] = [
    Activation::None,
    Activation::Relu,
    Activation::Clip(-0.5, 0.75),
    Activation::LeakyRelu(0.1),
    Activation::HardSwish,
    Activation::HardSigmoid(0.2, 0.5),
    Activation::Silu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Elu(0.7),
];

fn tolerance(k: usize) -> f64 {
    2e-6 * (k.max(1) as f64).sqrt()
}

#[test]
fn gemm_matches_reference() {
    let mut rng = Random::new(1);
    let sizes = [0, 1, 2, 3, 5, 6, 7, 8, 12, 13, 15, 16, 17, 31, 33, 50];
    for kernels in every_isa() {
        for case in 0..220 {
            let m = sizes[rng.below(sizes.len())];
            let n = sizes[rng.below(sizes.len())];
            let k = sizes[rng.below(sizes.len())];
            let act = ACTIVATIONS[case % ACTIVATIONS.len()];
            let alpha = if case % 3 == 0 { 0.5 } else { 1.0 };
            let (a, b) = (rng.vec(m * k), rng.vec(k * n));
            let bias = (case % 2 == 0).then(|| rng.vec(n));
            let residual = (case % 5 < 2).then(|| rng.vec(m * n));
            let want = reference::gemm(
                (m, n, k),
                alpha,
                act,
                &a,
                &b,
                bias.as_deref(),
                residual.as_deref(),
            );
            let mut packed = vec![0.0; gemm::packed_len(k, n)];
            gemm::pack_b(&b, k, n, n, 1, &mut packed).unwrap();
            let p = Gemm {
                alpha,
                activation: act,
                ..Gemm::new(m, n, k)
            };
            let mut c = vec![f32::NAN; m * n];
            kernels
                .gemm(
                    &p,
                    &a,
                    &packed,
                    bias.as_deref(),
                    residual.as_deref(),
                    &mut c,
                )
                .unwrap();
            let what = format!("{} gemm {m}x{n}x{k} {act:?}", kernels.name());
            close(&c, &want, tolerance(k), &what);
            // The same in parts, with rows of C further apart: what lies between stays untouched.
            let ldc = n + 3;
            let mut wide = vec![7.0f32; m * ldc];
            let p = Gemm { ldc, ..p };
            let (rm, pm) = (m / 2, p.panels() / 2);
            for rows in [0..rm, rm..m] {
                for panels in [0..pm, pm..p.panels()] {
                    // SAFETY: `wide` holds the whole C.
                    unsafe {
                        kernels
                            .gemm_part(
                                &p,
                                &a,
                                &packed,
                                bias.as_deref(),
                                residual.as_deref(),
                                wide.as_mut_ptr(),
                                rows.clone(),
                                panels,
                            )
                            .unwrap();
                    }
                }
            }
            for (r, row) in wide.chunks(ldc).enumerate() {
                close(&row[..n], &want[r * n..(r + 1) * n], tolerance(k), &what);
                assert!(
                    row[n..].iter().all(|&v| v == 7.0),
                    "{what}: wrote beyond the columns"
                );
            }
        }
    }
}

#[test]
fn long_sums_and_single_rows() {
    let mut rng = Random::new(2);
    for kernels in every_isa() {
        for (m, n, k) in [
            (1, 100, 1031),
            (1, 17, 3),
            (2, 40, 700),
            (70, 20, 600),
            (3, 16, 2),
        ] {
            let (a, b) = (rng.vec(m * k), rng.vec(k * n));
            let want = reference::gemm((m, n, k), 1.0, Activation::None, &a, &b, None, None);
            let mut packed = vec![0.0; gemm::packed_len(k, n)];
            gemm::pack_b(&b, k, n, n, 1, &mut packed).unwrap();
            let mut c = vec![f32::NAN; m * n];
            kernels
                .gemm(&Gemm::new(m, n, k), &a, &packed, None, None, &mut c)
                .unwrap();
            close(
                &c,
                &want,
                tolerance(k),
                &format!("{} gemm {m}x{n}x{k}", kernels.name()),
            );
        }
    }
}

#[test]
fn packing_a_transposed_matrix_is_packing_its_transpose() {
    let mut rng = Random::new(3);
    let (k, n) = (7, 21);
    let b = rng.vec(k * n);
    let t: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
    let mut one = vec![1.0; gemm::packed_len(k, n)];
    let mut two = vec![2.0; gemm::packed_len(k, n)];
    gemm::pack_b(&b, k, n, n, 1, &mut one).unwrap();
    gemm::pack_b(&t, k, n, 1, k, &mut two).unwrap();
    assert_eq!(one, two);
}

#[test]
fn short_slices_are_refused() {
    let k = every_isa()[0];
    let p = Gemm::new(2, 3, 4);
    let b = vec![0.0; gemm::packed_len(4, 3)];
    let mut c = vec![0.0; 6];
    assert_eq!(
        k.gemm(&p, &[0.0; 7], &b, None, None, &mut c),
        Err(KernelError::Length)
    );
    assert_eq!(
        k.gemm(&p, &[0.0; 8], &b[1..], None, None, &mut c),
        Err(KernelError::Length)
    );
    assert_eq!(
        k.gemm(&p, &[0.0; 8], &b, Some(&[0.0; 2]), None, &mut c),
        Err(KernelError::Length)
    );
    assert_eq!(
        k.gemm(&p, &[0.0; 8], &b, None, None, &mut c[..5]),
        Err(KernelError::Length)
    );
    let huge = Gemm::new(usize::MAX / 2, 4, 4);
    assert!(k.gemm(&huge, &[0.0; 8], &b, None, None, &mut c).is_err());
    let mut p = Conv::new_2d(1, [3, 3], 2, 2, [2, 2]);
    let w = vec![0.0; p.packed_len()];
    assert_eq!(
        k.conv(&p, &[0.0; 17], &w, None, None, &mut [0.0; 8], 0..2),
        Err(KernelError::Length)
    );
    p.groups = 3;
    assert_eq!(
        k.conv(&p, &[0.0; 18], &w, None, None, &mut [0.0; 8], 0..2),
        Err(KernelError::Parameter)
    );
    p.groups = 1;
    p.stride[2] = 0;
    assert_eq!(
        k.conv(&p, &[0.0; 18], &w, None, None, &mut [0.0; 8], 0..2),
        Err(KernelError::Parameter)
    );
    p.stride[2] = usize::MAX;
    assert!(
        k.conv(&p, &[0.0; 18], &w, None, None, &mut [0.0; 8], 0..2)
            .is_err()
    );
}

/// A random geometry; `None` when it has no output.
fn geometry(rng: &mut Random, dims: usize) -> Option<Conv> {
    let mut p = Conv::new_2d(1 + rng.below(2), [1, 1], 1, 1, [1, 1]);
    for d in 3 - dims..3 {
        p.input[d] = 1 + rng.below(if dims == 3 { 5 } else { 11 });
        p.kernel[d] = [1, 2, 3, 5, 3][rng.below(5)];
        p.stride[d] = 1 + rng.below(2);
        p.dilation[d] = if rng.below(4) == 0 { 2 } else { 1 };
        p.pad_begin[d] = rng.below(p.kernel[d]);
        let span = (p.kernel[d] - 1) * p.dilation[d] + 1;
        let padded = p.input[d] + p.pad_begin[d] + rng.below(p.kernel[d]);
        p.output[d] = (padded + p.stride[d]).checked_sub(span)? / p.stride[d];
        if p.output[d] == 0 {
            return None;
        }
    }
    Some(p)
}

#[test]
fn conv_matches_reference() {
    let mut rng = Random::new(4);
    for kernels in every_isa() {
        let mut ran = 0;
        for case in 0..260 {
            let Some(mut p) = geometry(&mut rng, 1 + case % 3) else {
                continue;
            };
            p.groups = [1, 1, 1, 2, 3][rng.below(5)];
            p.in_channels = p.groups * (1 + rng.below(9));
            p.out_channels = p.groups * [1, 3, 8, 15, 16, 17, 33, 40][rng.below(8)];
            p.activation = ACTIVATIONS[case % ACTIVATIONS.len()];
            check_conv(&kernels, &p, &mut rng, case);
            ran += 1;
        }
        assert!(ran > 150);
    }
}

#[test]
fn conv_with_more_channels_than_the_zero_row() {
    let mut rng = Random::new(5);
    for kernels in every_isa() {
        let mut p = Conv::new_2d(1, [3, 4], 1100, 5, [3, 3]);
        p.pad_begin = [0, 1, 1];
        p.output = [1, 3, 4];
        check_conv(&kernels, &p, &mut rng, 1);
    }
}

fn check_conv(kernels: &crate::Kernels, p: &Conv, rng: &mut Random, case: usize) {
    let (ig, taps) = (p.in_channels / p.groups, p.kernel.iter().product::<usize>());
    let x = rng.vec(p.batch * p.input.iter().product::<usize>() * p.in_channels);
    let w = rng.vec(p.out_channels * taps * ig);
    let weight = |o: usize, t: usize, i: usize| w[(o * taps + t) * ig + i];
    let bias = rng.vec(p.out_channels);
    let row = p.output[2] * p.out_channels;
    let residual = case.is_multiple_of(4).then(|| rng.vec(p.rows() * row));
    let want = reference::conv(p, &x, weight, &bias, residual.as_deref());
    let mut packed = vec![0.0; p.packed_len()];
    conv::pack_weights(p, weight, &mut packed).unwrap();
    let mut y = vec![f32::NAN; p.rows() * row];
    // In two parts, as two threads would.
    let half = p.rows() / 2;
    let (first, second) = y.split_at_mut(half * row);
    let (r1, r2) = residual.as_deref().map_or((None, None), |r| {
        (Some(&r[..half * row]), Some(&r[half * row..]))
    });
    kernels
        .conv(p, &x, &packed, Some(&bias), r1, first, 0..half)
        .unwrap();
    kernels
        .conv(p, &x, &packed, Some(&bias), r2, second, half..p.rows())
        .unwrap();
    close(
        &y,
        &want,
        tolerance(taps * ig),
        &format!("{} {p:?}", kernels.name()),
    );
}

#[test]
fn conv_transpose_matches_reference() {
    let mut rng = Random::new(6);
    for kernels in every_isa() {
        for case in 0..120 {
            let Some(mut p) = geometry(&mut rng, 1 + case % 3) else {
                continue;
            };
            // The roles of input and output change; any output size is legal.
            core::mem::swap(&mut p.input, &mut p.output);
            p.groups = 1 + rng.below(2);
            p.in_channels = p.groups * (1 + rng.below(5));
            p.out_channels = p.groups * [1, 7, 8, 16, 19][rng.below(5)];
            p.activation = ACTIVATIONS[case % ACTIVATIONS.len()];
            let (ig, taps) = (p.in_channels / p.groups, p.kernel.iter().product::<usize>());
            let x = rng.vec(p.batch * p.input.iter().product::<usize>() * p.in_channels);
            let w = rng.vec(p.out_channels * taps * ig);
            let weight = |o: usize, t: usize, i: usize| w[(o * taps + t) * ig + i];
            let bias = rng.vec(p.out_channels);
            let want = reference::conv_transpose(&p, &x, weight, &bias);
            let mut packed = vec![0.0; p.packed_len()];
            conv::pack_weights(&p, weight, &mut packed).unwrap();
            let mut y = vec![f32::NAN; want.len()];
            kernels
                .conv_transpose(&p, &x, &packed, Some(&bias), &mut y, 0..p.rows())
                .unwrap();
            close(
                &y,
                &want,
                tolerance(taps * ig),
                &format!("{} transpose {p:?}", kernels.name()),
            );
        }
    }
}

#[test]
fn depthwise_matches_reference() {
    let mut rng = Random::new(7);
    for kernels in every_isa() {
        let mut ran = 0;
        for case in 0..260 {
            let Some(mut p) = geometry(&mut rng, [2, 2, 1, 3][case % 4]) else {
                continue;
            };
            if case % 5 == 0 {
                // Wide enough for the blocked path.
                p.input[2] += 14;
                p.output[2] += 14 / p.stride[2];
            }
            let c = [1, 3, 7, 8, 9, 16, 17, 35][rng.below(8)];
            (p.in_channels, p.out_channels, p.groups) = (c, c, c);
            p.activation = ACTIVATIONS[case % ACTIVATIONS.len()];
            check_depthwise(&kernels, &p, &mut rng, case);
            ran += 1;
        }
        assert!(ran > 150);
        // More kernel rows than the list of lines holds.
        let mut p = Conv::new_2d(1, [40, 3], 5, 5, [36, 2]);
        p.groups = 5;
        check_depthwise(&kernels, &p, &mut rng, 0);
    }
}

fn check_depthwise(kernels: &crate::Kernels, p: &Conv, rng: &mut Random, case: usize) {
    let (c, taps) = (p.in_channels, p.kernel.iter().product::<usize>());
    let x = rng.vec(p.batch * p.input.iter().product::<usize>() * c);
    let w = rng.vec(taps * c);
    let bias = rng.vec(c);
    let row = p.output[2] * c;
    let residual = case.is_multiple_of(4).then(|| rng.vec(p.rows() * row));
    let want = reference::conv(p, &x, |o, t, _| w[t * c + o], &bias, residual.as_deref());
    let mut y = vec![f32::NAN; p.rows() * row];
    let half = p.rows() / 2;
    let (first, second) = y.split_at_mut(half * row);
    let (r1, r2) = residual.as_deref().map_or((None, None), |r| {
        (Some(&r[..half * row]), Some(&r[half * row..]))
    });
    kernels
        .depthwise(p, &x, &w, Some(&bias), r1, first, 0..half)
        .unwrap();
    kernels
        .depthwise(p, &x, &w, Some(&bias), r2, second, half..p.rows())
        .unwrap();
    close(
        &y,
        &want,
        tolerance(taps),
        &format!("{} depthwise {p:?}", kernels.name()),
    );
}

#[test]
fn depthwise_of_three_by_three() {
    let mut rng = Random::new(11);
    for kernels in every_isa() {
        let mut case = 0;
        for width in [1usize, 2, 3, 4, 5, 6, 7, 9, 14, 33] {
            for stride in [1, 2] {
                for (left, right) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1)] {
                    let Some(reach) = (width + left + right).checked_sub(3) else {
                        continue;
                    };
                    let c = [8, 11, 16, 30][case % 4];
                    let mut p = Conv::new_2d(2, [4, width], c, c, [3, 3]);
                    p.groups = c;
                    p.stride = [1, stride, stride];
                    p.pad_begin = [0, 1, left];
                    p.output = [1, 4usize.div_ceil(stride), reach / stride + 1];
                    p.activation = ACTIVATIONS[case % ACTIVATIONS.len()];
                    check_depthwise(&kernels, &p, &mut rng, case);
                    case += 1;
                }
            }
        }
        // Rows that are worked through in parts.
        for stride in [1, 2] {
            let mut p = Conv::new_2d(1, [3, 41], 300, 300, [3, 3]);
            p.groups = 300;
            p.stride = [1, 1, stride];
            p.pad_begin = [0, 1, 1];
            p.output = [1, 3, 41usize.div_ceil(stride)];
            check_depthwise(&kernels, &p, &mut rng, 1);
        }
    }
}

#[test]
fn conv_of_wide_rows() {
    let mut rng = Random::new(12);
    for kernels in every_isa() {
        for (case, &(ci, co)) in [(3, 32), (4, 16), (5, 24), (16, 20), (19, 48)]
            .iter()
            .enumerate()
        {
            for (kernel, stride) in [(3, 1), (3, 2), (5, 2), (1, 2)] {
                let mut p = Conv::new_2d(2, [5, 29], ci, co, [kernel, kernel]);
                p.stride = [1, stride, stride];
                p.pad_begin = [0, kernel / 2, kernel / 2];
                p.output = [1, 5usize.div_ceil(stride), 29usize.div_ceil(stride)];
                p.activation = ACTIVATIONS[case % ACTIVATIONS.len()];
                check_conv(&kernels, &p, &mut rng, case);
            }
        }
    }
}
