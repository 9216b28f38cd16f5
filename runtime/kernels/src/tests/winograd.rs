//! Winograd's algorithm against the direct convolution in double precision. Tolerance: ten times that of direct sums.
use super::{Random, close, every_isa, reference};
use crate::conv::winograd::Spread;
use crate::{Activation, Conv, KernelError, Kernels, Winograd, conv};
use std::{format, vec, vec::Vec};

fn check(kernels: &Kernels, p: &Winograd, rng: &mut Random, residual: bool) {
    let c = &p.conv;
    let x = rng.vec(c.batch * c.input.iter().product::<usize>() * c.in_channels);
    let w = rng.vec(c.out_channels * 9 * c.in_channels);
    let weight = |o: usize, t: usize, i: usize| w[(o * 9 + t) * c.in_channels + i];
    let bias = rng.vec(c.out_channels);
    let n = c.rows() * c.output[2] * c.out_channels;
    let residual = residual.then(|| rng.vec(n));
    let want = reference::conv(c, &x, weight, &bias, residual.as_deref());
    let mut packed = vec![0.0; c.packed_len()];
    conv::pack_weights(c, weight, &mut packed).unwrap();
    let what = format!("{} {p:?}", kernels.name());
    let tolerance = 2e-5 * (9.0 * c.in_channels as f64).sqrt();
    let (bias, residual) = (Some(&bias[..]), residual.as_deref());
    for (tiles, parts) in [
        (1, 1),
        (5, 1),
        (p.tiles(), 1),
        (p.tiles().min(9), 3),
        (p.tiles(), 4),
    ] {
        // Scratch holds whatever was there before.
        let mut scratch = vec![f32::NAN; p.scratch(tiles, parts).unwrap()];
        let mut y = vec![f32::NAN; n];
        let run = |n: usize, f: &(dyn Fn(usize) + Sync)| {
            if cfg!(target_family = "wasm") {
                // No threads there.
                return (0..n).for_each(f);
            }
            std::thread::scope(|s| {
                for i in 0..n {
                    s.spawn(move || f(i));
                }
            });
        };
        kernels
            .winograd(
                p,
                &x,
                &packed,
                bias,
                residual,
                &mut y,
                &mut scratch,
                (parts, &run),
            )
            .unwrap();
        close(
            &y,
            &want,
            tolerance,
            &format!("{what}, {tiles} tiles, {parts} parts"),
        );
    }
}

#[test]
fn winograd_matches_reference() {
    let mut rng = Random::new(21);
    let channels = [1, 2, 15, 16, 17, 33, 40, 70];
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::Clip(-0.5, 0.75),
        Activation::Silu,
        Activation::LeakyRelu(0.1),
    ];
    for kernels in every_isa() {
        let mut case = 0;
        for size in [
            [1usize, 1],
            [1, 9],
            [2, 3],
            [4, 4],
            [5, 8],
            [7, 7],
            [11, 6],
            [13, 17],
        ] {
            // Zeros before and after, of both axes.
            for (begin, end) in [
                ([1, 1], [1, 1]),
                ([0, 0], [0, 0]),
                ([0, 2], [1, 0]),
                ([3, 0], [2, 9]),
            ] {
                let out = |d: usize| (size[d] + begin[d] + end[d]).checked_sub(2);
                let (Some(h @ 1..), Some(w @ 1..)) = (out(0), out(1)) else {
                    continue;
                };
                let pick = |n: usize| channels[(case * n) % channels.len()];
                let mut conv = Conv::new_2d(1 + case % 2, size, pick(3), pick(5), [3, 3]);
                conv.output = [1, h, w];
                conv.pad_begin = [0, begin[0], begin[1]];
                conv.activation = activations[case % activations.len()];
                let p = Winograd {
                    conv,
                    depth: [16, 32, 80][case % 3],
                };
                check(&kernels, &p, &mut rng, case % 3 == 1);
                case += 1;
            }
        }
        assert!(case > 24);
    }
}

#[test]
fn winograd_refuses_what_does_not_fit() {
    let k = every_isa()[0];
    let mut conv = Conv::new_2d(1, [6, 6], 3, 5, [3, 3]);
    conv.pad_begin = [0, 1, 1];
    conv.output = conv.input;
    let p = Winograd { conv, depth: 16 };
    let (x, w) = (vec![0.0; 108], vec![0.0; conv.packed_len()]);
    let (mut y, mut scratch) = (vec![0.0; 180], vec![0.0; p.scratch(1, 1).unwrap()]);
    let n = scratch.len();
    let mut run = |p: &Winograd, x: &[f32], w: &[f32], y: &mut Vec<f32>, n: usize| {
        let one: &Spread<'_> = &|n, f| (0..n).for_each(f);
        k.winograd(p, x, w, None, None, y, &mut scratch[..n], (2, one))
    };
    assert_eq!(run(&p, &x, &w, &mut y, n), Ok(()));
    assert_eq!(run(&p, &x[1..], &w, &mut y, n), Err(KernelError::Length));
    assert_eq!(run(&p, &x, &w[1..], &mut y, n), Err(KernelError::Length));
    assert_eq!(run(&p, &x, &w, &mut y, n - 1), Err(KernelError::Length));
    let mut short = vec![0.0; 179];
    assert_eq!(run(&p, &x, &w, &mut short, n), Err(KernelError::Length));
    let with = |conv: Conv| Winograd { conv, ..p };
    for wrong in [
        Winograd { depth: 0, ..p },
        Winograd { depth: 24, ..p },
        with(Conv {
            stride: [1, 2, 1],
            ..conv
        }),
        with(Conv {
            dilation: [1, 1, 2],
            ..conv
        }),
        with(Conv {
            kernel: [1, 3, 1],
            ..conv
        }),
        with(Conv {
            input: [2, 6, 6],
            ..conv
        }),
    ] {
        assert_eq!(run(&wrong, &x, &w, &mut y, n), Err(KernelError::Parameter));
    }
    let huge = Winograd {
        depth: usize::MAX / 64 * 16,
        ..p
    };
    assert_eq!(run(&huge, &x, &w, &mut y, n), Err(KernelError::Overflow));
}

/// A part that is asked for twice, or never, harms nothing.
#[test]
fn winograd_trusts_nobody_with_its_parts() {
    let k = Kernels::best();
    let mut conv = Conv::new_2d(1, [18, 18], 16, 64, [3, 3]);
    conv.activation = Activation::Relu;
    let p = Winograd { conv, depth: 16 };
    let mut rng = Random::new(22);
    let (x, w) = (rng.vec(18 * 18 * 16), rng.vec(conv.packed_len()));
    let mut scratch = vec![0.0; p.scratch(16, 2).unwrap()];
    let mut run = |spread: &Spread<'_>| {
        let mut y = vec![-1.0; 16 * 16 * 64];
        k.winograd(&p, &x, &w, None, None, &mut y, &mut scratch, (2, spread))
            .unwrap();
        y
    };
    let want = run(&|n, f| (0..n).for_each(f));
    let twice = run(&|n, f| (0..2 * n + 40).for_each(|i| f(i / 2)));
    assert_eq!(want, twice);
    assert!(run(&|_, _| ()).iter().all(|&v| v == -1.0));
}
